"""One forward step of a few rows through all layers, as a sequence of phases that any number of threads walk together.

A row is one new token of one sequence. The rows of a sequence stand beside each other and form a segment. Every phase
is cut into items; a thread takes the next item's ticket from a counter, so a thread that comes late, or not at all,
holds nobody up, and no result depends on who computed what. Before a phase's first item a thread waits until all items
of the phase before are done.

The step reads a plan (plan.py), which the engine fills.
"""
import numpy as np

from gpt2_assist.engine.cpu import products, rows
from gpt2_assist.engine.cpu.attention import attend
from gpt2_assist.engine.cpu.memory import (
    atomic_add,
    atomic_load,
    atomic_swap,
    from_bits,
    get,
    kernel,
    load_f32,
    load_u8,
    load_u16,
    padded,
    pause,
    relax,
    store_f32,
)
from gpt2_assist.engine.cpu.plan import (
    ADAPTED,
    ADAPTERS,
    ATTN,
    ATTN_BIAS,
    ATTN_PROJ,
    ATTN_PROJ_BIAS,
    BESIDE,
    BF16,
    CLOSE_STEP,
    DATA,
    DONE,
    FC,
    FC_BIAS,
    FC_PROJ,
    FC_PROJ_BIAS,
    FIRST,
    HEAD,
    HEAD_KIND,
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
    MIDDLE,
    MIXED,
    NO_BIAS,
    NORM_BIAS,
    NORM_WEIGHT,
    OPEN,
    OPEN_STEP,
    PAIRS,
    PLACES,
    POSITIONS,
    QKV,
    RANK,
    ROWS,
    SCALES,
    SCRATCH,
    SCRATCH_BYTES,
    SEGMENTS,
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
from gpt2_assist.model.adapter import MOST_RANK
from gpt2_assist.model.packing import TILE

_PHASES = 9
_ITEMS_A_THREAD = 4
_PATIENCE = 2_000
"""Rounds in which a thread waits for another within a step before it leaves its core, and for how long it does."""
_SHORTLY = 20
_SPINS, _NAPS, _NAP = 20_000, 15_000, 200
"""Between steps: rounds of waiting at full speed, then naps of so many microseconds, three seconds in all. They end by
the clock and on the thread's own core, where a thread that is woken by another one may be put behind it."""


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
def _adapt_inputs(p, beside, row, source, width):
    """The first half of a row's adapter, if it has one beside this matrix: middle[rank] = source[width] @ down."""
    adapter = get(get(p, ADAPTERS), row)
    if adapter:
        down = get(adapter, PAIRS + 2 * beside)
        if down:
            inputs = padded(width, 64)
            middle = get(p, MIDDLE) + row * 4 * MOST_RANK
            for block in range(padded(get(adapter, RANK), 16) // 16):
                rows.low_rank(source, down + block * inputs * 64, inputs, middle + block * 64)


@kernel
def _adapt_tiles(p, beside, begin, end, tile, out, stride, use_gelu):
    """The second half for some rows: out[row, the tile's 32] += middle[rank] @ up."""
    for row in range(begin, end):
        target = out + row * stride + tile * TILE * 4
        adapter = get(get(p, ADAPTERS), row)
        if adapter:
            up = get(adapter, PAIRS + 2 * beside + 1)
            if up:
                rank = get(adapter, RANK)
                rows.widen_low_rank(get(p, MIDDLE) + row * 4 * MOST_RANK, up + tile * rank * TILE * 4, rank, target)
        if use_gelu:
            rows.gelu(target, 2)


@kernel
def _multiply(p, thread, kind, weights, inputs, outputs, count, together, bias, out, keep, use_gelu, beside, item,
              items):
    """Tiles of item `item` of `items`: out[count, outputs] = data[count, inputs] @ weights + bias.

    `beside`: the matrix's number where rows may have adapters beside it, else -1.
    """
    tiles = padded(outputs, TILE) // TILE
    group = _group(kind)
    groups = padded(inputs, 64) // group
    size = _block_bytes(kind) * groups
    byte = 1 if kind <= INT4 else 4
    scratch = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    stride = 4 * padded(outputs, 64)
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
                if use_gelu and beside < 0:
                    rows.gelu(target, 2)
            if beside >= 0:
                first_row = block * together
                _adapt_tiles(p, beside, first_row, min(count, first_row + together), tile, out, stride, use_gelu)


@kernel
def _hand_over(p, kind, source, width, block, row, together):
    """Lays a row of floats out for the products: in groups of bytes, or as floats where the weights are floats."""
    inputs = padded(width, 64)
    if kind <= INT4:
        group = _group(kind)
        groups = inputs // group
        base = get(p, DATA) + block * inputs * together
        for g in range(groups):
            aside = 4 * (block * groups * together + g * together + row)
            rows.quantise_group(source + 4 * g * group, group // 16, 128 if kind == INT8 else 8,
                                base + g * group * together + 4 * row, 4 * together, get(p, FIRST) + aside,
                                get(p, SCALES) + aside)
    else:
        base = get(p, DATA) + 4 * block * inputs * together
        for k in range(inputs):
            store_f32(base, k * together + row, load_f32(source, k))


@kernel
def _embed(p, row):
    """The row's first state: its token's embedding, a column of the head, and its position's."""
    token, place = get(get(p, TOKENS), row), get(get(p, PLACES), row)
    kind, width = get(p, HEAD_KIND), get(p, WIDTH)
    groups = padded(width, 64) // _group(kind)
    tile, lane = token // TILE, token % TILE
    weights = get(p, HEAD) + tile * groups * _block_bytes(kind)
    target = get(p, STREAM) + row * 4 * padded(width, 64)
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
    for k in range(width, padded(width, 64)):
        store_f32(target, k, np.float32(0.0))


@kernel
def _prepare(p, thread, epsilon, block, source, width, kind, weight, bias, together, count, chosen, beside):
    """Rows of one block: normalised where there is a weight, and laid out for the next product, that with the matrix
    `beside`.

    `chosen` is the address of row numbers, or 0 where the rows are all in order.
    """
    row_bytes = 4 * padded(width, 64)
    inner = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    for n in range(min(together, count - block * together)):
        row = block * together + n
        if chosen:
            row = get(chosen, row)
        here = source + row * row_bytes
        if weight:
            rows.layer_norm(here, weight, bias, width, epsilon, inner)
            here = inner
        if beside >= 0:
            _adapt_inputs(p, beside, row, here, width)
        _hand_over(p, kind, here, width, block, n, together)


# A layer's phases, in order: those with rows prepare the input of the product after them.
_NORM_1, _QKV, _ATTENTION, _MIX, _PROJECT, _NORM_2, _GROW, _SHOW, _SHRINK = range(_PHASES)


@kernel
def _tile_items(p, outputs):
    """Items of a product: some for each thread, more where there is more to balance."""
    tiles = padded(outputs, TILE) // TILE
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
    beside = BESIDE * layer if get(p, ADAPTED) else -BESIDE  # and so below 0 for each of the four
    if phase == _NORM_1:
        if layer == 0:
            for row in range(item * together, min(count, (item + 1) * together)):
                _embed(p, row)
        _prepare(p, thread, epsilon, item, stream, width, kind, get(own, LN_1_WEIGHT), get(own, LN_1_BIAS), together,
                 count, 0, beside)
    elif phase == _QKV:
        _multiply(p, thread, kind, get(own, ATTN), width, 3 * width, count, together, get(own, ATTN_BIAS), get(p, QKV),
                  0, False, beside, item, items)
    elif phase == _ATTENTION:
        attend(p, thread, layer, item)
    elif phase == _MIX:
        _prepare(p, thread, epsilon, item, get(p, MIXED), width, kind, 0, 0, together, count, 0, beside + 1)
    elif phase == _PROJECT:
        _multiply(p, thread, kind, get(own, ATTN_PROJ), width, width, count, together, get(own, ATTN_PROJ_BIAS), stream,
                  1, False, beside + 1, item, items)
    elif phase == _NORM_2:
        _prepare(p, thread, epsilon, item, stream, width, kind, get(own, LN_2_WEIGHT), get(own, LN_2_BIAS), together,
                 count, 0, beside + 2)
    elif phase == _GROW:
        _multiply(p, thread, kind, get(own, FC), width, 4 * width, count, together, get(own, FC_BIAS), get(p, INNER), 0,
                  True, beside + 2, item, items)
    elif phase == _SHOW:
        _prepare(p, thread, epsilon, item, get(p, INNER), 4 * width, kind, 0, 0, together, count, 0, beside + 3)
    else:
        _multiply(p, thread, kind, get(own, FC_PROJ), 4 * width, width, count, together, get(own, FC_PROJ_BIAS), stream,
                  1, False, beside + 3, item, items)


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
                     get(p, NORM_BIAS), together, wanted, get(p, WANTED), -1)
            atomic_add(sync + 8 * DONE, 1)
            ticket = atomic_add(sync + 8 * TICKETS, 1)
        begin += items
        items = _tile_items(p, get(p, VOCABULARY))
        while ticket < begin + items:
            _await(sync, begin)
            _multiply(p, thread, kind, get(p, HEAD), get(p, WIDTH), get(p, VOCABULARY), wanted, together,
                      get(p, NO_BIAS), get(p, LOGITS), 0, False, -1, ticket - begin, items)
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
