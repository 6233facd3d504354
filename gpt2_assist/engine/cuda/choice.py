"""How a row's next token is chosen, in Triton: what engine/sampling.py says, of scores in float32.

A token is drawn from what stands behind few maxima: scores lie in blocks whose maxima and sums the head left.
Where more tokens can be drawn than there is room for here, the row says so, and the host chooses from its logits.
"""
import triton
import triton.language as tl

from gpt2_assist.engine.cuda import rows, shapes

(_TOKEN, _POSITION, _INDEX, _NUMBER, _SEED_LOW, _SEED_HIGH, _TOP_K, _BEST, _FLAGS, _TEMPERATURE, _TOP_P, _MIN_P,
 _STEP, _FILTERING) = (tl.constexpr(value) for value in (
     rows.TOKEN, rows.POSITION, rows.INDEX, rows.NUMBER, rows.SEED_LOW, rows.SEED_HIGH, rows.TOP_K, rows.BEST,
     rows.FLAGS, rows.TEMPERATURE, rows.TOP_P, rows.MIN_P, rows.STEP, rows.FILTERING))
_FIELDS, _PENALISED, _MOST_BEST = (tl.constexpr(value) for value in (rows.FIELDS, rows.PENALISED, rows.MOST_BEST))
_MOST, _BLOCK = tl.constexpr(shapes.MOST_ROWS), tl.constexpr(shapes.SCORES)
_NEAR, _ROOM = tl.constexpr(shapes.NEAR), tl.constexpr(shapes.ROOM)
_LEFT, _RIGHT, _RAISE_LEFT, _RAISE_RIGHT = (tl.constexpr(value) for value in (
    0xD2E7470EE14C6C93, 0xCA5A826395121157, 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B))
_TIMES = tl.constexpr(32)


@triton.jit
def uniform(seed, index, number):
    """engine/sampling.py's random number in [0, 1), float64, of three uint64."""
    word = tl.full((), 1, tl.uint64)
    second = tl.full((), 0, tl.uint64)
    third = tl.full((), 0, tl.uint64)
    fourth = number
    left_factor = tl.full((), _LEFT, tl.uint64)
    right_factor = tl.full((), _RIGHT, tl.uint64)
    left_raise = tl.full((), _RAISE_LEFT, tl.uint64)
    right_raise = tl.full((), _RAISE_RIGHT, tl.uint64)
    for _ in tl.static_range(10):
        left_high, left_low = tl.umulhi(word, left_factor), word * left_factor
        right_high, right_low = tl.umulhi(third, right_factor), third * right_factor
        word, second = right_high ^ second ^ seed, right_low
        third, fourth = left_high ^ fourth ^ index, left_low
        seed += left_raise
        index += right_raise
    return (word >> 11).to(tl.float64) * (2.0 ** -53)


@triton.jit
def key(x):
    """Whole numbers in the order of float32 numbers, int64; of 0.0 and -0.0 the same."""
    bits = (x + 0.0).to(tl.float32).to(tl.int32, bitcast=True)
    return (bits ^ ((bits >> 31) | -2147483648)).to(tl.uint32, bitcast=True).to(tl.int64)


@triton.jit
def highest(keys, count):
    """The `count`-th highest of keys, or 0 where there are fewer."""
    found = tl.full((), 0, tl.int64)
    for bit in range(0, 32):
        tried = found | (tl.full((), 2147483648, tl.int64) >> bit)
        found = tl.where(tl.sum((keys >= tried).to(tl.int32), 0) >= count, tried, found)
    return found


@triton.jit
def shortlist(values, tops, least, N, ids, found, places, BLOCKS: tl.constexpr):
    """Puts those of `values` [N] whose keys are `least` or more into `found`, by place; how many, or ROOM + 1 where
    that are too many. `tops` [BLOCKS]: the values' maxima by block."""
    chosen = (key(tops) >= least) & (tops > float("-inf"))
    count = tl.sum(chosen.to(tl.int32), 0)
    at = tl.cumsum(chosen.to(tl.int32), 0) - 1
    tl.debug_barrier()  # what stood there before has been read
    tl.store(ids + at, tl.arange(0, BLOCKS), mask=chosen & (at < _NEAR))
    tl.debug_barrier()
    near = tl.arange(0, _NEAR)
    which = tl.load(ids + near, mask=near < count, other=0)
    place = which[:, None] * _BLOCK + tl.arange(0, _BLOCK)[None, :]
    value = tl.load(values + place, mask=(near < count)[:, None] & (place < N), other=float("-inf"))
    value, place = tl.reshape(value, (_NEAR * _BLOCK,)), tl.reshape(place, (_NEAR * _BLOCK,))
    taken = (key(value) >= least) & (value > float("-inf"))
    at = tl.cumsum(taken.to(tl.int32), 0) - 1
    tl.store(found + at, value, mask=taken & (at < _ROOM))
    tl.store(places + at, place, mask=taken & (at < _ROOM))
    tl.debug_barrier()
    return tl.where(count > _NEAR, _ROOM + 1, tl.sum(taken.to(tl.int32), 0))


