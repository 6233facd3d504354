"""What a transformer does to one row at a time, in vectors of 16 floats whatever the processor.

Every sum has one order: 16 lanes, each over every sixteenth element from the first on, then halves added to halves. So
a result depends on the row alone, and plain.py computes the same bits with numpy.

Rows are float32 and padded with zeros to a multiple of 64.
"""
import math

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpt2_assist.engine.cpu.forms import I8, I16, I32, constant, declared, splat

LANES = 16
F32 = ir.FloatType()
FLOATS, INTS = ir.VectorType(F32, LANES), ir.VectorType(I32, LANES)

EXP_LOW, EXP_HIGH = -87.0, 88.0
LOG2E = 1.44269504
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4
EXP_TERMS = (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
"""exp(r) = 1 + r + r^2 * polynomial(r) for |r| <= ln(2) / 2: Cephes' minimax terms (Moshier 1989)."""
GELU_SCALE, GELU_CUBE = math.sqrt(2 / math.pi), 0.044715
ROOT_HALF, ERF_SCALE = math.sqrt(0.5), 0.3275911
ERF_TERMS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
"""1 - erf(x) = t * polynomial(t) * exp(-x^2) with t = 1 / (1 + ERF_SCALE x): Abramowitz and Stegun 1964, 7.1.26."""


class _Writer:
    """Writes vector instructions into one function."""

    def __init__(self, b: ir.IRBuilder) -> None:
        self.b = b

    def number(self, value: float) -> ir.Constant:
        return ir.Constant(FLOATS, [value] * LANES)

    def at(self, address: ir.Value, index: ir.Value | int, kind: ir.Type, step: int) -> ir.Value:
        """A pointer to kind at address + index * step bytes."""
        if isinstance(index, int):
            index = ir.Constant(address.type, index)
        return self.b.inttoptr(self.b.add(address, self.b.mul(index, ir.Constant(address.type, step))),
                               kind.as_pointer())

    def load(self, address: ir.Value, index: ir.Value | int = 0) -> ir.Value:
        value = self.b.load(self.at(address, index, FLOATS, 4 * LANES))
        value.align = 4
        return value

    def store(self, value: ir.Value, address: ir.Value, index: ir.Value | int = 0) -> None:
        self.b.store(value, self.at(address, index, FLOATS, 4 * LANES)).align = 4

    def load_bf16(self, address: ir.Value, index: ir.Value | int) -> ir.Value:
        bits = self.b.load(self.at(address, index, ir.VectorType(I16, LANES), 2 * LANES))
        bits.align = 2
        return self.b.bitcast(self.b.shl(self.b.zext(bits, INTS), constant(I32, [16] * LANES)), FLOATS)

    def scalar(self, address: ir.Value, index: ir.Value | int) -> ir.Value:
        """One float32, in every lane."""
        return splat(self.b, self.b.load(self.at(address, index, F32, 4)), LANES)

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        return self.b.call(declared(self.b, "llvm.fma.v16f32", FLOATS, [FLOATS] * 3), [x, y, z])

    def unary(self, name: str, x: ir.Value) -> ir.Value:
        return self.b.call(declared(self.b, f"llvm.{name}.v16f32", FLOATS, [FLOATS]), [x])

    def select(self, test: str, x: ir.Value, y: ir.Value, then: ir.Value, other: ir.Value) -> ir.Value:
        return self.b.select(self.b.fcmp_ordered(test, x, y), then, other)

    def larger(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.select(">", x, y, x, y)

    def inside(self, block: ir.Value, count: ir.Value) -> ir.Value:
        """<16 x i1>: which lanes of a block of 16 stand before `count`."""
        base = splat(self.b, self.b.trunc(self.b.mul(block, ir.Constant(block.type, LANES)), I32), LANES)
        places = self.b.add(base, constant(I32, list(range(LANES))))
        return self.b.icmp_signed("<", places, splat(self.b, self.b.trunc(count, I32), LANES))

    def variable(self, value: ir.Value) -> ir.Value:
        place = cgutils.alloca_once(self.b, value.type)
        self.b.store(value, place)
        return place

    def halved(self, vector: ir.Value, join) -> ir.Value:
        """One value of 16: halves joined with halves."""
        lanes = LANES
        while lanes > 1:
            lanes //= 2
            undefined = ir.Constant(vector.type, ir.Undefined)
            low, high = (self.b.shuffle_vector(vector, undefined, constant(I32, list(range(start, start + lanes))))
                         for start in (0, lanes))
            vector = join(low, high)
        return self.b.extract_element(vector, ir.Constant(I32, 0))

    def total(self, vector: ir.Value) -> ir.Value:
        return self.halved(vector, self.b.fadd)

    def maximum(self, vector: ir.Value) -> ir.Value:
        return self.halved(vector, lambda x, y: self.b.select(self.b.fcmp_ordered(">", x, y), x, y))

    def exp(self, x: ir.Value) -> ir.Value:
        """e ** x, x taken to be within [EXP_LOW, EXP_HIGH]."""
        b = self.b
        x = self.select("<", x, self.number(EXP_LOW), self.number(EXP_LOW), x)
        x = self.select(">", x, self.number(EXP_HIGH), self.number(EXP_HIGH), x)
        n = self.unary("rint", b.fmul(x, self.number(LOG2E)))
        r = self.fma(n, self.number(-LN2_HIGH), x)
        r = self.fma(n, self.number(-LN2_LOW), r)
        series = self.number(EXP_TERMS[0])
        for term in EXP_TERMS[1:]:
            series = self.fma(series, r, self.number(term))
        value = b.fadd(self.fma(b.fmul(r, r), series, r), self.number(1.0))
        power = b.shl(b.add(b.fptosi(n, INTS), constant(I32, [127] * LANES)), constant(I32, [23] * LANES))
        return b.fmul(value, b.bitcast(power, FLOATS))


@intrinsic
def layer_norm(typing_context, x, weight, bias, width, epsilon, out):
    """out = the normalised row of `width` floats; what pads it to a multiple of 64 is zero, as the weights' padding."""
    def codegen(context, b, signature, args):
        x, weight, bias, width, epsilon, out = args
        w = _Writer(b)
        word = width.type
        blocks = b.udiv(b.add(width, ir.Constant(word, LANES - 1)), ir.Constant(word, LANES))
        size = b.uitofp(width, F32)
        sums = w.variable(w.number(0.0))
        with cgutils.for_range(b, blocks) as loop:
            b.store(b.fadd(b.load(sums), w.load(x, loop.index)), sums)
        mean = splat(b, b.fdiv(w.total(b.load(sums)), size), LANES)
        b.store(w.number(0.0), sums)
        with cgutils.for_range(b, blocks) as loop:
            off = b.select(w.inside(loop.index, width), b.fsub(w.load(x, loop.index), mean), w.number(0.0))
            b.store(w.fma(off, off, b.load(sums)), sums)
        variance = b.fdiv(w.total(b.load(sums)), size)
        root = b.call(declared(b, "llvm.sqrt.f32", F32, [F32]), [b.fadd(variance, epsilon)])
        scale = splat(b, b.fdiv(ir.Constant(F32, 1.0), root), LANES)
        whole = b.mul(b.udiv(b.add(blocks, ir.Constant(word, 3)), ir.Constant(word, 4)), ir.Constant(word, 4))
        with cgutils.for_range(b, whole) as loop:
            normal = b.fmul(b.fsub(w.load(x, loop.index), mean), scale)
            w.store(w.fma(normal, w.load(weight, loop.index), w.load(bias, loop.index)), out, loop.index)
        return context.get_dummy_value()
    return types.void(*[types.int64] * 4, types.float32, types.int64), codegen


@intrinsic
def rms_norm(typing_context, x, weight, width, epsilon, out):
    """As layer_norm, of a row whose mean is taken to be zero, without a bias (Zhang and Sennrich 2019)."""
    def codegen(context, b, signature, args):
        x, weight, width, epsilon, out = args
        w = _Writer(b)
        word = width.type
        blocks = b.udiv(b.add(width, ir.Constant(word, LANES - 1)), ir.Constant(word, LANES))
        sums = w.variable(w.number(0.0))
        with cgutils.for_range(b, blocks) as loop:
            value = w.load(x, loop.index)
            b.store(w.fma(value, value, b.load(sums)), sums)
        mean = b.fdiv(w.total(b.load(sums)), b.uitofp(width, F32))
        root = b.call(declared(b, "llvm.sqrt.f32", F32, [F32]), [b.fadd(mean, epsilon)])
        scale = splat(b, b.fdiv(ir.Constant(F32, 1.0), root), LANES)
        whole = b.mul(b.udiv(b.add(blocks, ir.Constant(word, 3)), ir.Constant(word, 4)), ir.Constant(word, 4))
        with cgutils.for_range(b, whole) as loop:
            w.store(b.fmul(b.fmul(w.load(x, loop.index), scale), w.load(weight, loop.index)), out, loop.index)
        return context.get_dummy_value()
    return types.void(*[types.int64] * 3, types.float32, types.int64), codegen


@intrinsic
def gated(typing_context, gates, through, width, out):
    """out = SiLU(gates) * through = gates / (1 + exp(-gates)) * through, `width` floats, with zeros up to a multiple of
    64."""
    def codegen(context, b, signature, args):
        gates, through, width, out = args
        w = _Writer(b)
        word = width.type
        blocks = b.mul(b.udiv(b.add(width, ir.Constant(word, 63)), ir.Constant(word, 64)), ir.Constant(word, 4))
        with cgutils.for_range(b, blocks) as loop:
            gate = w.load(gates, loop.index)
            share = b.fdiv(gate, b.fadd(w.number(1.0), w.exp(b.fneg(gate))))
            value = b.fmul(share, w.load(through, loop.index))
            w.store(b.select(w.inside(loop.index, width), value, w.number(0.0)), out, loop.index)
        return context.get_dummy_value()
    return types.void(*[types.int64] * 4), codegen


@intrinsic
def quantise_group(typing_context, x, vectors, offset, out, step, first, scale):
    """Bytes of a group of 16 * `vectors` floats: four at a time to `out`, `step` bytes apart; -offset * their sum to
    `first` (int32), and what a byte is worth to `scale` (float32)."""
    def codegen(context, b, signature, args):
        x, vectors, offset, out, step, first, scale = args
        w = _Writer(b)
        largest, sums = w.variable(w.number(0.0)), w.variable(ir.Constant(INTS, [0] * LANES))
        with cgutils.for_range(b, vectors) as loop:
            b.store(w.larger(w.unary("fabs", w.load(x, loop.index)), b.load(largest)), largest)
        top, zero, limit = w.maximum(b.load(largest)), ir.Constant(F32, 0.0), ir.Constant(F32, 127.0)
        b.store(b.fdiv(top, limit), w.at(scale, 0, F32, 4))
        quotient = b.fdiv(limit, top)  # infinite where all are zero, or too small to be told from it
        inverse = splat(b, b.select(b.fcmp_ordered("==", quotient, ir.Constant(F32, math.inf)), zero, quotient), LANES)
        with cgutils.for_range(b, vectors) as loop:
            whole = b.fptosi(w.unary("rint", b.fmul(w.load(x, loop.index), inverse)), INTS)
            b.store(b.add(b.load(sums), whole), sums)
            fours = b.bitcast(b.trunc(whole, ir.VectorType(I8, LANES)), ir.VectorType(I32, 4))
            for four in range(4):
                place = b.mul(b.add(b.mul(loop.index, ir.Constant(step.type, 4)), ir.Constant(step.type, four)), step)
                b.store(b.extract_element(fours, ir.Constant(I32, four)),
                        b.inttoptr(b.add(out, place), I32.as_pointer()))
        b.store(b.mul(w.halved(b.load(sums), b.add), b.trunc(b.neg(offset), I32)), w.at(first, 0, I32, 4))
        return context.get_dummy_value()
    return types.void(*[types.int64] * 7), codegen


@intrinsic
def gelu_tanh(typing_context, x, vectors):
    """GPT-2's GELU of 16 * `vectors` floats, in place: x / (1 + exp(-2 u)), which is x (1 + tanh(u)) / 2."""
    def codegen(context, b, signature, args):
        w = _Writer(b)
        with cgutils.for_range(b, args[1]) as loop:
            value = w.load(args[0], loop.index)
            inner = w.fma(b.fmul(b.fmul(value, value), w.number(GELU_CUBE)), value, value)
            power = w.exp(b.fmul(inner, w.number(-2 * GELU_SCALE)))
            w.store(b.fdiv(value, b.fadd(w.number(1.0), power)), args[0], loop.index)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64), codegen


@intrinsic
def gelu(typing_context, x, vectors):
    """The exact GELU of 16 * `vectors` floats, in place: x (1 + erf(x / sqrt(2))) / 2."""
    def codegen(context, b, signature, args):
        w = _Writer(b)
        with cgutils.for_range(b, args[1]) as loop:
            value = w.load(args[0], loop.index)
            ratio = b.fmul(value, w.number(ROOT_HALF))
            size = w.unary("fabs", ratio)
            t = b.fdiv(w.number(1.0), w.fma(size, w.number(ERF_SCALE), w.number(1.0)))
            series = w.number(ERF_TERMS[0])
            for term in ERF_TERMS[1:]:
                series = w.fma(series, t, w.number(term))
            tail = b.fmul(b.fmul(series, t), w.exp(b.fneg(b.fmul(size, size))))  # 1 - erf(size)
            half = b.fmul(value, w.number(0.5))
            share = w.select(">", ratio, w.number(0.0), b.fsub(w.number(2.0), tail), tail)
            w.store(b.fmul(half, share), args[0], loop.index)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64), codegen


