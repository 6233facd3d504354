"""The GPT-2 architecture, weight files, the local store, pulls from a hub and model cards. Knows no text."""
