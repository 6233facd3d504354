"""The writing session in the terminal."""
