"""What stands before the beginning of a text. It is decided here alone: for samples while training, for what the daemon
writes, and so for every front end."""


def opening(prefix: str, text: str) -> str:
    """What of a model card's `prefix` to put before the beginning of a `text`, which may have it, or its last marks,
    itself."""
    for at in range(len(prefix)):
        if (at == 0 or prefix.startswith("<|", at)) and text.startswith(prefix[at:]):
            return prefix[:at]
    return prefix
