"""Sessions as trees of passages: what a front end for writers stands on. Knows no screen and no model."""