@intrinsic
def relu(typing_context, x, vectors):
    """The larger of 0 and each of 16 * `vectors` floats, in place."""
    def codegen(context, b, signature, args):
        w = _Writer(b)
        with cgutils.for_range(b, args[1]) as loop:
            w.store(w.larger(w.load(args[0], loop.index), w.number(0.0)), args[0], loop.index)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64), codegen


@intrinsic
def add_to(typing_context, x, bias, out, vectors, keep):
    """out = x + bias, or out + (x + bias) where `keep` is not 0, for 16 * `vectors` floats."""
    def codegen(context, b, signature, args):
        x, bias, out, vectors, keep = args
        w = _Writer(b)
        kept = b.icmp_signed("!=", keep, ir.Constant(keep.type, 0))
        with cgutils.for_range(b, vectors) as loop:
            value = b.fadd(w.load(x, loop.index), w.load(bias, loop.index))
            with b.if_else(kept) as (yes, no):
                with yes:
                    w.store(b.fadd(w.load(out, loop.index), value), out, loop.index)
                with no:
                    w.store(value, out, loop.index)
        return context.get_dummy_value()
    return types.void(*[types.int64] * 5), codegen


def _sixteen_products(load):
    """The products of a row with 16 columns of numbers that `load` reads.

    Four sums, of every fourth element each, are added as (0 + 1) + (2 + 3).
    """
    @intrinsic
    def products(typing_context, x, columns, width, out):
        def codegen(context, b, signature, args):
            x, columns, width, out = args
            w = _Writer(b)
            sums = [w.variable(w.number(0.0)) for _ in range(4)]
            with cgutils.for_range(b, b.udiv(width, ir.Constant(width.type, 4))) as loop:
                for part in range(4):
                    place = b.add(b.mul(loop.index, ir.Constant(width.type, 4)), ir.Constant(width.type, part))
                    b.store(w.fma(w.scalar(x, place), load(w, columns, place), b.load(sums[part])), sums[part])
            one, two, three, four = (b.load(place) for place in sums)
            w.store(b.fadd(b.fadd(one, two), b.fadd(three, four)), out)
            return context.get_dummy_value()
        return types.void(*[types.int64] * 4), codegen
    return products


