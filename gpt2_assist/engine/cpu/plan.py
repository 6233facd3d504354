"""The plan of a step and the program that it walks: int64 numbers, most of them addresses, by which the engine tells
the kernels what to do.

It knows neither numba nor arrays: a worker that finds compiled kernels on the disk imports no compiler.
"""

KINDS = {"int8": 0, "int4": 1, "int4_min": 2, "bf16": 3, "fp32": 4}
INT8, INT4, INT4_MIN, BF16, FP32 = KINDS.values()

# Of the model, set once.
(LENGTH, HEADS, KV_HEADS, HEAD_WIDTH, WIDTH, TABLE_KIND, THREADS, EMBEDDING, POSITIONS, TURNS,
 # Of the work space, set once: addresses of arrays for the largest step.
 STREAM, MIXED, QKV, DATA, FIRST, SCALES, SCRATCH, SCRATCH_BYTES, SCORES, SCORES_BYTES, MIDDLE, SYNC,
 # Of each step.
 ROWS, TOGETHER, SEGMENTS, TOKENS, GIVEN, PLACES, ROW_PAGES, ADAPTED, ADAPTERS, SEGMENT, WANTED, WANTED_COUNT,
 WANTED_TOGETHER, PLAN_SIZE) = range(36)

# A row of the program, LENGTH rows in all: the operation and what it works on.
(OPERATION, LAYER, KIND, MATRIX, ON_WANTED,
 # PREPARE: INPUTS numbers of each row of SOURCE, STRIDE numbers apart, as HOW says, for the MATRIX of this KIND.
 HOW, SOURCE, STRIDE, INPUTS, NORM_WEIGHT, NORM_BIAS,
 # MULTIPLY: rows of TARGET, OUTPUTS numbers each, from what was prepared: times WEIGHTS and plus BIAS, activated, and
 # added to TARGET if ADDS.
 WEIGHTS, BIAS, OUTPUTS, TARGET, ADDS, ACTIVATION,
 # KEEP: weights of the heads' norms, or 0. ATTEND: the bits of the float32 that scores are multiplied with.
 QUERY_NORM, KEY_NORM, SCALE, ROW_SIZE) = range(21)
PREPARE, MULTIPLY, KEEP, ATTEND = range(4)
PLAIN, LAYER_NORM, RMS_NORM, GATED = range(4)
"""How rows are prepared."""
LINEAR, GELU_TANH, GELU, RELU = range(4)
"""What becomes of a product."""

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
