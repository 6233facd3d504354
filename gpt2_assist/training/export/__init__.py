"""From what was trained to folders and files that this and other programs read."""
