"""The plan of a step: int64 numbers, most of them addresses, by which the engine tells the kernels what to do.

It knows neither numba nor arrays: a worker that finds compiled kernels on the disk imports no compiler.
"""

KINDS = {"int8": 0, "int4": 1, "bf16": 2, "fp32": 3}
INT8, INT4, BF16, FP32 = KINDS.values()

# Of the model, set once.
(LAYERS, HEADS, WIDTH, HEAD_WIDTH, VOCABULARY, KIND, HEAD_KIND, THREADS, HEAD, POSITIONS, NORM_WEIGHT, NORM_BIAS,
 NO_BIAS,
 # Of the work space, set once: addresses of arrays for the largest step.
 STREAM, MIXED, QKV, INNER, DATA, FIRST, SCALES, SCRATCH, SCRATCH_BYTES, SCORES, SCORES_BYTES, LOGITS, MIDDLE,
 SYNC,
 # Of each step.
 ROWS, TOGETHER, SEGMENTS, TOKENS, PLACES, ADAPTED, ADAPTERS, SEGMENT, WANTED, WANTED_COUNT, WANTED_TOGETHER,
 PLAN_SIZE) = range(39)

# A layer's row in the table of layers: addresses.
(LN_1_WEIGHT, LN_1_BIAS, ATTN, ATTN_BIAS, ATTN_PROJ, ATTN_PROJ_BIAS, LN_2_WEIGHT, LN_2_BIAS, FC, FC_BIAS, FC_PROJ,
 FC_PROJ_BIAS, LAYER_SIZE) = range(13)

# An adapter's table: its rank, then the addresses of its two matrices beside each of a layer's four, 0 where there are
# none.
RANK, PAIRS, BESIDE = 0, 1, 4

# A segment's row in the table of segments.
FIRST_ROW, ROW_COUNT, START, PAGES, SEGMENT_SIZE = range(5)

# Counters, a cache line each.
TICKETS, DONE, OPEN, INSIDE, SYNC_SIZE = 0, 8, 16, 24, 32

# What the kernels' one entry can be asked for.
OPEN_STEP, WALK, CLOSE_STEP, HELP_OUT = range(4)

TOGETHER_ROWS = 4
"""Rows that attention takes at once."""
