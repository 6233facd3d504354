"""Products of packed matrices (see packing.py) with a few rows of activations, a tile of 32 outputs at a time.

Every row's sums are taken in the same order whatever rows stand beside it: integers within a group, where order does
not matter, and one fused multiply-add a group in fp32. So a row's bits never depend on its neighbours, and prefill and
decode agree exactly.

Activations of `rows` rows stand interleaved, so that one pointer serves them all:
  bytes  int8    [K/4, rows, 4]      quantised in groups
  first  int32   [groups, rows]      -offset * the group's sum: takes the weights' offset out again, exactly; where
                                     weights have a minimum, the sum itself, with which the minimum is multiplied
  scales float32 [groups, rows]
or, for float weights, float32 [K, rows].
"""
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from gpt2_assist.engine.cpu.forms import FORM, I16, I32, constant, declared, splat
from gpt2_assist.model.packing import TILE

F32 = ir.FloatType()
_LANES = FORM.lanes
_VECTORS = TILE // _LANES
_INTS, _FLOATS = ir.VectorType(I32, _LANES), ir.VectorType(F32, _LANES)
_PREFETCH_BYTES = 1024


def _at(b: ir.IRBuilder, address: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
    return b.inttoptr(b.add(address, ir.Constant(address.type, offset)), kind.as_pointer())


def _vector(b: ir.IRBuilder, address: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
    value = b.load(_at(b, address, offset, kind))
    value.align = kind.count * kind.element.width // 8 if isinstance(kind.element, ir.IntType) else 4 * kind.count
    return value


def _widened(b: ir.IRBuilder, bits: ir.Value) -> ir.Value:
    """<L x i16> bits of bfloat16 -> <L x float>."""
    return b.bitcast(b.shl(b.zext(bits, _INTS), constant(I32, [16] * _LANES)), _FLOATS)


def _fma(b: ir.IRBuilder, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
    return b.call(declared(b, f"llvm.fma.v{_LANES}f32", _FLOATS, [_FLOATS] * 3), [x, y, z])


class _Sums:
    """Float accumulators [rows][vectors] that live in registers where there are enough."""

    def __init__(self, b: ir.IRBuilder, rows: int) -> None:
        self.places = [[cgutils.alloca_once(b, _FLOATS) for _ in range(_VECTORS)] for _ in range(rows)]
        for place in sum(self.places, []):
            b.store(ir.Constant(_FLOATS, [0.0] * _LANES), place)

    def add(self, b: ir.IRBuilder, row: int, vector: int, x: ir.Value, y: ir.Value) -> None:
        place = self.places[row][vector]
        b.store(_fma(b, x, y, b.load(place)), place)

    def store(self, b: ir.IRBuilder, out: ir.Value) -> None:
        for row, places in enumerate(self.places):
            for vector, place in enumerate(places):
                target = _at(b, out, 4 * (row * TILE + vector * _LANES), _FLOATS)
                b.store(b.load(place), target).align = 32


def _prefetch(b: ir.IRBuilder, address: ir.Value, size: int) -> None:
    """Asks for the block that is read a little later: it is longer than the processor's own look-ahead."""
    pointer = ir.IntType(8).as_pointer()
    ask = declared(b, "llvm.prefetch.p0", ir.VoidType(), [pointer, I32, I32, I32])
    for line in range(0, size, 64):
        b.call(ask, [_at(b, address, _PREFETCH_BYTES + line, ir.IntType(8)),
                     *(ir.Constant(I32, value) for value in (0, 2, 1))])


def _integer_product(rows: int, group: int, together: int, step, minimum: bool = False):
    """A product with weights in bytes or nibbles: `step(b, block, number)` gives `together` times four inputs' vectors.
    With a `minimum`, minima stand behind the scales, and what a group adds is scale * sum + minimum * inputs' sum.
    """
    size = group * TILE * 4 // (4 * together)
    stride = size + 2 * TILE * (2 if minimum else 1)

    @intrinsic
    def product(typing_context, weights, data, first, scales, groups, out):
        """out[r, n] = the tile's 32 outputs for each row, float32 [rows, 32]. All but `groups` are addresses."""
        def codegen(context, b, signature, args):
            weights, data, first, scales, groups, out = args
            word = weights.type
            sums = _Sums(b, rows)
            with cgutils.for_range(b, groups) as loop:
                block = b.add(weights, b.mul(loop.index, ir.Constant(word, stride)))
                x = b.add(data, b.mul(loop.index, ir.Constant(word, group * rows)))
                aside = b.mul(loop.index, ir.Constant(word, 4 * rows))
                begin, scale = b.add(first, aside), b.add(scales, aside)
                if rows < max(FORM.rows):
                    _prefetch(b, block, stride)
                sums_of_inputs = [b.load(_at(b, begin, 4 * row, I32)) for row in range(rows)]
                states = _States(b, [ir.Constant(I32, 0)] * rows if minimum else sums_of_inputs)

                def advance(number: ir.Value) -> None:
                    for part, vectors in enumerate(step(b, block, number)):
                        four = b.add(b.mul(number, ir.Constant(word, together)), ir.Constant(word, part))
                        states.dot(b, vectors, b.add(x, b.mul(four, ir.Constant(word, 4 * rows))))

                steps = group // 4 // together
                if FORM.unrolled:
                    for number in range(steps):
                        advance(ir.Constant(word, number))
                else:
                    with cgutils.for_range(b, ir.Constant(word, steps)) as inner:
                        advance(inner.index)
                own, least = ([_widened(b, _vector(b, block, place + 2 * vector * _LANES, ir.VectorType(I16, _LANES)))
                               for vector in range(_VECTORS)] for place in (size, size + 2 * TILE if minimum else size))
                for row in range(rows):
                    factor = splat(b, b.load(_at(b, scale, 4 * row, F32)), _LANES)
                    for vector in range(_VECTORS):
                        whole = b.sitofp(states.finish(b, row, vector), _FLOATS)
                        sums.add(b, row, vector, whole, b.fmul(own[vector], factor))
                        if minimum:
                            given = splat(b, b.sitofp(sums_of_inputs[row], F32), _LANES)
                            sums.add(b, row, vector, given, b.fmul(least[vector], factor))
            sums.store(b, out)
            return context.get_dummy_value()
        return types.void(*[types.int64] * 6), codegen
    return product


class _States:
    """Integer accumulators [rows][vectors], each of as many vectors as the form wants."""

    def __init__(self, b: ir.IRBuilder, begin: list[ir.Value]) -> None:
        self._places = []
        for value in begin:
            start = FORM.start(b, value)
            self._places.append([[cgutils.alloca_once(b, part.type) for part in start] for _ in range(_VECTORS)])
            for places in self._places[-1]:
                for place, part in zip(places, start):
                    b.store(part, place)

    def dot(self, b: ir.IRBuilder, vectors: list[ir.Value], x: ir.Value) -> None:
        """Adds four inputs' products; x is the address of the rows' four bytes each."""
        for row, own in enumerate(self._places):
            four = b.load(_at(b, x, 4 * row, I32))
            for vector, places in enumerate(own):
                state = FORM.dot(b, [b.load(place) for place in places], vectors[vector], four)
                for place, part in zip(places, state):
                    b.store(part, place)

    def finish(self, b: ir.IRBuilder, row: int, vector: int) -> ir.Value:
        return FORM.finish(b, [b.load(place) for place in self._places[row][vector]])


def _bytes(b: ir.IRBuilder, block: ir.Value, number: ir.Value):
    place = b.add(block, b.mul(number, ir.Constant(block.type, 4 * TILE)))
    return [[_vector(b, place, 4 * vector * _LANES, _INTS) for vector in range(_VECTORS)]]


def _nibbles(b: ir.IRBuilder, block: ir.Value, number: ir.Value):
    mask, four = constant(I32, [0x0F0F0F0F] * _LANES), constant(I32, [4] * _LANES)
    both, = _bytes(b, block, number)
    return [[b.and_(value, mask) for value in both], [b.and_(b.lshr(value, four), mask) for value in both]]


def _float_product(rows: int, kind: ir.Type):
    """A product with weights in bfloat16 (kind i16) or fp32; the arithmetic is fp32 in both."""
    wide = 4 if kind is F32 else 2

    @intrinsic
    def product(typing_context, weights, data, first, scales, groups, out):
        """As the integer products; `groups` counts inputs, `first` and `scales` are not looked at."""
        def codegen(context, b, signature, args):
            weights, data, _, _, inputs, out = args
            word = weights.type
            sums = _Sums(b, rows)
            with cgutils.for_range(b, inputs) as loop:
                block = b.add(weights, b.mul(loop.index, ir.Constant(word, TILE * wide)))
                x = b.add(data, b.mul(loop.index, ir.Constant(word, 4 * rows)))
                stored = [_vector(b, block, wide * vector * _LANES, ir.VectorType(kind, _LANES))
                          for vector in range(_VECTORS)]
                vectors = stored if kind is F32 else [_widened(b, bits) for bits in stored]
                for row in range(rows):
                    factor = splat(b, b.load(_at(b, x, 4 * row, F32)), _LANES)
                    for vector in range(_VECTORS):
                        sums.add(b, row, vector, vectors[vector], factor)
            sums.store(b, out)
            return context.get_dummy_value()
        return types.void(*[types.int64] * 6), codegen
    return product


ROWS = FORM.rows
"""Numbers of rows for which there is a product; others are padded to the next."""
INT8 = [_integer_product(rows, 64, 1, _bytes) for rows in ROWS]
INT4 = [_integer_product(rows, 32, 2, _nibbles) for rows in ROWS]
INT4_MIN = [_integer_product(rows, 32, 2, _nibbles, minimum=True) for rows in ROWS]
BF16 = [_float_product(rows, I16) for rows in ROWS]
FP32 = [_float_product(rows, F32) for rows in ROWS]
