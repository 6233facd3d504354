"""Attention over keys and values in pages, for the new rows of a segment.

A page holds, for each layer and head of keys and values, keys [padded head width, 16] and values [16, padded head
width] in bfloat16. Four rows at a time, or four heads, share what is read of the blocks that all of them see; each
one's sums have the same order all the same.
"""
import numpy as np

from gpt2_assist.engine.cpu import rows
from gpt2_assist.engine.cpu.memory import (
    bits_of,
    from_bits,
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
    KEY_NORM,
    KV_HEADS,
    LAYER,
    MIXED,
    PAGES,
    PLACES,
    QKV,
    QUERY_NORM,
    ROW_COUNT,
    ROW_PAGES,
    SCALE,
    SCORES,
    SCORES_BYTES,
    SCRATCH,
    SCRATCH_BYTES,
    SEGMENT,
    SEGMENT_SIZE,
    SEGMENTS,
    START,
    TOGETHER_ROWS,
    TURNS,
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
def _qkv_bytes(p):
    """Of a row of queries, keys and values."""
    return 4 * padded((get(p, HEADS) + 2 * get(p, KV_HEADS)) * get(p, HEAD_WIDTH), 64)


@kernel
def _page_offset(p, own, kv_head):
    """Where in a page a head's keys of a layer begin; its values follow."""
    return (get(own, LAYER) * get(p, KV_HEADS) + kv_head) * 4 * padded(get(p, HEAD_WIDTH), 16) * BLOCK


@kernel
def keep(p, own, epsilon, thread, row):
    """One row: its queries and keys are normed and turned, if the architecture wants it, and its keys and values put
    into their page. Heads share what is kept, so this is done before any of them looks at it."""
    heads, kv_heads, head_width, place = get(p, HEADS), get(p, KV_HEADS), get(p, HEAD_WIDTH), get(get(p, PLACES), row)
    source = get(p, QKV) + row * _qkv_bytes(p)
    inner = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    turns = get(p, TURNS)
    if turns:
        here = turns + place * 4 * head_width
        for head in range(heads + kv_heads):
            norm = get(own, QUERY_NORM) if head < heads else get(own, KEY_NORM)
            _turn(source + 4 * head * head_width, head_width, here, norm, epsilon, inner)
    wide = padded(head_width, 16)
    page = get(get(get(p, ROW_PAGES), row), place // BLOCK)
    for head in range(kv_heads):
        keys = page + _page_offset(p, own, head)
        values = keys + 2 * wide * BLOCK + place % BLOCK * wide * 2
        key_source = source + 4 * (heads + head) * head_width
        value_source = key_source + 4 * kv_heads * head_width
        for d in range(wide):
            if d < head_width:
                key, value = _bf16_bits(load_f32(key_source, d)), _bf16_bits(load_f32(value_source, d))
            else:
                key = value = np.uint16(0)
            store_u16(keys, d * BLOCK + place % BLOCK, key)
            store_u16(values, d, value)


@kernel
def _turn(x, head_width, turns, norm, epsilon, inner):
    """A head of a row, in place: number i turns with number i + half."""
    half = head_width // 2
    if norm:
        for d in range(padded(head_width, 64)):
            store_f32(inner, d, load_f32(x, d) if d < head_width else np.float32(0.0))
        normed = inner + 4 * padded(head_width, 64)
        rows.rms_norm(inner, norm, head_width, epsilon, normed)
        for d in range(head_width):
            store_f32(x, d, load_f32(normed, d))
    for d in range(half):
        first, second = load_f32(x, d), load_f32(x, half + d)
        cosine, sine = load_f32(turns, d), load_f32(turns, half + d)
        store_f32(x, d, first * cosine - second * sine)
        store_f32(x, half + d, second * cosine + first * sine)


@kernel
def attend_items(p):
    """Items of a step's attention: heads of queries that share keys and values go together, so that these are read once
    for all, as many as rows would."""
    group = get(p, HEADS) // get(p, KV_HEADS)
    return get(p, SEGMENTS) * get(p, KV_HEADS) * ((group + TOGETHER_ROWS - 1) // TOGETHER_ROWS)


@kernel
def attend(p, own, thread, item):
    """Some heads of one segment that share keys and values: mixes values for each new row."""
    kv_heads = get(p, KV_HEADS)
    group = get(p, HEADS) // kv_heads
    parts = (group + TOGETHER_ROWS - 1) // TOGETHER_ROWS
    segment = get(p, SEGMENT) + item // (kv_heads * parts) * SEGMENT_SIZE * 8
    kv_head, part = item // parts % kv_heads, item % parts
    offset = _page_offset(p, own, kv_head)
    first = kv_head * group + group * part // parts
    last = kv_head * group + group * (part + 1) // parts
    row, count = 0, get(segment, ROW_COUNT)
    while row < count:
        together = TOGETHER_ROWS if count - row >= TOGETHER_ROWS else 1
        if together == 1 and last - first > 1:
            _attend_heads(p, own, thread, segment, first, last - first, offset, row)
        else:
            for head in range(first, last):
                _attend_rows(p, own, thread, segment, head, offset, row, together)
        row += together


@kernel
def _attend_heads(p, own, thread, segment, head, count, offset, row):
    """One row of `count` heads from `head` on, at most TOGETHER_ROWS: what _attend_rows computes for each."""
    head_width, pages = get(p, HEAD_WIDTH), get(segment, PAGES)
    wide = padded(head_width, 16)
    part, stride, score_stride = 2 * wide * BLOCK, 4 * wide, get(p, SCORES_BYTES) // TOGETHER_ROWS
    scores = get(p, SCORES) + thread * get(p, SCORES_BYTES)
    queries = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    mixed = queries + TOGETHER_ROWS * stride
    scale = from_bits(np.uint32(get(own, SCALE)))
    place, seen = get(segment, FIRST_ROW) + row, get(segment, START) + row + 1
    for n in range(TOGETHER_ROWS):
        source = get(p, QKV) + place * _qkv_bytes(p) + 4 * (head + n) * head_width
        for d in range(wide):
            store_f32(queries + n * stride, d,
                      load_f32(source, d) * scale if n < count and d < head_width else np.float32(0.0))
            store_f32(mixed + n * stride, d, np.float32(0.0))
    blocks, whole = (seen + BLOCK - 1) // BLOCK, seen // BLOCK
    for block in range(blocks):
        if block + _BLOCKS_AHEAD < blocks:
            _fetch(get(pages, block + _BLOCKS_AHEAD) + offset, part)
        rows.scores_of_four(queries, stride, get(pages, block) + offset, wide, scores + block * BLOCK * 4, score_stride)
    for n in range(count):
        store_f32(mixed + TOGETHER_ROWS * stride, n, rows.softmax(scores + n * score_stride, seen))
    for block in range(whole):
        if block + _BLOCKS_AHEAD < blocks:
            _fetch(get(pages, block + _BLOCKS_AHEAD) + offset + part, part)
        rows.mix_values_of_four(scores + block * BLOCK * 4, score_stride, get(pages, block) + offset + part, wide // 16,
                                mixed, stride)
    for n in range(count):
        out = mixed + n * stride
        if whole < blocks:
            rows.mix_values(scores + n * score_stride + whole * BLOCK * 4, get(pages, whole) + offset + part,
                            seen - whole * BLOCK, wide // 16, out)
        rows.scale_row(out, wide // 16, _ONE / load_f32(mixed + TOGETHER_ROWS * stride, n))
        target = get(p, MIXED) + place * 4 * padded(get(p, HEADS) * head_width, 64) + 4 * (head + n) * head_width
        for d in range(head_width):
            store_f32(target, d, load_f32(out, d))


@kernel
def _attend_rows(p, own, thread, segment, head, offset, row, together):
    """`together` rows from `row` on: 1 or TOGETHER_ROWS. The first `common` blocks are seen whole by all of them."""
    head_width, pages = get(p, HEAD_WIDTH), get(segment, PAGES)
    wide = padded(head_width, 16)
    part, stride, score_stride = 2 * wide * BLOCK, 4 * wide, get(p, SCORES_BYTES) // TOGETHER_ROWS
    scores = get(p, SCORES) + thread * get(p, SCORES_BYTES)
    queries = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    mixed = queries + TOGETHER_ROWS * stride
    scale = from_bits(np.uint32(get(own, SCALE)))
    first, length = get(segment, FIRST_ROW) + row, get(segment, START) + row + 1
    for n in range(together):
        source = get(p, QKV) + (first + n) * _qkv_bytes(p) + 4 * head * head_width
        for d in range(wide):
            store_f32(queries + n * stride, d, load_f32(source, d) * scale if d < head_width else np.float32(0.0))
            store_f32(mixed + n * stride, d, np.float32(0.0))
    common = length // BLOCK if together == TOGETHER_ROWS else 0
    for block in range(common):
        rows.scores_of_four(queries, stride, get(pages, block) + offset, wide, scores + block * BLOCK * 4, score_stride)
    for n in range(together):
        mine, seen = scores + n * score_stride, length + n
        blocks = (seen + BLOCK - 1) // BLOCK
        for block in range(common, blocks):
            if together == 1 and block + _BLOCKS_AHEAD < blocks:
                _fetch(get(pages, block + _BLOCKS_AHEAD) + offset, part)
            rows.scores_of(queries + n * stride, get(pages, block) + offset, wide, mine + block * BLOCK * 4)
        store_f32(mixed + TOGETHER_ROWS * stride, n, rows.softmax(mine, seen))
    for block in range(common):
        rows.mix_values_of_four(scores + block * BLOCK * 4, score_stride, get(pages, block) + offset + part, wide // 16,
                                mixed, stride)
    for n in range(together):
        mine, seen, out = scores + n * score_stride, length + n, mixed + n * stride
        blocks = (seen + BLOCK - 1) // BLOCK
        for block in range(common, blocks):
            if together == 1 and block + _BLOCKS_AHEAD < blocks:
                _fetch(get(pages, block + _BLOCKS_AHEAD) + offset + part, part)
            rows.mix_values(mine + block * BLOCK * 4, get(pages, block) + offset + part,
                            min(BLOCK, seen - block * BLOCK), wide // 16, out)
        rows.scale_row(out, wide // 16, _ONE / load_f32(mixed + TOGETHER_ROWS * stride, n))
        target = get(p, MIXED) + (first + n) * 4 * padded(get(p, HEADS) * head_width, 64) + 4 * head * head_width
        for d in range(head_width):
            store_f32(target, d, load_f32(out, d))
