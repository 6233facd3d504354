"""How products and attention are cut into parts. The order of a row's sums follows from this page and a model's sizes
alone, so a row has the same bits in every batch, and in a prefill too.
"""
MOST_ROWS = 8
"""Rows of a decoding step."""
BATCHES = (1, 2, 4, 8)
BUCKETS = (128, 256, 512, 1024)
"""Positions that a step's attention can reach: it starts as many programs as the longest row may need."""
CHUNKS = (32, 128, 512)
"""Rows of a prefill."""
ROW_TILE = 16
"""Rows that a matrix instruction takes; what a decoding step has less is padding."""
CHUNK_TILE = 32
"""Rows that a prefill's programs take: less than the 64 from which on Triton takes other instructions on Hopper."""
KEYS = 64
"""Keys that one program of attention takes; its sums over a row's keys are then combined in their order."""
INPUTS = 64
"""Inputs between two additions to a product's accumulators."""
WIDE_INPUTS = 256
"""The same where attention's parts are combined on the way: what one program then takes."""
BURST = 8
"""Tokens that a row decides at most before the host hears of them."""
SCORES = 64
"""Scores that stand behind one maximum and one sum when a token is chosen."""
NEAR, ROOM = 128, 512
"""Blocks of scores that are looked at, and scores that are compared, when a token is chosen among the best."""
NORM, MIXED, PLAIN = range(3)
"""Left sides of products: the stream, normed; attention's parts, combined; plain rows."""
CACHE, HEADS, PARTS, STREAM, INNER = range(5)
"""What becomes of products: queries, keys and values where attention looks for them, or as they are, in float32; parts
of a sum; the stream with the sum added; activated inner rows."""
_PARTS_PROGRAMS, _COLUMNS = 200, 16


def mixed_parts(width: int) -> int:
    """Parts of a sum over attention's output of that width."""
    return -(-width // WIDE_INPUTS)


def inner_parts(width: int) -> int:
    """Parts of a sum over the inner width for `width` results: with them an H100's 132 processors have enough to do."""
    return min(8, max(1, _PARTS_PROGRAMS // -(-width // _COLUMNS)))
