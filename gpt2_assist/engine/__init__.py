"""Token ids in, token ids out: KV cache, context window, sampling. Knows no text and no sockets."""
