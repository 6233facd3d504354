"""Attention over keys and values in pages, for the new rows of a segment, one head at a time.

A page holds, for each layer and head, keys [padded head width, 16] and values [16, padded head width] in bfloat16. Four
rows at a time share what is read of the blocks that all of them see; each row's sums have the same order all the same.
"""
import numpy as np

from gpt2_assist.engine.cpu import rows
from gpt2_assist.engine.cpu.memory import (
    bits_of,
    get,
    kernel,
    load_f32,
    padded,
    prefetch,
    store_f32,
    store_u16,
)
from gpt2_assist.engine.cpu.plan import (
    FIRST_ROW,
    HEAD_WIDTH,
    HEADS,
    MIXED,
    PAGES,
    QKV,
    ROW_COUNT,
    SCORES,
    SCORES_BYTES,
    SCRATCH,
    SCRATCH_BYTES,
    SEGMENT,
    SEGMENT_SIZE,
    START,
    TOGETHER_ROWS,
    WIDTH,
)
from gpt2_assist.engine.pages import BLOCK

_BLOCKS_AHEAD = 4
_ONE = np.float32(1.0)


@kernel
def _bf16_bits(value):
    """Rounded to the nearest bfloat16, to the even one of two."""
    bits = bits_of(value)
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@kernel
def _fetch(address, size):
    """Asks for a piece of memory that no processor foresees: pages lie anywhere."""
    for line in range(0, size, 64):
        prefetch(address + line)


@kernel
def attend(p, thread, layer, item):
    """One head of one segment: puts its new keys and values into their pages, then mixes values for each new row."""
    heads, head_width = get(p, HEADS), get(p, HEAD_WIDTH)
    segment, head = get(p, SEGMENT) + item // heads * SEGMENT_SIZE * 8, item % heads
    wide = padded(head_width, 16)
    offset = (layer * heads + head) * 4 * wide * BLOCK
    _append(p, segment, head, wide, offset)
    row, count = 0, get(segment, ROW_COUNT)
    while row < count:
        together = TOGETHER_ROWS if count - row >= TOGETHER_ROWS else 1
        _attend_rows(p, thread, segment, head, wide, offset, row, together)
        row += together


@kernel
def _append(p, segment, head, wide, offset):
    """Keys and values of the segment's rows."""
    width, head_width = get(p, WIDTH), get(p, HEAD_WIDTH)
    row_bytes = 4 * padded(3 * width, 64)
    for row in range(get(segment, ROW_COUNT)):
        place = get(segment, START) + row
        keys = get(get(segment, PAGES), place // BLOCK) + offset
        values = keys + 2 * wide * BLOCK + place % BLOCK * wide * 2
        source = get(p, QKV) + (get(segment, FIRST_ROW) + row) * row_bytes + 4 * (width + head * head_width)
        for d in range(wide):
            if d < head_width:
                key, value = _bf16_bits(load_f32(source, d)), _bf16_bits(load_f32(source, width + d))
            else:
                key = value = np.uint16(0)
            store_u16(keys, d * BLOCK + place % BLOCK, key)
            store_u16(values, d, value)


@kernel
def _attend_rows(p, thread, segment, head, wide, offset, row, together):
    """`together` rows from `row` on: 1 or TOGETHER_ROWS. The first `common` blocks are seen whole by all of them."""
    width, head_width, pages = get(p, WIDTH), get(p, HEAD_WIDTH), get(segment, PAGES)
    part, stride, score_stride = 2 * wide * BLOCK, 4 * wide, get(p, SCORES_BYTES) // TOGETHER_ROWS
    scores = get(p, SCORES) + thread * get(p, SCORES_BYTES)
    queries = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    mixed = queries + TOGETHER_ROWS * stride
    scale = _ONE / np.float32(np.sqrt(np.float32(head_width)))
    first, length = get(segment, FIRST_ROW) + row, get(segment, START) + row + 1
    for n in range(together):
        source = get(p, QKV) + (first + n) * 4 * padded(3 * width, 64) + 4 * head * head_width
        for d in range(wide):
            store_f32(queries + n * stride, d, load_f32(source, d) * scale if d < head_width else np.float32(0.0))
            store_f32(mixed + n * stride, d, np.float32(0.0))
    common = length // BLOCK if together == TOGETHER_ROWS else 0
    for block in range(common):
        rows.scores_of_four(queries, stride, get(pages, block) + offset, wide, scores + block * BLOCK * 4, score_stride)
    for n in range(together):
        own, seen = scores + n * score_stride, length + n
        blocks = (seen + BLOCK - 1) // BLOCK
        for block in range(common, blocks):
            if together == 1 and block + _BLOCKS_AHEAD < blocks:
                _fetch(get(pages, block + _BLOCKS_AHEAD) + offset, part)
            rows.scores_of(queries + n * stride, get(pages, block) + offset, wide, own + block * BLOCK * 4)
        store_f32(mixed + TOGETHER_ROWS * stride, n, rows.softmax(own, seen))
    for block in range(common):
        rows.mix_values_of_four(scores + block * BLOCK * 4, score_stride, get(pages, block) + offset + part, wide // 16,
                                mixed, stride)
    for n in range(together):
        own, seen, out = scores + n * score_stride, length + n, mixed + n * stride
        blocks = (seen + BLOCK - 1) // BLOCK
        for block in range(common, blocks):
            if together == 1 and block + _BLOCKS_AHEAD < blocks:
                _fetch(get(pages, block + _BLOCKS_AHEAD) + offset + part, part)
            rows.mix_values(own + block * BLOCK * 4, get(pages, block) + offset + part,
                            min(BLOCK, seen - block * BLOCK), wide // 16, out)
        rows.scale_row(out, wide // 16, _ONE / load_f32(mixed + TOGETHER_ROWS * stride, n))
        target = get(p, MIXED) + (first + n) * 4 * padded(width, 64) + 4 * head * head_width
        for d in range(head_width):
            store_f32(target, d, load_f32(out, d))