scores_of = _sixteen_products(_Writer.load_bf16)
"""Of a query, float32 [width], with 16 keys, bfloat16 [width, 16]; width a multiple of 16."""
low_rank = _sixteen_products(_Writer.load)
"""Of a row [width] with 16 columns of an adapter's first matrix, float32 [width, 16]; width a multiple of 4."""


@intrinsic
def widen_low_rank(typing_context, low, weights, rank, out):
    """out[32] += the sum over r < rank of low[r] * weights[r], in the order of r; weights float32 [rank, 32]."""
    def codegen(context, b, signature, args):
        low, weights, rank, out = args
        w = _Writer(b)
        sums = [w.variable(w.load(out, half)) for half in range(2)]
        with cgutils.for_range(b, rank) as loop:
            factor, row = w.scalar(low, loop.index), b.mul(loop.index, ir.Constant(rank.type, 2))
            for half, place in enumerate(sums):
                value = w.load(weights, b.add(row, ir.Constant(rank.type, half)))
                b.store(w.fma(factor, value, b.load(place)), place)
        for half, place in enumerate(sums):
            w.store(b.load(place), out, half)
        return context.get_dummy_value()
    return types.void(*[types.int64] * 4), codegen


@intrinsic
def scores_of_four(typing_context, queries, stride, keys, width, out, out_stride):
    """scores_of for four queries `stride` bytes apart, each with its own 16 scores: keys are read once for all."""
    def codegen(context, b, signature, args):
        queries, stride, keys, width, out, out_stride = args
        w = _Writer(b)
        word = width.type
        sums = [[w.variable(w.number(0.0)) for _ in range(4)] for _ in range(4)]
        starts = [b.add(queries, b.mul(stride, ir.Constant(word, row))) for row in range(4)]
        with cgutils.for_range(b, b.udiv(width, ir.Constant(word, 4))) as loop:
            for part in range(4):
                place = b.add(b.mul(loop.index, ir.Constant(word, 4)), ir.Constant(word, part))
                key = w.load_bf16(keys, place)
                for start, own in zip(starts, sums):
                    b.store(w.fma(w.scalar(start, place), key, b.load(own[part])), own[part])
        for row, own in enumerate(sums):
            one, two, three, four = (b.load(place) for place in own)
            w.store(b.fadd(b.fadd(one, two), b.fadd(three, four)),
                    b.add(out, b.mul(out_stride, ir.Constant(word, row))))
        return context.get_dummy_value()
    return types.void(*[types.int64] * 6), codegen