@triton.jit
def standing(found, values, count, top, temperature, by_value):
    """(rank, weight before it) of each of the `values` [ROOM] that stand in `found`: by falling value and then by
    place, or by place alone."""
    i = tl.arange(0, _ROOM)
    rank = tl.zeros((_ROOM,), tl.int32)
    before = tl.zeros((_ROOM,), tl.float32)
    for first in range(0, count, _TIMES):
        j = first + tl.arange(0, _TIMES)
        other = tl.load(found + j, mask=j < count, other=float("-inf"))
        higher = (other[None, :] > values[:, None]) & by_value
        level = (other[None, :] == values[:, None]) | (by_value == 0)
        ahead = (higher | (level & (j[None, :] < i[:, None]))) & (j < count)[None, :]
        rank += tl.sum(ahead.to(tl.int32), 1)
        before += tl.sum(tl.where(ahead, tl.exp((other - top) / temperature)[None, :], 0.0), 1)
    return rank, before


@triton.jit
def certain(scores, tops, top, N, COUNT: tl.constexpr):
    """The place of the highest score, of equals the first."""
    inside = tl.arange(0, _BLOCK)
    block = tl.min(tl.where(tops == top, tl.arange(0, tops.shape[0]), COUNT - 1), 0)
    value = tl.load(scores + block * _BLOCK + inside, mask=block * _BLOCK + inside < N, other=float("-inf"))
    return block * _BLOCK + tl.min(tl.where(value == top, inside, _BLOCK - 1), 0)


@triton.jit
def among_all(scores, shares, top, temperature, drawn, N, COUNT: tl.constexpr):
    """The place in [0, N) at which the share `drawn` of all weights is reached. `shares`: the blocks' weights."""
    b, inside = tl.arange(0, shares.shape[0]), tl.arange(0, _BLOCK)
    edges = tl.cumsum(shares.to(tl.float64), 0)
    target = drawn * tl.max(edges, 0)
    block = tl.minimum(tl.sum((edges <= target).to(tl.int32), 0), COUNT - 1)
    start = tl.sum(tl.where(b == block - 1, edges, 0.0), 0)
    value = tl.load(scores + block * _BLOCK + inside, mask=block * _BLOCK + inside < N, other=float("-inf"))
    weights = tl.exp((value - top) / temperature)
    edges_inside = start + tl.cumsum(weights.to(tl.float64), 0)
    last = tl.max(tl.where(weights > 0.0, inside, 0), 0)
    return block * _BLOCK + tl.minimum(tl.sum((edges_inside <= target).to(tl.int32), 0), last)


@triton.jit
def among_best(scores, tops, shares, top, filtering, temperature, top_k, top_p, min_p, drawn, N, ids, found, places,
               BLOCKS: tl.constexpr):
    """(place, whether it is known): drawn at `temperature` from what the filters leave, which see chances at another,
    as do `shares`."""
    by_value = (top_k > 0) | (top_p < 1.0)
    reach = -filtering * tl.log(tl.maximum(min_p, 1e-38))
    least = key(top - reach - 1e-5 * (tl.abs(top) + reach))
    if by_value:
        least = highest(key(tops), tl.where(top_k > 0, top_k, _NEAR))
    count = shortlist(scores, tops, least, N, ids, found, places, BLOCKS)
    known = count <= _ROOM
    count = tl.minimum(count, _ROOM)
    i = tl.arange(0, _ROOM)
    value = tl.load(found + i, mask=i < count, other=float("-inf"))
    place = tl.load(places + i, mask=i < count, other=0)
    chances = tl.exp((value - top) / filtering)
    rank, ahead = standing(found, value, count, top, filtering, by_value)
    before = ahead
    if filtering != temperature:
        rank, before = standing(found, value, count, top, temperature, by_value)
    kept = (i < count) & ((top_k == 0) | (rank < top_k))
    best = tl.sum(tl.where(kept, chances, 0.0), 0)
    all = tl.where(top_k == 0, tl.sum(shares, 0), best)
    # A nucleus that goes beyond what is looked at is not known; that all scores are looked at shows in `least`.
    share = tl.where(top_p < 1.0, top_p * all, 0.0)
    known = known & ((best >= share) | (least <= key(tl.full((), float("-inf"), tl.float32))))
    kept = kept & ((ahead < tl.where(top_p < 1.0, share, float("inf"))) | (rank == 0)) & (chances >= min_p)
    weights = tl.where(kept, tl.exp((value - top) / temperature), 0.0)
    rank = tl.where(by_value, rank, tl.cumsum(kept.to(tl.int32), 0) - 1)
    before = tl.where(by_value, before, tl.cumsum(weights, 0) - weights)
    target = drawn * tl.sum(weights, 0)
    chosen = tl.sum((kept & ((before + weights).to(tl.float64) <= target)).to(tl.int32), 0)
    chosen = tl.minimum(chosen, tl.sum(kept.to(tl.int32), 0) - 1)
    return tl.sum(tl.where(kept & (rank == chosen), place, 0), 0), known


