"""One forward step of a few rows through all layers, as a sequence of phases that any number of threads walk together.

A row is one new token of one sequence. The rows of a sequence stand beside each other and form a segment. Every phase
is cut into items; a thread takes the next item's ticket from a counter, so a thread that comes late, or not at all,
holds nobody up, and no result depends on who computed what. Before a phase's first item a thread waits until all items
of the phase before are done.

The step reads a plan (plan.py), which the engine fills.
"""
import numpy as np

from gpt2_assist.engine.cpu import products, rows
from gpt2_assist.engine.cpu.memory import (
    atomic_add,
    atomic_load,
    atomic_swap,
    bits_of,
    from_bits,
    get,
    kernel,
    load_f32,
    load_u8,
    load_u16,
    pause,
    prefetch,
    relax,
    store_f32,
    store_u16,
)
from gpt2_assist.engine.cpu.pages import BLOCK
from gpt2_assist.engine.cpu.plan import (
    ATTN,
    ATTN_BIAS,
    ATTN_PROJ,
    ATTN_PROJ_BIAS,
    BF16,
    CLOSE_STEP,
    DATA,
    DONE,
    FC,
    FC_BIAS,
    FC_PROJ,
    FC_PROJ_BIAS,
    FIRST,
    FIRST_ROW,
    HEAD,
    HEAD_KIND,
    HEAD_WIDTH,
    HEADS,
    INNER,
    INSIDE,
    INT4,
    INT8,
    KIND,
    LAYER_SIZE,
    LAYERS,
    LN_1_BIAS,
    LN_1_WEIGHT,
    LN_2_BIAS,
    LN_2_WEIGHT,
    LOGITS,
    MIXED,
    NO_BIAS,
    NORM_BIAS,
    NORM_WEIGHT,
    OPEN,
    OPEN_STEP,
    PAGES,
    PLACES,
    POSITIONS,
    QKV,
    ROW_COUNT,
    ROWS,
    SCALES,
    SCORES,
    SCORES_BYTES,
    SCRATCH,
    SCRATCH_BYTES,
    SEGMENT,
    SEGMENT_SIZE,
    SEGMENTS,
    START,
    STREAM,
    SYNC,
    THREADS,
    TICKETS,
    TOGETHER,
    TOKENS,
    VOCABULARY,
    WALK,
    WANTED,
    WANTED_COUNT,
    WANTED_TOGETHER,
    WIDTH,
)
from gpt2_assist.model.packing import TILE

_PHASES = 9
_ITEMS_A_THREAD = 4
_PATIENCE = 2_000
"""Rounds in which a thread waits for another within a step before it leaves its core, and for how long it does."""
_SHORTLY = 20
_SPINS, _NAPS, _NAP = 20_000, 15_000, 200
"""Between steps: rounds of waiting at full speed, then naps of so many microseconds, three seconds in all. They end by
the clock and on the thread's own core, where a thread that is woken by another one may be put behind it."""
_BLOCKS_AHEAD = 4
_ONE = np.float32(1.0)


@kernel
def _padded(count, multiple):
    return (count + multiple - 1) // multiple * multiple


@kernel
def _group(kind):
    return 64 if kind == INT8 else 32 if kind == INT4 else 1


@kernel
def _block_bytes(kind):
    """Bytes of a group of a tile."""
    return 2112 if kind == INT8 else 576 if kind == INT4 else 64 if kind == BF16 else 128


def _choice(products_by_rows):
    """One compiled function for every number of rows that there is a product for."""
    if len(products_by_rows) == 4:
        one, two, four, eight = products_by_rows

        @kernel
        def product(together, weights, data, first, scales, groups, out):
            if together == 1:
                one(weights, data, first, scales, groups, out)
            elif together == 2:
                two(weights, data, first, scales, groups, out)
            elif together == 4:
                four(weights, data, first, scales, groups, out)
            else:
                eight(weights, data, first, scales, groups, out)
    else:
        one, two = products_by_rows

        @kernel
        def product(together, weights, data, first, scales, groups, out):
            if together == 1:
                one(weights, data, first, scales, groups, out)
            else:
                two(weights, data, first, scales, groups, out)
    return product


_int8, _int4, _bf16, _fp32 = (_choice(by_rows) for by_rows in (products.INT8, products.INT4, products.BF16,
                                                               products.FP32))


