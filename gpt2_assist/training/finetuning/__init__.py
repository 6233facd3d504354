"""A run: a model taught the user's own texts."""
