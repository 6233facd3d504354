"""A model from nothing, by a recipe."""
