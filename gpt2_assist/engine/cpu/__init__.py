"""Numba kernels and their cache; imports no torch."""
