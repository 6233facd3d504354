"""What the user gives to learn from, as clean documents: reading, duplicates, private things, and a report of it."""