@intrinsic
def softmax(typing_context, scores, count):
    """scores[:count] become e ** (score - the largest), the rest of the last 16 zero; gives their sum."""
    def codegen(context, b, signature, args):
        scores, count = args
        w = _Writer(b)
        blocks = b.udiv(b.add(count, ir.Constant(count.type, LANES - 1)), ir.Constant(count.type, LANES))
        lowest = w.number(-3.0e38)
        largest, sums = w.variable(lowest), w.variable(w.number(0.0))
        with cgutils.for_range(b, blocks) as loop:
            value = b.select(w.inside(loop.index, count), w.load(scores, loop.index), lowest)
            b.store(w.larger(value, b.load(largest)), largest)
        top = splat(b, w.maximum(b.load(largest)), LANES)
        with cgutils.for_range(b, blocks) as loop:
            power = w.exp(b.fsub(w.load(scores, loop.index), top))
            share = b.select(w.inside(loop.index, count), power, w.number(0.0))
            b.store(b.fadd(b.load(sums), share), sums)
            w.store(share, scores, loop.index)
        return w.total(b.load(sums))
    return types.float32(types.int64, types.int64), codegen


@intrinsic
def mix_values(typing_context, shares, values, count, vectors, out):
    """out += sum over t < count of shares[t] * values[t], in the order of t; values bfloat16 [16, 16 * vectors]."""
    def codegen(context, b, signature, args):
        shares, values, count, vectors, out = args
        w = _Writer(b)
        word = vectors.type

        def mix(first: ir.Value, columns: int) -> None:
            """Columns `first` and so on, side by side: a chain of additions each, which the processor overlaps."""
            places = [b.add(first, ir.Constant(word, column)) for column in range(columns)]
            mixed = [w.variable(w.load(out, place)) for place in places]
            with cgutils.for_range(b, count) as loop:
                share, row = w.scalar(shares, loop.index), b.mul(loop.index, vectors)
                for place, sums in zip(places, mixed):
                    b.store(w.fma(share, w.load_bf16(values, b.add(row, place)), b.load(sums)), sums)
            for place, sums in zip(places, mixed):
                w.store(b.load(sums), out, place)

        four = ir.Constant(word, 4)
        with cgutils.for_range(b, b.udiv(vectors, four)) as group:
            mix(b.mul(group.index, four), 4)
        with cgutils.for_range(b, b.urem(vectors, four)) as rest:
            mix(b.add(b.mul(b.udiv(vectors, four), four), rest.index), 1)
        return context.get_dummy_value()
    return types.void(*[types.int64] * 5), codegen