@triton.jit
def report(logits, own_maxima, own_sums, place, wanted, chances, best, N, ids, found, places, BLOCKS: tl.constexpr,
           COUNT: tl.constexpr):
    """Log-probabilities of a chosen token and of the wanted - 1 likeliest ones; whether all of these are known."""
    b = tl.arange(0, BLOCKS)
    tops = tl.load(own_maxima + b, mask=b < COUNT, other=float("-inf"))
    top = tl.max(tops, 0)
    sums = tl.load(own_sums + b, mask=b < COUNT, other=0.0).to(tl.float64)
    norm = top.to(tl.float64) + tl.log(tl.sum(sums * tl.exp(tops - top).to(tl.float64), 0))
    tl.store(chances, tl.load(logits + place).to(tl.float64) - norm)
    count = shortlist(logits, tops, highest(key(tops), wanted - 1), N, ids, found, places, BLOCKS)
    known = (wanted == 1) | (count <= _ROOM)
    count = tl.minimum(count, _ROOM)
    i = tl.arange(0, _ROOM)
    value = tl.load(found + i, mask=i < count, other=float("-inf"))
    rank, before = standing(found, value, count, top, 1.0, wanted > 0)
    listed = (i < count) & (rank < wanted - 1)
    tl.store(chances + 1 + rank, value.to(tl.float64) - norm, mask=listed)
    tl.store(best + rank, tl.load(places + i, mask=listed, other=0), mask=listed)
    return known


@triton.jit
def choose(fields, logits, scores, maxima, sums, own_maxima, own_sums, seen, ids, found, places, tokens, chances, best,
           N: tl.constexpr, BLOCKS: tl.constexpr, COUNT: tl.constexpr):
    """One program a row: its next token into tokens [BURST, MOST_ROWS], or -1 where the host must choose; and the row
    goes on: its token, position and numbers are those of the next step.

    Asked-for log-probabilities: of the token and of the likeliest ones in chances [BURST, MOST_ROWS, 1 + MOST_BEST],
    the likeliest tokens in best [BURST, MOST_ROWS, MOST_BEST]. COUNT: blocks of scores; BLOCKS: a power of 2.
    """
    row = tl.program_id(0)
    at = fields + row * _FIELDS
    position = tl.load(at + _POSITION)
    if position < 0:
        return
    ids += row * _NEAR
    found += row * _ROOM
    places += row * _ROOM
    scores += row * N
    b = tl.arange(0, BLOCKS)
    tops = tl.load(maxima + row * COUNT + b, mask=b < COUNT, other=float("-inf"))
    top = tl.max(tops, 0)
    temperature = tl.load(at + _TEMPERATURE).to(tl.float32, bitcast=True)
    filtering = tl.load(at + _FILTERING).to(tl.float32, bitcast=True)
    top_p = tl.load(at + _TOP_P).to(tl.float32, bitcast=True)
    min_p = tl.load(at + _MIN_P).to(tl.float32, bitcast=True)
    top_k = tl.load(at + _TOP_K)
    number = tl.load(at + _NUMBER)
    known = top_k >= 0
    finite = tl.abs(top) / tl.where(temperature > 0.0, temperature, 1.0) < float("inf")
    if (temperature > 0.0) & finite:
        low = tl.load(at + _SEED_LOW).to(tl.uint32, bitcast=True).to(tl.uint64)
        high = tl.load(at + _SEED_HIGH).to(tl.uint32, bitcast=True).to(tl.uint64)
        drawn = uniform(low | (high << 32), tl.load(at + _INDEX).to(tl.uint64), number.to(tl.uint64))
        shares = tl.load(sums + row * COUNT + b, mask=b < COUNT, other=0.0) * tl.exp((tops - top) / filtering)
        if (top_k == 0) & (top_p >= 1.0) & (min_p <= 0.0):
            place = among_all(scores, shares, top, temperature, drawn, N, COUNT)
        else:
            place, known = among_best(scores, tops, shares, top, filtering, temperature, top_k, top_p, min_p, drawn, N,
                                      ids, found, places, BLOCKS)
    else:
        place = certain(scores, tops, top, N, COUNT)
    place = tl.where(known, tl.minimum(place, N - 1), 0)
    step = tl.load(at + _STEP)
    line = step * _MOST + row
    wanted = tl.load(at + _BEST)
    if wanted > 0:
        known = known & report(logits + row * N, own_maxima + row * COUNT, own_sums + row * COUNT, place, wanted,
                               chances + line * (1 + _MOST_BEST), best + line * _MOST_BEST, N, ids, found, places,
                               BLOCKS, COUNT)
    tl.store(tokens + line, tl.where(known, place, -1))
    tl.store(at + _TOKEN, place)
    tl.store(at + _POSITION, position + 1)
    tl.store(at + _NUMBER, number + 1)
    tl.store(at + _STEP, step + 1)
    if (tl.load(at + _FLAGS) & _PENALISED) != 0:
        tl.store(seen + row * N + place, tl.full((), 1, tl.int8))
