"""The fused kernels, in Triton. `plain.py` says the same in torch.

All products are one kernel, by what their left side is (rows of the stream normed, attention's parts combined, or plain
rows) and what becomes of their results. Sums in float32 over the same inputs are in the same order whatever the number
of rows, since each program takes all of a part's inputs, in blocks that don't depend on it. Norms take their sums in
float64 of numbers on a grid, which is exact, so that their order makes no difference. Multiplications and additions are
not contracted, so that the same expression has the same bits in every kernel.

Splitting a short row's keys among programs is Dao et al.'s "Flash-Decoding" (2023).
"""
import triton
import triton.language as tl
from triton import knobs

from gpt2_assist.engine.cuda import rows, shapes
from gpt2_assist.engine.pages import BLOCK

_FIELDS, _TOKEN, _POSITION, _ADAPTER, _FLAGS, _FILTERING, _PENALTY = (tl.constexpr(value) for value in (
    rows.FIELDS, rows.TOKEN, rows.POSITION, rows.ADAPTER, rows.FLAGS, rows.FILTERING, rows.PENALTY))
_PENALISED, _BIASED = tl.constexpr(rows.PENALISED), tl.constexpr(rows.BIASED)
_PAGE = tl.constexpr(BLOCK)
_KEYS = tl.constexpr(shapes.KEYS)
_MOST = tl.constexpr(shapes.MOST_ROWS)
_AT_ONCE = tl.constexpr(4)
"""Parts of attention whose loads are asked for together."""
_INTERPRETED = tl.constexpr(bool(knobs.runtime.interpret))
_GRID, _SQUARES_GRID = tl.constexpr(1.5 * 2 ** 26), tl.constexpr(1.5 * 2 ** 28)
"""Added and taken away again, they leave float64 numbers in steps of 2**-26 and 2**-24."""

_NORM, _MIXED, _PLAIN = (tl.constexpr(value) for value in (shapes.NORM, shapes.MIXED, shapes.PLAIN))
_CACHE, _HEADS, _PARTS, _STREAM, _INNER = (tl.constexpr(value) for value in (
    shapes.CACHE, shapes.HEADS, shapes.PARTS, shapes.STREAM, shapes.INNER))


@triton.jit
def matmul(a, b, total):
    """total + a @ b. Triton's interpreter takes bfloat16 for whole numbers."""
    if _INTERPRETED:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), total)
    elif a.dtype == tl.float32:
        return tl.dot(a, b, total, input_precision="ieee")
    else:
        return tl.dot(a, b, total)


@triton.jit
def rounded(x, KIND: tl.constexpr):
    """x as KIND, to nearest and even, which Triton's interpreter doesn't do."""
    if _INTERPRETED and KIND == tl.bfloat16:  # noqa: SIM300
        bits = x.to(tl.float32).to(tl.uint32, bitcast=True)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).to(tl.uint16).to(tl.bfloat16, bitcast=True)
    else:
        return x.to(KIND)


@triton.jit
def stream_at(x, parts, parts_bias, m, there, k, K: tl.constexpr, IN_PARTS: tl.constexpr):
    """The stream [m, k]: what stands in x, and the parts of what the product before adds to it, with its bias."""
    inside = there[:, None] & (k < K)[None, :]
    at = m[:, None] * K + k[None, :]
    value = tl.load(x + at, mask=inside, other=0.0)
    if IN_PARTS > 0:
        total = tl.load(parts + at, mask=inside, other=0.0)
        for part in tl.static_range(1, IN_PARTS):
            total += tl.load(parts + part * _MOST * K + at, mask=inside, other=0.0)
        if parts_bias is not None:
            total += tl.load(parts_bias + k, mask=k < K, other=0.0)[None, :]
        value += total
    return value


