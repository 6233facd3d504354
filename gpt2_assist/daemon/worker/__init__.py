"""The process that owns one model."""
