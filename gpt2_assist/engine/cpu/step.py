"""One forward step of a few rows through all layers, as a sequence of phases that any number of threads walk together.

A row is one new token of one sequence. The rows of a sequence stand beside each other and form a segment. Every phase
is cut into items; a thread takes the next item's ticket from a counter, so a thread that comes late, or not at all,
holds nobody up, and no result depends on who computed what. Before a phase's first item a thread waits until all items
of the phase before are done.

What the phases are, the step reads from a program, and everything else from a plan (plan.py): the engine fills both.
"""
import numpy as np

from gpt2_assist.engine.cpu import products, rows
from gpt2_assist.engine.cpu.attention import attend, attend_items, keep
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
    ACTIVATION,
    ADAPTED,
    ADAPTERS,
    ADDS,
    ATTEND,
    BF16,
    BIAS,
    CLOSE_STEP,
    DATA,
    DONE,
    EMBEDDING,
    FIRST,
    GATED,
    GELU,
    GELU_TANH,
    GIVEN,
    HOW,
    INPUTS,
    INSIDE,
    INT4,
    INT4_MIN,
    INT8,
    KEEP,
    KIND,
    LAYER_NORM,
    LENGTH,
    LINEAR,
    MATRIX,
    MIDDLE,
    MULTIPLY,
    NORM_BIAS,
    NORM_WEIGHT,
    ON_WANTED,
    OPEN,
    OPEN_STEP,
    OPERATION,
    OUTPUTS,
    PAIRS,
    PLACES,
    PLAIN,
    POSITIONS,
    PREPARE,
    RANK,
    RMS_NORM,
    ROW_SIZE,
    ROWS,
    SCALES,
    SCRATCH,
    SCRATCH_BYTES,
    SOURCE,
    STREAM,
    STRIDE,
    SYNC,
    TABLE_KIND,
    TARGET,
    THREADS,
    TICKETS,
    TOGETHER,
    TOKENS,
    WALK,
    WANTED,
    WANTED_COUNT,
    WANTED_TOGETHER,
    WEIGHTS,
    WIDTH,
)
from gpt2_assist.model.packing import MOST_RANK, TILE

_ITEMS_A_THREAD = 4
_PATIENCE = 2_000
"""Rounds in which a thread waits for another within a step before it leaves its core, and for how long it does."""
_SHORTLY = 20
_SPINS, _NAPS, _NAP = 20_000, 15_000, 200
"""Between steps: rounds of waiting at full speed, then naps of so many microseconds, three seconds in all. They end by
the clock and on the thread's own core, where a thread that is woken by another one may be put behind it."""


@kernel
def _group(kind):
    return 64 if kind == INT8 else 32 if kind <= INT4_MIN else 1


@kernel
def _block_bytes(kind):
    """Bytes of a group of a tile."""
    if kind == INT8:
        return 2112
    if kind <= INT4_MIN:
        return 576 if kind == INT4 else 640
    return 64 if kind == BF16 else 128


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


_int8, _int4, _int4_min, _bf16, _fp32 = (
    _choice(by_rows) for by_rows in (products.INT8, products.INT4, products.INT4_MIN, products.BF16, products.FP32))


@kernel
def _activate(target, activation):
    """The tile's 32 numbers of a row, in place."""
    if activation == GELU_TANH:
        rows.gelu_tanh(target, 2)
    elif activation == GELU:
        rows.gelu(target, 2)
    elif activation != LINEAR:
        rows.relu(target, 2)


