"""gpt2-assist: a private writing and coding companion."""
