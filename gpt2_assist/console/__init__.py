"""The terminal and the standard streams of a command."""
