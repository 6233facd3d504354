"""How this processor multiplies bytes: four forms of one operation, all of which give the same integers.

The operation is that of AVX-512 VNNI's vpdpbusd: to each 32-bit lane add the sum of four products of an unsigned byte
with a signed one. Forms without that instruction build it from what there is.
"""
import os

from llvmlite import binding, ir

I8, I16, I32 = ir.IntType(8), ir.IntType(16), ir.IntType(32)


def declared(builder: ir.IRBuilder, name: str, result: ir.Type, arguments: list[ir.Type]) -> ir.Function:
    """A function of LLVM's or the C library's that the module can call."""
    module = builder.module
    return module.globals.get(name) or ir.Function(module, ir.FunctionType(result, arguments), name)


def splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """A vector whose lanes all hold `scalar`."""
    kind = ir.VectorType(scalar.type, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), constant(I32, [0] * lanes))


def constant(kind: ir.Type, values: list[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(kind, len(values)), values)


class Vnni:
    """The instruction itself, on vectors of `lanes` outputs."""

    unrolled = True

    def __init__(self, lanes: int, rows: tuple[int, ...]) -> None:
        self.lanes, self.rows = lanes, rows

    def start(self, b: ir.IRBuilder, first: ir.Value) -> list[ir.Value]:
        """Accumulators of `lanes` outputs that begin at the i32 `first`."""
        return [splat(b, first, self.lanes)]

    def dot(self, b: ir.IRBuilder, state: list[ir.Value], weights: ir.Value, x: ir.Value) -> list[ir.Value]:
        """Adds four products to each lane: weights <lanes x i32> of four unsigned bytes, x i32 of four signed ones."""
        kind = ir.VectorType(I32, self.lanes)
        instruction = declared(b, f"llvm.x86.avx512.vpdpbusd.{32 * self.lanes}", kind, [kind] * 3)
        return [b.call(instruction, [state[0], weights, splat(b, x, self.lanes)])]

    def finish(self, b: ir.IRBuilder, state: list[ir.Value]) -> ir.Value:
        """The sums, <lanes x i32>."""
        return state[0]


class Avx2:
    """Bytes widened to 16 bits, multiplied and added in pairs by vpmaddwd, which can't overflow here."""

    unrolled = False  # LLVM takes minutes over so many shuffles in a row
    lanes = 8
    rows = (1, 2)

    def start(self, b: ir.IRBuilder, first: ir.Value) -> list[ir.Value]:
        kind = ir.VectorType(I32, 8)
        halves = constant(I32, [0, 1] * 4)
        vector = b.shuffle_vector(b.insert_element(ir.Constant(kind, [0] * 8), first, ir.Constant(I32, 0)),
                                  ir.Constant(kind, ir.Undefined), halves)
        return [vector, vector]

    def dot(self, b: ir.IRBuilder, state: list[ir.Value], weights: ir.Value, x: ir.Value) -> list[ir.Value]:
        wide, pairs = ir.VectorType(I16, 16), ir.VectorType(I32, 8)
        multiply = declared(b, "llvm.x86.avx2.pmadd.wd", pairs, [wide, wide])
        factors = b.sext(b.bitcast(splat(b, x, 4), ir.VectorType(I8, 16)), wide)
        data = b.bitcast(weights, ir.VectorType(I8, 32))
        undefined = ir.Constant(data.type, ir.Undefined)
        return [b.add(sums, b.call(multiply, [b.zext(b.shuffle_vector(data, undefined, constant(I32, part)), wide),
                                              factors]))
                for sums, part in zip(state, (list(range(16)), list(range(16, 32))))]

    def finish(self, b: ir.IRBuilder, state: list[ir.Value]) -> ir.Value:
        even, odd = (b.shuffle_vector(*state, constant(I32, list(range(start, 16, 2)))) for start in (0, 1))
        return b.add(even, odd)


class PlainForm:
    """Vector instructions of no particular processor."""

    unrolled = False  # LLVM takes minutes over so many shuffles in a row
    lanes = 8
    rows = (1, 2)

    def start(self, b: ir.IRBuilder, first: ir.Value) -> list[ir.Value]:
        return [splat(b, first, 8)]

    def dot(self, b: ir.IRBuilder, state: list[ir.Value], weights: ir.Value, x: ir.Value) -> list[ir.Value]:
        kind = ir.VectorType(I32, 8)
        sums = state[0]
        for byte in range(4):
            places = ir.Constant(kind, [8 * byte] * 8)
            factor = b.ashr(b.shl(x, ir.Constant(I32, 24 - 8 * byte)), ir.Constant(I32, 24))
            part = b.and_(b.lshr(weights, places), ir.Constant(kind, [255] * 8))
            sums = b.add(sums, b.mul(part, splat(b, factor, 8)))
        return [sums]

    def finish(self, b: ir.IRBuilder, state: list[ir.Value]) -> ir.Value:
        return state[0]


_FORMS = {"vnni512": Vnni(16, (1, 2, 4, 8)), "vnni256": Vnni(8, (1, 2)), "avx2": Avx2(), "plain": PlainForm()}


def available() -> list[str]:
    """The names of the forms that this processor has, best first."""
    features = binding.get_host_cpu_features()
    has = {"vnni512": features.get("avx512vnni") and features.get("avx512bw"),
           "vnni256": features.get("avxvnni") or (features.get("avx512vnni") and features.get("avx512vl")),
           "avx2": features.get("avx2"), "plain": True}
    return [name for name in _FORMS if has[name]]


NAME = os.environ.get("GPT2_ASSIST_SIMD") or available()[0]
"""The form in use. The environment variable is for tests, which compare all that there are."""
FORM = _FORMS[NAME]