@triton.jit
def norm_figures(x, parts, parts_bias, epsilon, m, there, K: tl.constexpr, IN_PARTS: tl.constexpr, RMS: tl.constexpr):
    """(mean, reciprocal deviation) of the stream's rows, in float32. An RMS norm's mean is 0."""
    total = tl.zeros((m.shape[0],), tl.float64)
    squares = tl.zeros((m.shape[0],), tl.float64)
    for first in tl.static_range(0, K, 256):
        value = stream_at(x, parts, parts_bias, m, there, first + tl.arange(0, 256), K, IN_PARTS).to(tl.float64)
        value = (value + _GRID) - _GRID
        square = (value * value + _SQUARES_GRID) - _SQUARES_GRID
        if not RMS:
            total += tl.sum(value, 1)
        squares += tl.sum(square, 1)
    mean = total / K
    variance = squares / K - mean * mean
    return mean.to(tl.float32), (1.0 / tl.sqrt(variance + epsilon)).to(tl.float32)


@triton.jit
def settle(x, parts, parts_bias, settled, m, there, K: tl.constexpr, IN_PARTS: tl.constexpr):
    """Leaves the stream's rows, without parts, in `settled`."""
    for first in tl.static_range(0, K, 256):
        k = first + tl.arange(0, 256)
        tl.store(settled + m[:, None] * K + k[None, :], stream_at(x, parts, parts_bias, m, there, k, K, IN_PARTS),
                 mask=there[:, None] & (k < K)[None, :])


@triton.jit
def spread(values, rows, m):
    """values [rows, any] at the places m of which they are the rows; 0 elsewhere."""
    return tl.sum(tl.where((m[:, None] == rows[None, :])[:, :, None], values[None, :, :], 0.0), 1)