@intrinsic
def mix_values_of_four(typing_context, shares, stride, values, vectors, out, out_stride):
    """mix_values of all 16 values of a block for four rows of shares `stride` bytes apart, each with its own out."""
    def codegen(context, b, signature, args):
        shares, stride, values, vectors, out, out_stride = args
        w = _Writer(b)
        word = vectors.type
        starts = [b.add(shares, b.mul(stride, ir.Constant(word, row))) for row in range(4)]
        outs = [b.add(out, b.mul(out_stride, ir.Constant(word, row))) for row in range(4)]

        def mix(first: ir.Value, columns: int) -> None:
            places = [b.add(first, ir.Constant(word, column)) for column in range(columns)]
            mixed = [[w.variable(w.load(own, place)) for place in places] for own in outs]
            with cgutils.for_range(b, ir.Constant(word, LANES)) as loop:
                row = b.mul(loop.index, vectors)
                read = [w.load_bf16(values, b.add(row, place)) for place in places]
                for start, own in zip(starts, mixed):
                    share = w.scalar(start, loop.index)
                    for value, sums in zip(read, own):
                        b.store(w.fma(share, value, b.load(sums)), sums)
            for target, own in zip(outs, mixed):
                for place, sums in zip(places, own):
                    w.store(b.load(sums), target, place)

        four = ir.Constant(word, 4)
        with cgutils.for_range(b, b.udiv(vectors, four)) as group:
            mix(b.mul(group.index, four), 4)
        with cgutils.for_range(b, b.urem(vectors, four)) as rest:
            mix(b.add(b.mul(b.udiv(vectors, four), four), rest.index), 1)
        return context.get_dummy_value()
    return types.void(*[types.int64] * 6), codegen


@intrinsic
def scale_row(typing_context, x, vectors, factor):
    """x *= factor, for 16 * `vectors` floats."""
    def codegen(context, b, signature, args):
        w = _Writer(b)
        factor = splat(b, args[2], LANES)
        with cgutils.for_range(b, args[1]) as loop:
            w.store(b.fmul(w.load(args[0], loop.index), factor), args[0], loop.index)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.float32), codegen
