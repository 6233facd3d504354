"""Text that is offered while one types: what the model writes for a place, and what of that may be shown."""