@triton.jit
def mixed_at(x, extremes, m, positions, first, K: tl.constexpr, HEADS: tl.constexpr, SPLITS: tl.constexpr,
             SPLITS_UP: tl.constexpr, BLOCK: tl.constexpr):
    """Attention's output [m, BLOCK] from column `first` on, from the parts that programs of `attend` left in
    x [rows, SPLITS, K]. A head's width divides BLOCK; SPLITS_UP is SPLITS or the next power of 2."""
    width: tl.constexpr = K // HEADS
    few: tl.constexpr = BLOCK // width
    head = first // width + tl.arange(0, few)
    count = tl.where(positions < 0, 0, positions // _KEYS + 1)
    at = (m[:, None] * SPLITS * HEADS + head[None, :]) * 2
    some = (head < HEADS)[None, :]
    split = tl.arange(0, SPLITS_UP)
    tops = tl.load(extremes + at[:, :, None] + split[None, None, :] * HEADS * 2, other=float("-inf"),
                   mask=some[:, :, None] & (split[None, None, :] < count[:, None, None]))
    top = tl.max(tops, 2)
    total = tl.zeros((m.shape[0], few), tl.float32)
    value = tl.zeros((m.shape[0], few, width), tl.float32)
    column = head[:, None] * width + tl.arange(0, width)[None, :]
    for begin in range(0, tl.max(count, 0), _AT_ONCE):
        for step in tl.static_range(_AT_ONCE):
            one = begin + step
            inside = (one < count)[:, None] & some
            weight = tl.exp(tl.load(extremes + at + one * HEADS * 2, mask=inside, other=float("-inf")) - top)
            weight = tl.where(inside, weight, 0.0)
            total += weight * tl.load(extremes + at + one * HEADS * 2 + 1, mask=inside, other=0.0)
            value += weight[:, :, None] * tl.load(x + (m[:, None, None] * SPLITS + one) * K + column[None, :, :],
                                                  mask=inside[:, :, None], other=0.0)
    value = value / tl.where(total == 0.0, 1.0, total)[:, :, None]
    return tl.reshape(value, (m.shape[0], BLOCK))


@triton.jit
def left_side(INPUT: tl.constexpr, KIND: tl.constexpr, x, parts, parts_bias, norm_weight, norm_bias, mean, deviation,
              mixed, m, there, k, K: tl.constexpr, IN_PARTS: tl.constexpr):
    """A product's left side [m, k]."""
    if INPUT == _NORM:
        value = stream_at(x, parts, parts_bias, m, there, k, K, IN_PARTS)
        weight = tl.load(norm_weight + k, mask=k < K, other=0.0)
        value = (value - mean[:, None]) * deviation[:, None] * weight[None, :]
        if norm_bias is not None:
            value += tl.load(norm_bias + k, mask=k < K, other=0.0)[None, :]
    elif INPUT == _MIXED:
        value = mixed
    else:
        value = tl.load(x + m[:, None] * K + k[None, :], mask=there[:, None] & (k < K)[None, :], other=0.0)
    return rounded(value, KIND)


@triton.jit
def summed(INPUT: tl.constexpr, KIND: tl.constexpr, x, parts, parts_bias, norm_weight, norm_bias, mean, deviation,
           mixed, m, there, matrix, n, N, first, last, K: tl.constexpr, BLOCK_K: tl.constexpr, IN_PARTS: tl.constexpr):
    """The product's left side times rows n of matrix [N, K], over blocks of inputs from `first` to before `last`."""
    total = tl.zeros((m.shape[0], n.shape[0]), tl.float32)
    for block in range(first, last):
        k = block * BLOCK_K + tl.arange(0, BLOCK_K)
        left = left_side(INPUT, KIND, x, parts, parts_bias, norm_weight, norm_bias, mean, deviation, mixed, m, there, k,
                         K, IN_PARTS)
        right = tl.load(matrix + n[None, :] * K + k[:, None], mask=(n < N)[None, :] & (k < K)[:, None], other=0.0)
        total = matmul(left, rounded(right, KIND), total)
    return total


@triton.jit
def adapted(total, table, ranks, module, adapters, INPUT: tl.constexpr, KIND: tl.constexpr, x, parts, parts_bias,
            norm_weight, norm_bias, mean, deviation, mixed, m, there, n, N, first, last, K: tl.constexpr,
            BLOCK_K: tl.constexpr, IN_PARTS: tl.constexpr, MODULES: tl.constexpr):
    """`total`, and what the adapters of rows m add to it beside these blocks of inputs. Rows with the same adapter
    stand side by side."""
    done = 0
    for row in range(0, m.shape[0]):
        adapter = tl.sum(tl.where(tl.arange(0, m.shape[0]) == row, adapters, 0), 0)
        if (adapter != 0) & (adapter != done):
            done = adapter
            place = adapter * MODULES + module
            down = tl.multiple_of(tl.load(table + place * 2), 16).to(tl.pointer_type(KIND))
            up = tl.multiple_of(tl.load(table + place * 2 + 1), 16).to(tl.pointer_type(KIND))
            rank = tl.multiple_of(tl.load(ranks + place), 16)
            for begin in range(0, rank, 16):
                r = begin + tl.arange(0, 16)
                few = summed(INPUT, KIND, x, parts, parts_bias, norm_weight, norm_bias, mean, deviation, mixed, m,
                             there, down, r, rank, first, last, K, BLOCK_K, IN_PARTS)
                few = tl.where((adapters == adapter)[:, None], few, 0.0)
                right = tl.load(up + n[None, :] * rank + r[:, None], mask=(n < N)[None, :] & (r < rank)[:, None],
                                other=0.0)
                total = matmul(rounded(few, KIND), right, total)
    return total


@triton.jit
def activated(x, ACTIVATION: tl.constexpr):
    if ACTIVATION == "gelu_tanh":  # x * sigmoid(2 sqrt(2 / pi) (x + 0.044715 x**3))
        return x / (1.0 + tl.exp(-1.5957691216057308 * (x + 0.044715 * x * x * x)))
    elif ACTIVATION == "gelu":
        return 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif ACTIVATION == "relu":
        return tl.maximum(x, 0.0)
    else:
        return x / (1.0 + tl.exp(-x))


def _name(product) -> str:
    """Of a compiled product, as a profile shows it."""
    left, result = (names[product.constants[kind]] for kind, names in (
        ("INPUT", ("norm", "mixed", "plain")), ("OUTPUT", ("cache", "heads", "parts", "stream", "inner"))))
    return f"product_{left}_{result}"


@triton.jit(do_not_specialize=["module", "layer"], repr=_name)
def product(fields, pages, pages_stride, x, parts, parts_bias, settled, figures, extremes, norm_weight, norm_bias,
            epsilon, matrix, scales, bias, table, ranks, module, out, pool, layer, page_size,
            K: tl.constexpr, N: tl.constexpr, INPUT: tl.constexpr, OUTPUT: tl.constexpr, KIND: tl.constexpr,
            ROWS: tl.constexpr, IN_PARTS: tl.constexpr, OUT_PARTS: tl.constexpr, HEADS: tl.constexpr,
            KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr, SPLITS_UP: tl.constexpr,
            RMS: tl.constexpr, ACTIVATION: tl.constexpr, GATED: tl.constexpr, MODULES: tl.constexpr,
            BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, CUT: tl.constexpr):
    """Grid: columns, rows, parts of the sum, which are cut behind multiples of CUT inputs. A program with OUTPUT STREAM
    takes all parts, one after the other.

    ROWS: of the step where `figures` is None, at most BLOCK_M; the norm is then taken here, and the first program
    leaves the stream, without parts, in `settled` where that is wanted.
    """
    m = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    positions = tl.load(fields + m * _FIELDS + _POSITION, mask=m < ROWS, other=-1)
    there = positions >= 0
    if tl.max(positions, 0) < 0:
        return
    adapters = tl.load(fields + m * _FIELDS + _ADAPTER, mask=there, other=0)
    mean = tl.zeros((BLOCK_M,), tl.float32)
    deviation = tl.zeros((BLOCK_M,), tl.float32)
    if INPUT == _NORM:
        if figures is None:
            few = tl.arange(0, ROWS)
            few_there = tl.load(fields + few * _FIELDS + _POSITION) >= 0
            few_mean, few_deviation = norm_figures(x, parts, parts_bias, epsilon, few, few_there, K, IN_PARTS, RMS)
            mean = tl.reshape(spread(few_mean[:, None], few, m), (BLOCK_M,))
            deviation = tl.reshape(spread(few_deviation[:, None], few, m), (BLOCK_M,))
            if settled is not None:  # noqa: SIM102 (known to the compiler, what follows is not)
                if tl.program_id(0) == 0:
                    settle(x, parts, parts_bias, settled, few, few_there, K, IN_PARTS)
        else:
            mean = tl.load(figures + m * 2, mask=there, other=0.0)
            deviation = tl.load(figures + m * 2 + 1, mask=there, other=0.0)
    scale = tl.zeros((BLOCK_N,), tl.float32)
    if scales is not None:
        scale = tl.load(scales + n, mask=n < N, other=0.0)
    cuts: tl.constexpr = (K + CUT - 1) // CUT
    first_part = 0
    last_part = OUT_PARTS
    if OUTPUT == _PARTS:
        first_part = tl.program_id(2)
        last_part = first_part + 1
    mixed = mean
    only = mean
    if INPUT == _MIXED:  # a part is one block of inputs, whose weights are asked for first
        k = first_part * BLOCK_K + tl.arange(0, BLOCK_K)
        only = tl.load(matrix + n[None, :] * K + k[:, None], mask=(n < N)[None, :] & (k < K)[:, None], other=0.0)
        few = tl.arange(0, ROWS)
        few_positions = tl.load(fields + few * _FIELDS + _POSITION)
        mixed = mixed_at(x, extremes, few, few_positions, first_part * BLOCK_K, K, HEADS, SPLITS, SPLITS_UP, BLOCK_K)
        mixed = spread(mixed, few, m)
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for part in range(first_part, last_part):
        first = part * cuts // OUT_PARTS * (CUT // BLOCK_K)
        last = (part + 1) * cuts // OUT_PARTS * (CUT // BLOCK_K)
        if INPUT == _MIXED:
            one = matmul(rounded(mixed, KIND), rounded(only, KIND), tl.zeros((BLOCK_M, BLOCK_N), tl.float32))
        else:
            one = summed(INPUT, KIND, x, parts, parts_bias, norm_weight, norm_bias, mean, deviation, mixed, m, there,
                         matrix, n, N, first, last, K, BLOCK_K, IN_PARTS)
        if scales is not None:
            one *= scale[None, :]
        if tl.max(adapters, 0) > 0:
            one = adapted(one, table, ranks, module, adapters, INPUT, KIND, x, parts, parts_bias, norm_weight,
                          norm_bias, mean, deviation, mixed, m, there, n, N, first, last, K, BLOCK_K, IN_PARTS, MODULES)
        total += one
    inside = there[:, None] & (n < N)[None, :]
    if OUTPUT == _PARTS:
        tl.store(out + (first_part * _MOST + m[:, None]) * N + n[None, :], total, mask=inside)
    else:
        if bias is not None:
            total += tl.load(bias + n, mask=n < N, other=0.0)[None, :]
        if OUTPUT == _STREAM:
            at = out + m[:, None] * N + n[None, :]
            tl.store(at, tl.load(at, mask=inside, other=0.0) + total, mask=inside)
        elif OUTPUT == _HEADS:
            tl.store(out + m[:, None] * N + n[None, :], total, mask=inside)
        elif OUTPUT == _INNER and GATED:  # the matrix has each gate before what it lets through
            gates, through = tl.split(tl.reshape(total, (BLOCK_M, BLOCK_N // 2, 2)))
            half = tl.program_id(0) * (BLOCK_N // 2) + tl.arange(0, BLOCK_N // 2)
            tl.store(out + m[:, None] * (N // 2) + half[None, :],
                     rounded(activated(gates, ACTIVATION) * through, KIND),
                     mask=there[:, None] & (half < N // 2)[None, :])
        elif OUTPUT == _INNER:
            tl.store(out + m[:, None] * N + n[None, :], rounded(activated(total, ACTIVATION), KIND), mask=inside)
        else:
            queries: tl.constexpr = HEADS * WIDTH
            tl.store(out + m[:, None] * queries + n[None, :], rounded(total, KIND),
                     mask=inside & (n < queries)[None, :])
            page = tl.load(pages + m * pages_stride + positions // _PAGE, mask=there, other=0).to(tl.int64)
            # Keys' heads and values' heads stand side by side, in the matrix as in a page.
            place = (layer * 2 * KV_HEADS + (n - queries) // WIDTH) * _PAGE * WIDTH + (n - queries) % WIDTH
            tl.store(pool + page[:, None] * page_size + place[None, :] + (positions % _PAGE)[:, None] * WIDTH,
                     rounded(total, KIND), mask=inside & (n >= queries)[None, :])


@triton.jit
def measure(fields, x, parts, parts_bias, settled, figures, epsilon, K: tl.constexpr, IN_PARTS: tl.constexpr,
            RMS: tl.constexpr):
    """The norm's figures [rows, 2], one program a row, and the stream without parts in `settled`, if it has parts."""
    m = tl.program_id(0) + tl.arange(0, 1)
    there = tl.load(fields + m * _FIELDS + _POSITION) >= 0
    mean, deviation = norm_figures(x, parts, parts_bias, epsilon, m, there, K, IN_PARTS, RMS)
    tl.store(figures + m * 2, mean, mask=there)
    tl.store(figures + m * 2 + 1, deviation, mask=there)
    if settled is not None:
        settle(x, parts, parts_bias, settled, m, there, K, IN_PARTS)


@triton.jit
def combine(fields, x, extremes, out, K: tl.constexpr, HEADS: tl.constexpr, SPLITS: tl.constexpr,
            SPLITS_UP: tl.constexpr, BLOCK: tl.constexpr, KIND: tl.constexpr):
    """Attention's output [rows, K] from its parts, one program a row."""
    m = tl.program_id(0) + tl.arange(0, 1)
    k = tl.arange(0, BLOCK)
    positions = tl.load(fields + m * _FIELDS + _POSITION)
    value = mixed_at(x, extremes, m, positions, 0, K, HEADS, SPLITS, SPLITS_UP, BLOCK)
    tl.store(out + m[:, None] * K + k[None, :], rounded(value, KIND), mask=(positions >= 0)[:, None] & (k < K)[None, :])


@triton.jit
def embed(fields, tokens, scales, places, x, K: tl.constexpr, BLOCK: tl.constexpr):
    """The stream's beginning, x [rows, K], one program a row."""
    row = tl.program_id(0)
    position = tl.load(fields + row * _FIELDS + _POSITION)
    if position < 0:
        return
    token = tl.load(fields + row * _FIELDS + _TOKEN).to(tl.int64)
    k = tl.arange(0, BLOCK)
    value = tl.load(tokens + token * K + k, mask=k < K, other=0.0).to(tl.float32)
    if scales is not None:
        value *= tl.load(scales + token)
    if places is not None:
        value += tl.load(places + position * K + k, mask=k < K, other=0.0)
    tl.store(x + row * K + k, value, mask=k < K)


@triton.jit(do_not_specialize=["layer"])
def keep(fields, pages, pages_stride, x, turns, query_norm, key_norm, epsilon, queries, pool, layer, page_size,
         HEADS: tl.constexpr, KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, KIND: tl.constexpr):
    """Norms and turns each head of a row's query and key, x [rows, HEADS + 2 KV_HEADS, WIDTH], and brings them and the
    values where attention looks for them. Grid: rows, heads."""
    row, which = tl.program_id(0), tl.program_id(1)
    position = tl.load(fields + row * _FIELDS + _POSITION)
    if position < 0:
        return
    half: tl.constexpr = WIDTH // 2
    e = tl.arange(0, half)
    x += (row * (HEADS + 2 * KV_HEADS) + which) * WIDTH
    first, second = tl.load(x + e), tl.load(x + half + e)
    if which < HEADS + KV_HEADS:
        if query_norm is not None:
            weight = tl.where(which < HEADS, tl.load(query_norm + e), tl.load(key_norm + e))
            weight_behind = tl.where(which < HEADS, tl.load(query_norm + half + e), tl.load(key_norm + half + e))
            deviation = tl.sqrt_rn((tl.sum(first * first, 0) + tl.sum(second * second, 0)) / WIDTH + epsilon)
            first = first / deviation * weight
            second = second / deviation * weight_behind
        if turns is not None:
            cosine, sine = tl.load(turns + position * WIDTH + e), tl.load(turns + position * WIDTH + half + e)
            turned = first * cosine - second * sine
            second = second * cosine + first * sine
            first = turned
    first, second = rounded(first, KIND), rounded(second, KIND)
    if which < HEADS:
        queries += (row * HEADS + which) * WIDTH
        tl.store(queries + e, first)
        tl.store(queries + half + e, second)
    else:
        page = tl.load(pages + row * pages_stride + position // _PAGE).to(tl.int64)
        pool += page * page_size + ((layer * 2 * KV_HEADS + which - HEADS) * _PAGE + position % _PAGE) * WIDTH
        tl.store(pool + e, first)
        tl.store(pool + half + e, second)


@triton.jit(do_not_specialize=["together", "layer"])
def attend(fields, pages, pages_stride, together, queries, pool, layer, page_size, scale, out, extremes,
           HEADS: tl.constexpr, KV_HEADS: tl.constexpr, WIDTH: tl.constexpr, SPLITS: tl.constexpr, BLOCK: tl.constexpr,
           KIND: tl.constexpr):
    """Attention of `together` rows, 1 or 16, to one split of their keys. Grid: groups of rows, heads, splits.

    Leaves sums of values weighted by exp(score - highest score) in out [rows, SPLITS, HEADS WIDTH] and the highest
    score and the sum of weights in extremes [rows, SPLITS, HEADS, 2]. `scale`: of scores.
    """
    group, head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    width: tl.constexpr = WIDTH
    K: tl.constexpr = HEADS * WIDTH
    kept = head // (HEADS // KV_HEADS)
    i = tl.arange(0, 16)
    m = group * together + i
    positions = tl.load(fields + m * _FIELDS + _POSITION, mask=i < together, other=-1)
    last = tl.max(positions, 0)
    if last < split * _KEYS:
        return
    there = positions >= 0
    e = tl.arange(0, BLOCK)
    key = split * _KEYS + tl.arange(0, _KEYS)
    page = tl.load(pages + group * pages_stride + key // _PAGE, mask=key <= last, other=0).to(tl.int64)
    at = page * page_size + (layer * 2 * KV_HEADS + kept) * _PAGE * width + (key % _PAGE) * width
    known = (key <= last)[:, None] & (e < width)[None, :]
    query = tl.load(queries + m[:, None] * K + head * width + e[None, :], mask=there[:, None] & (e < width)[None, :],
                    other=0.0)
    keys = tl.load(pool + at[:, None] + e[None, :], mask=known, other=0.0)
    scores = matmul(query, tl.trans(keys), tl.zeros((16, _KEYS), tl.float32)) * scale
    scores = tl.where(key[None, :] <= positions[:, None], scores, float("-inf"))
    top = tl.max(scores, 1)
    weights = tl.exp(scores - tl.where(top == float("-inf"), 0.0, top)[:, None])
    values = tl.load(pool + at[:, None] + KV_HEADS * _PAGE * width + e[None, :], mask=known, other=0.0)
    mixed = matmul(rounded(weights, KIND), values, tl.zeros((16, BLOCK), tl.float32))
    tl.store(out + (m[:, None] * SPLITS + split) * K + head * width + e[None, :], mixed,
             mask=there[:, None] & (e < width)[None, :])
    place = extremes + ((m * SPLITS + split) * HEADS + head) * 2
    tl.store(place, top, mask=there)
    tl.store(place + 1, tl.sum(weights, 1), mask=there)


@triton.jit
def head(fields, x, figures, norm_weight, norm_bias, matrix, scales, seen, biases,
         logits, scores, maxima, sums, own_maxima, own_sums,
         K: tl.constexpr, N: tl.constexpr, KIND: tl.constexpr, ROWS: tl.constexpr,
         BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """Logits, and scores: logits with repetition penalty and bias. Of each block of N's columns, one a program: maximum
    and sum of exp((score - maximum) / temperature), the filters', and the same of the logits themselves at temperature
    1."""
    m = tl.arange(0, BLOCK_M)
    n = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    positions = tl.load(fields + m * _FIELDS + _POSITION, mask=m < ROWS, other=-1)
    there = positions >= 0
    mean = tl.load(figures + m * 2, mask=there, other=0.0)
    deviation = tl.load(figures + m * 2 + 1, mask=there, other=0.0)
    blocks: tl.constexpr = (K + BLOCK_K - 1) // BLOCK_K
    total = summed(_NORM, KIND, x, None, None, norm_weight, norm_bias, mean, deviation, mean, m, there, matrix, n, N, 0,
                   blocks, K, BLOCK_K, 0)
    if scales is not None:
        total *= tl.load(scales + n, mask=n < N, other=0.0)[None, :]
    inside = there[:, None] & (n < N)[None, :]
    at = m[:, None] * N + n[None, :]
    tl.store(logits + at, total, mask=inside)
    block = m * tl.num_programs(0) + tl.program_id(0)
    own = tl.where(inside, total, float("-inf"))
    top = tl.max(own, 1)
    tl.store(own_maxima + block, top, mask=there)
    tl.store(own_sums + block, tl.sum(tl.exp(own - tl.where(there, top, 0.0)[:, None]), 1), mask=there)
    flags = tl.load(fields + m * _FIELDS + _FLAGS, mask=there, other=0)
    penalty = tl.load(fields + m * _FIELDS + _PENALTY, mask=there, other=0).to(tl.float32, bitcast=True)
    counted = tl.load(seen + at, mask=inside & ((flags & _PENALISED) != 0)[:, None], other=0)
    penalty = tl.where(penalty > 0.0, penalty, 1.0)  # rows that decide nothing have none
    changed = tl.where(own > 0.0, own / penalty[:, None], own * penalty[:, None])
    own = tl.where(counted != 0, changed, own)
    own += tl.load(biases + at, mask=inside & ((flags & _BIASED) != 0)[:, None], other=0.0)
    tl.store(scores + at, own, mask=inside)
    temperature = tl.load(fields + m * _FIELDS + _FILTERING, mask=there, other=0).to(tl.float32, bitcast=True)
    top = tl.max(own, 1)
    least = tl.where(top == float("-inf"), 0.0, top)
    weights = tl.exp((own - least[:, None]) / tl.where(temperature == 0.0, 1.0, temperature)[:, None])
    tl.store(maxima + block, top, mask=there)
    tl.store(sums + block, tl.sum(weights, 1), mask=there)
