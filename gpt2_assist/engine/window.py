"""Which part of a long text the model sees."""


def window_start(length: int, n_ctx: int) -> int:
    """The first token of the window of a text of `length` tokens.

    Positions are absolute, so a moved window must be computed anew; it therefore moves rarely, by a quarter of the
    context. The start is a function of the length alone: a resumed or a cached generation sees the same window.
    """
    if length <= n_ctx:
        return 0
    stride = max(1, n_ctx // 4)
    return -(-(length - n_ctx) // stride) * stride
