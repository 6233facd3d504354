"""Whether a text was copied from the data that a model learned from. Knows token ids; imports no torch."""