@kernel
def _multiply(p, thread, kind, weights, inputs, outputs, count, together, bias, out, keep, use_gelu, item, items):
    """Tiles of item `item` of `items`: out[count, outputs] = data[count, inputs] @ weights + bias."""
    tiles = _padded(outputs, TILE) // TILE
    group = _group(kind)
    groups = _padded(inputs, 64) // group
    size = _block_bytes(kind) * groups
    byte = 1 if kind <= INT4 else 4
    scratch = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    stride = 4 * _padded(outputs, 64)
    for tile in range(tiles * item // items, tiles * (item + 1) // items):
        for block in range((count + together - 1) // together):
            data = get(p, DATA) + block * groups * group * together * byte
            aside = 4 * block * groups * together
            first, scales = get(p, FIRST) + aside, get(p, SCALES) + aside
            tile_weights = weights + tile * size
            if kind == INT8:
                _int8(together, tile_weights, data, first, scales, groups, scratch)
            elif kind == INT4:
                _int4(together, tile_weights, data, first, scales, groups, scratch)
            elif kind == BF16:
                _bf16(together, tile_weights, data, first, scales, groups, scratch)
            else:
                _fp32(together, tile_weights, data, first, scales, groups, scratch)
            for row in range(min(together, count - block * together)):
                target = out + (block * together + row) * stride + tile * TILE * 4
                rows.add_to(scratch + row * TILE * 4, bias + tile * TILE * 4, target, 2, keep)
                if use_gelu:
                    rows.gelu(target, 2)


@kernel
def _hand_over(p, kind, source, width, block, row, together):
    """Lays a row of floats out for the products: in groups of bytes, or as floats where the weights are floats."""
    padded = _padded(width, 64)
    if kind <= INT4:
        group = _group(kind)
        groups = padded // group
        base = get(p, DATA) + block * padded * together
        for g in range(groups):
            aside = 4 * (block * groups * together + g * together + row)
            rows.quantise_group(source + 4 * g * group, group // 16, 128 if kind == INT8 else 8,
                                base + g * group * together + 4 * row, 4 * together, get(p, FIRST) + aside,
                                get(p, SCALES) + aside)
    else:
        base = get(p, DATA) + 4 * block * padded * together
        for k in range(padded):
            store_f32(base, k * together + row, load_f32(source, k))


@kernel
def _embed(p, row):
    """The row's first state: its token's embedding, a column of the head, and its position's."""
    token, place = get(get(p, TOKENS), row), get(get(p, PLACES), row)
    kind, width = get(p, HEAD_KIND), get(p, WIDTH)
    groups = _padded(width, 64) // _group(kind)
    tile, lane = token // TILE, token % TILE
    weights = get(p, HEAD) + tile * groups * _block_bytes(kind)
    target = get(p, STREAM) + row * 4 * _padded(width, 64)
    positions = get(p, POSITIONS) + place * 4 * width
    for k in range(width):
        if kind == INT8:
            block = weights + k // 64 * 2112
            byte = np.float32(load_u8(block, k % 64 // 4 * 128 + lane * 4 + k % 4)) - np.float32(128.0)
            scale = from_bits(np.uint32(load_u16(block + 2048, lane)) << np.uint32(16))
            value = byte * scale
        elif kind == BF16:
            value = from_bits(np.uint32(load_u16(weights, k * TILE + lane)) << np.uint32(16))
        else:
            value = load_f32(weights, k * TILE + lane)
        store_f32(target, k, value + load_f32(positions, k))
    for k in range(width, _padded(width, 64)):
        store_f32(target, k, np.float32(0.0))


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
def _attend(p, thread, layer, item):
    """One head of one segment: puts its new keys and values into their pages, then mixes values for each new row.

    A page holds, for each layer and head, keys [padded head width, 16] and values [16, padded head width].
    """
    heads, head_width, width = get(p, HEADS), get(p, HEAD_WIDTH), get(p, WIDTH)
    segment, head = get(p, SEGMENT) + item // heads * SEGMENT_SIZE * 8, item % heads
    padded = _padded(head_width, 16)
    part = padded * BLOCK * 2
    offset = (layer * heads + head) * 2 * part
    first, count, start = get(segment, FIRST_ROW), get(segment, ROW_COUNT), get(segment, START)
    pages = get(segment, PAGES)
    row_bytes = 4 * _padded(3 * width, 64)
    for n in range(count):
        place = start + n
        keys = get(pages, place // BLOCK) + offset
        source = get(p, QKV) + (first + n) * row_bytes + 4 * (width + head * head_width)
        values = keys + part + place % BLOCK * padded * 2
        for d in range(padded):
            if d < head_width:
                key, value = _bf16_bits(load_f32(source, d)), _bf16_bits(load_f32(source, width + d))
            else:
                key = value = np.uint16(0)
            store_u16(keys, d * BLOCK + place % BLOCK, key)
            store_u16(values, d, value)
    scores = get(p, SCORES) + thread * get(p, SCORES_BYTES)
    query = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    mixed = query + 4 * padded
    scale = _ONE / np.float32(np.sqrt(np.float32(head_width)))
    for n in range(count):
        source = get(p, QKV) + (first + n) * row_bytes + 4 * head * head_width
        for d in range(padded):
            store_f32(query, d, load_f32(source, d) * scale if d < head_width else np.float32(0.0))
            store_f32(mixed, d, np.float32(0.0))
        length = start + n + 1
        blocks = (length + BLOCK - 1) // BLOCK
        for block in range(blocks):
            if n == 0 and block + _BLOCKS_AHEAD < blocks:
                _fetch(get(pages, block + _BLOCKS_AHEAD) + offset, part)
            rows.scores_of(query, get(pages, block) + offset, padded, scores + block * BLOCK * 4)
        total = rows.softmax(scores, length)
        for block in range(blocks):
            if n == 0 and block + _BLOCKS_AHEAD < blocks:
                _fetch(get(pages, block + _BLOCKS_AHEAD) + offset + part, part)
            rows.mix_values(scores + block * BLOCK * 4, get(pages, block) + offset + part,
                            min(BLOCK, length - block * BLOCK), padded // 16, mixed)
        rows.scale_row(mixed, padded // 16, _ONE / total)
        target = get(p, MIXED) + (first + n) * 4 * _padded(width, 64) + 4 * head * head_width
        for d in range(head_width):
            store_f32(target, d, load_f32(mixed, d))


@kernel
def _prepare(p, thread, epsilon, block, source, width, kind, weight, bias, together, count, chosen):
    """Rows of one block: normalised where there is a weight, and laid out for the next product.

    `chosen` is the address of row numbers, or 0 where the rows are all in order.
    """
    row_bytes = 4 * _padded(width, 64)
    inner = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    for n in range(min(together, count - block * together)):
        row = block * together + n
        if chosen:
            row = get(chosen, row)
        here = source + row * row_bytes
        if weight:
            rows.layer_norm(here, weight, bias, width, epsilon, inner)
            here = inner
        _hand_over(p, kind, here, width, block, n, together)


# A layer's phases, in order: those with rows prepare the input of the product after them.
_NORM_1, _QKV, _ATTENTION, _MIX, _PROJECT, _NORM_2, _GROW, _SHOW, _SHRINK = range(_PHASES)


@kernel
def _tile_items(p, outputs):
    """Items of a product: some for each thread, more where there is more to balance."""
    tiles = _padded(outputs, TILE) // TILE
    return min(tiles, get(p, THREADS) * _ITEMS_A_THREAD * max(1, tiles // 256))


@kernel
def _items(p, phase):
    """Into how many items a layer's phase is cut."""
    if phase == _ATTENTION:
        return get(p, SEGMENTS) * get(p, HEADS)
    if phase == _QKV:
        return _tile_items(p, 3 * get(p, WIDTH))
    if phase == _GROW:
        return _tile_items(p, 4 * get(p, WIDTH))
    if phase in (_PROJECT, _SHRINK):
        return _tile_items(p, get(p, WIDTH))
    return (get(p, ROWS) + get(p, TOGETHER) - 1) // get(p, TOGETHER)


@kernel
def _run(p, layers, epsilon, thread, layer, phase, item, items):
    """One item of a layer's phase."""
    count, together, width, kind = get(p, ROWS), get(p, TOGETHER), get(p, WIDTH), get(p, KIND)
    own, stream = layers + 8 * layer * LAYER_SIZE, get(p, STREAM)
    if phase == _NORM_1:
        if layer == 0:
            for row in range(item * together, min(count, (item + 1) * together)):
                _embed(p, row)
        _prepare(p, thread, epsilon, item, stream, width, kind, get(own, LN_1_WEIGHT), get(own, LN_1_BIAS), together,
                 count, 0)
    elif phase == _QKV:
        _multiply(p, thread, kind, get(own, ATTN), width, 3 * width, count, together, get(own, ATTN_BIAS), get(p, QKV),
                  0, False, item, items)
    elif phase == _ATTENTION:
        _attend(p, thread, layer, item)
    elif phase == _MIX:
        _prepare(p, thread, epsilon, item, get(p, MIXED), width, kind, 0, 0, together, count, 0)
    elif phase == _PROJECT:
        _multiply(p, thread, kind, get(own, ATTN_PROJ), width, width, count, together, get(own, ATTN_PROJ_BIAS), stream,
                  1, False, item, items)
    elif phase == _NORM_2:
        _prepare(p, thread, epsilon, item, stream, width, kind, get(own, LN_2_WEIGHT), get(own, LN_2_BIAS), together,
                 count, 0)
    elif phase == _GROW:
        _multiply(p, thread, kind, get(own, FC), width, 4 * width, count, together, get(own, FC_BIAS), get(p, INNER), 0,
                  True, item, items)
    elif phase == _SHOW:
        _prepare(p, thread, epsilon, item, get(p, INNER), 4 * width, kind, 0, 0, together, count, 0)
    else:
        _multiply(p, thread, kind, get(own, FC_PROJ), 4 * width, width, count, together, get(own, FC_PROJ_BIAS), stream,
                  1, False, item, items)


@kernel
def _rest(waited):
    """One round of waiting for another thread. It may have lost its core to another program: after a while the waiting
    one gives up its own, where the system may then let the other go on."""
    if waited < _PATIENCE:
        relax()
    else:
        pause(_SHORTLY)
    return waited + 1


@kernel
def _await(sync, begin):
    """Waits until so many items are done."""
    waited = 0
    while atomic_load(sync + 8 * DONE) < begin:
        waited = _rest(waited)


@kernel
def _walk(p, layers, epsilon, thread):
    """A thread's way through the step: all layers, then the logits of the rows that are wanted."""
    sync = get(p, SYNC)
    ticket = atomic_add(sync + 8 * TICKETS, 1)
    begin = 0
    for layer in range(get(p, LAYERS)):
        for phase in range(_PHASES):
            items = _items(p, phase)
            while ticket < begin + items:
                _await(sync, begin)
                _run(p, layers, epsilon, thread, layer, phase, ticket - begin, items)
                atomic_add(sync + 8 * DONE, 1)
                ticket = atomic_add(sync + 8 * TICKETS, 1)
            begin += items
    wanted, together, kind = get(p, WANTED_COUNT), get(p, WANTED_TOGETHER), get(p, HEAD_KIND)
    if wanted:
        items = (wanted + together - 1) // together
        while ticket < begin + items:
            _await(sync, begin)
            _prepare(p, thread, epsilon, ticket - begin, get(p, STREAM), get(p, WIDTH), kind, get(p, NORM_WEIGHT),
                     get(p, NORM_BIAS), together, wanted, get(p, WANTED))
            atomic_add(sync + 8 * DONE, 1)
            ticket = atomic_add(sync + 8 * TICKETS, 1)
        begin += items
        items = _tile_items(p, get(p, VOCABULARY))
        while ticket < begin + items:
            _await(sync, begin)
            _multiply(p, thread, kind, get(p, HEAD), get(p, WIDTH), get(p, VOCABULARY), wanted, together,
                      get(p, NO_BIAS), get(p, LOGITS), 0, False, ticket - begin, items)
            atomic_add(sync + 8 * DONE, 1)
            ticket = atomic_add(sync + 8 * TICKETS, 1)
        begin += items
    _await(sync, begin)


@kernel
def _open_step(p, number):
    """Lets the other threads in; `number` differs from the last step's, and with 0 nobody comes."""
    sync = get(p, SYNC)
    atomic_swap(sync + 8 * TICKETS, 0)
    atomic_swap(sync + 8 * DONE, 0)
    atomic_swap(sync + 8 * OPEN, number)


@kernel
def _close_step(p):
    """Waits until no other thread is inside any more."""
    sync = get(p, SYNC)
    atomic_swap(sync + 8 * OPEN, 0)
    waited = 0
    while atomic_load(sync + 8 * INSIDE) > 0:
        waited = _rest(waited)


@kernel
def _help_out(p, layers, epsilon, thread, last):
    """Another thread's life: joins each step that opens; gives the last step's number once it waited for too long."""
    sync = get(p, SYNC)
    waited = 0
    while waited < _SPINS + _NAPS:
        number = atomic_load(sync + 8 * OPEN)
        if number and number != last:
            atomic_add(sync + 8 * INSIDE, 1)
            if atomic_add(sync + 8 * OPEN, 0) == number:
                _walk(p, layers, epsilon, thread)
            atomic_add(sync + 8 * INSIDE, -1)
            last, waited = number, 0
        else:
            if waited < _SPINS:
                relax()
            else:
                pause(_NAP)
            waited += 1
    return last


@kernel
def enter(what, p, layers, epsilon, thread, number):
    """The one function that callers have: p and layers are addresses, the other arguments as `what` needs."""
    if what == OPEN_STEP:
        _open_step(p, number)
    elif what == WALK:
        _walk(p, layers, epsilon, thread)
    elif what == CLOSE_STEP:
        _close_step(p)
    else:
        number = _help_out(p, layers, epsilon, thread, number)
    return number