@kernel
def _adapt_inputs(p, matrix, row, source, width):
    """The first half of a row's adapter, if it has one beside this matrix: middle[rank] = source[width] @ down."""
    adapter = get(get(p, ADAPTERS), row)
    if adapter:
        down = get(adapter, PAIRS + 2 * matrix)
        if down:
            inputs = padded(width, 64)
            middle = get(p, MIDDLE) + row * 4 * MOST_RANK
            for block in range(padded(get(adapter, RANK), 16) // 16):
                rows.low_rank(source, down + block * inputs * 64, inputs, middle + block * 64)


@kernel
def _adapt_tiles(p, matrix, begin, end, tile, out, stride, activation):
    """The second half for some rows: out[row, the tile's 32] += middle[rank] @ up."""
    for row in range(begin, end):
        target = out + row * stride + tile * TILE * 4
        adapter = get(get(p, ADAPTERS), row)
        if adapter:
            up = get(adapter, PAIRS + 2 * matrix + 1)
            if up:
                rank = get(adapter, RANK)
                rows.widen_low_rank(get(p, MIDDLE) + row * 4 * MOST_RANK, up + tile * rank * TILE * 4, rank, target)
        _activate(target, activation)


@kernel
def _multiply(p, own, thread, item, items):
    """Tiles of item `item` of `items` of a product; see plan.MULTIPLY."""
    kind, weights, outputs, bias = get(own, KIND), get(own, WEIGHTS), get(own, OUTPUTS), get(own, BIAS)
    out, keep_there, activation = get(own, TARGET), get(own, ADDS), get(own, ACTIVATION)
    count, together, matrix = _count(p, own), _together(p, own), _adapted(p, own)
    tiles = padded(outputs, TILE) // TILE
    group = _group(kind)
    groups = padded(get(own, INPUTS), 64) // group
    size = _block_bytes(kind) * groups
    byte = 1 if kind <= INT4_MIN else 4
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
            elif kind == INT4_MIN:
                _int4_min(together, tile_weights, data, first, scales, groups, scratch)
            elif kind == BF16:
                _bf16(together, tile_weights, data, first, scales, groups, scratch)
            else:
                _fp32(together, tile_weights, data, first, scales, groups, scratch)
            for row in range(min(together, count - block * together)):
                target = out + (block * together + row) * stride + tile * TILE * 4
                rows.add_to(scratch + row * TILE * 4, bias + tile * TILE * 4, target, 2, keep_there)
                if matrix < 0:
                    _activate(target, activation)
            if matrix >= 0:
                first_row = block * together
                _adapt_tiles(p, matrix, first_row, min(count, first_row + together), tile, out, stride, activation)


@kernel
def _hand_over(p, kind, source, width, block, row, together):
    """Lays a row of floats out for the products: in groups of bytes, or as floats where the weights are floats."""
    inputs = padded(width, 64)
    if kind <= INT4_MIN:
        offset = 128 if kind == INT8 else 8 if kind == INT4 else -1
        group = _group(kind)
        groups = inputs // group
        base = get(p, DATA) + block * inputs * together
        for g in range(groups):
            aside = 4 * (block * groups * together + g * together + row)
            rows.quantise_group(source + 4 * g * group, group // 16, offset,
                                base + g * group * together + 4 * row, 4 * together, get(p, FIRST) + aside,
                                get(p, SCALES) + aside)
    else:
        base = get(p, DATA) + 4 * block * inputs * together
        for k in range(inputs):
            store_f32(base, k * together + row, load_f32(source, k))


@kernel
def _embed(p, row):
    """The row's first state: its token's embedding, a column of the table or what an adapter has given for it, and its
    position's, where positions have embeddings."""
    token, place = get(get(p, TOKENS), row), get(get(p, PLACES), row)
    kind, width = get(p, TABLE_KIND), get(p, WIDTH)
    groups = padded(width, 64) // _group(kind)
    tile, lane = token // TILE, token % TILE
    weights = get(p, EMBEDDING) + tile * groups * _block_bytes(kind)
    target = get(p, STREAM) + row * 4 * padded(width, 64)
    positions = get(p, POSITIONS)
    here = positions + place * 4 * width
    given = get(get(p, GIVEN), row)
    for k in range(width):
        if given:
            value = load_f32(given, k)
        elif kind == INT8:
            block = weights + k // 64 * 2112
            byte = np.float32(load_u8(block, k % 64 // 4 * 128 + lane * 4 + k % 4)) - np.float32(128.0)
            scale = from_bits(np.uint32(load_u16(block + 2048, lane)) << np.uint32(16))
            value = byte * scale
        elif kind == BF16:
            value = from_bits(np.uint32(load_u16(weights, k * TILE + lane)) << np.uint32(16))
        else:
            value = load_f32(weights, k * TILE + lane)
        store_f32(target, k, value + load_f32(here, k) if positions else value)
    for k in range(width, padded(width, 64)):
        store_f32(target, k, np.float32(0.0))


@kernel
def _prepare(p, own, epsilon, thread, item):
    """The rows of one block; see plan.PREPARE. The first operation of all makes what it prepares."""
    source, width, how, kind = get(own, SOURCE), get(own, INPUTS), get(own, HOW), get(own, KIND)
    count, together, matrix = _count(p, own), _together(p, own), _adapted(p, own)
    row_bytes = 4 * get(own, STRIDE)
    inner = get(p, SCRATCH) + thread * get(p, SCRATCH_BYTES)
    for n in range(min(together, count - item * together)):
        row = item * together + n
        if get(own, ON_WANTED):
            row = get(get(p, WANTED), row)
        elif get(own, MATRIX) == 0:
            _embed(p, row)
        here = source + row * row_bytes
        if how == LAYER_NORM:
            rows.layer_norm(here, get(own, NORM_WEIGHT), get(own, NORM_BIAS), width, epsilon, inner)
        elif how == RMS_NORM:
            rows.rms_norm(here, get(own, NORM_WEIGHT), width, epsilon, inner)
        elif how == GATED:
            rows.gated(here, here + 4 * width, width, inner)
        if how != PLAIN:
            here = inner
        if matrix >= 0:
            _adapt_inputs(p, matrix, row, here, width)
        _hand_over(p, kind, here, width, item, n, together)


@kernel
def _count(p, own):
    """How many rows an operation has."""
    return get(p, WANTED_COUNT) if get(own, ON_WANTED) else get(p, ROWS)


@kernel
def _together(p, own):
    """How many rows the products take at once."""
    return get(p, WANTED_TOGETHER) if get(own, ON_WANTED) else get(p, TOGETHER)


@kernel
def _adapted(p, own):
    """The number of an operation's matrix in the adapters' tables, or -1 if nothing can be beside it."""
    return get(own, MATRIX) if get(p, ADAPTED) else -1


@kernel
def _tile_items(p, outputs):
    """Items of a product: some for each thread, more where there is more to balance."""
    tiles = padded(outputs, TILE) // TILE
    return min(tiles, get(p, THREADS) * _ITEMS_A_THREAD * max(1, tiles // 256))


@kernel
def _items(p, own):
    """Into how many items an operation is cut."""
    operation = get(own, OPERATION)
    if operation == ATTEND:
        return attend_items(p)
    if operation == KEEP:
        return get(p, ROWS)
    if operation == MULTIPLY:
        return _tile_items(p, get(own, OUTPUTS)) if _count(p, own) else 0
    return (_count(p, own) + _together(p, own) - 1) // _together(p, own)


@kernel
def _run(p, own, epsilon, thread, item, items):
    """One item of an operation."""
    operation = get(own, OPERATION)
    if operation == MULTIPLY:
        _multiply(p, own, thread, item, items)
    elif operation == PREPARE:
        _prepare(p, own, epsilon, thread, item)
    elif operation == KEEP:
        keep(p, own, epsilon, thread, item)
    else:
        attend(p, own, thread, item)


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
def _walk(p, program, epsilon, thread):
    """A thread's way through the step."""
    sync = get(p, SYNC)
    ticket = atomic_add(sync + 8 * TICKETS, 1)
    begin = 0
    for number in range(get(p, LENGTH)):
        own = program + 8 * number * ROW_SIZE
        items = _items(p, own)
        while ticket < begin + items:
            _await(sync, begin)
            _run(p, own, epsilon, thread, ticket - begin, items)
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
def _help_out(p, program, epsilon, thread, last):
    """Another thread's life: joins each step that opens; gives the last step's number once it waited for too long."""
    sync = get(p, SYNC)
    waited = 0
    while waited < _SPINS + _NAPS:
        number = atomic_load(sync + 8 * OPEN)
        if number and number != last:
            atomic_add(sync + 8 * INSIDE, 1)
            if atomic_add(sync + 8 * OPEN, 0) == number:
                _walk(p, program, epsilon, thread)
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
def enter(what, p, program, epsilon, thread, number):
    """The one function that callers have: p and program are addresses, the other arguments as `what` needs."""
    if what == OPEN_STEP:
        _open_step(p, number)
    elif what == WALK:
        _walk(p, program, epsilon, thread)
    elif what == CLOSE_STEP:
        _close_step(p)
    else:
        number = _help_out(p, program, epsilon, thread, number)
    return number
