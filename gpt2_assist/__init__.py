"""A private writing and coding companion that runs GPT-2-family models on the user's own machine."""

__version__ = "0.1.0"
