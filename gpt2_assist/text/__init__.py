"""Between text and token ids: the tokenizer, UTF-8-safe streaming and stop strings. Knows no model."""
