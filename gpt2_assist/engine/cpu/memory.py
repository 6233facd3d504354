"""Raw memory for numba functions: addresses in, values out; and the few atomic operations that threads agree by.

Nothing here checks bounds. Who calls it has checked positions and lengths in Python.
"""
import sys

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

I8, I16, I32, I64, F32 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.FloatType()


def _load(kind: ir.Type, result: types.Type):
    @intrinsic
    def load(typing_context, address, index):
        def codegen(context, b, signature, args):
            return b.load(b.gep(b.inttoptr(args[0], kind.as_pointer()), [args[1]]))
        return result(types.int64, types.int64), codegen
    return load


def _store(kind: ir.Type, value: types.Type):
    @intrinsic
    def store(typing_context, address, index, given):
        def codegen(context, b, signature, args):
            b.store(args[2], b.gep(b.inttoptr(args[0], kind.as_pointer()), [args[1]]))
            return context.get_dummy_value()
        return types.void(types.int64, types.int64, value), codegen
    return store


load_f32, load_u16, load_u8 = _load(F32, types.float32), _load(I16, types.uint16), _load(I8, types.uint8)
get = _load(I64, types.int64)
"""A number of the plan or of another table."""
store_f32, store_u16 = _store(F32, types.float32), _store(I16, types.uint16)


@intrinsic
def prefetch(typing_context, address):
    """Asks for the cache line at an address that will soon be read."""
    def codegen(context, b, signature, args):
        pointer = I8.as_pointer()
        ask = cgutils.get_or_insert_function(b.module, ir.FunctionType(ir.VoidType(), [pointer, I32, I32, I32]),
                                             "llvm.prefetch.p0")
        b.call(ask, [b.inttoptr(args[0], pointer), *(ir.Constant(I32, value) for value in (0, 2, 1))])
        return context.get_dummy_value()
    return types.void(types.int64), codegen


@intrinsic
def bits_of(typing_context, value):
    """The 32 bits of a float32."""
    def codegen(context, b, signature, args):
        return b.bitcast(args[0], I32)
    return types.uint32(types.float32), codegen


@intrinsic
def from_bits(typing_context, bits):
    """The float32 of 32 bits."""
    def codegen(context, b, signature, args):
        return b.bitcast(args[0], F32)
    return types.float32(types.uint32), codegen


@intrinsic
def atomic_add(typing_context, address, value):
    """Adds to the int64 at an address; gives what stood there before. Sequentially consistent."""
    def codegen(context, b, signature, args):
        return b.atomic_rmw("add", b.inttoptr(args[0], I64.as_pointer()), args[1], "seq_cst")
    return types.int64(types.int64, types.int64), codegen


@intrinsic
def atomic_swap(typing_context, address, value):
    """Puts a value in the place of the int64 at an address; gives what stood there before."""
    def codegen(context, b, signature, args):
        return b.atomic_rmw("xchg", b.inttoptr(args[0], I64.as_pointer()), args[1], "seq_cst")
    return types.int64(types.int64, types.int64), codegen


@intrinsic
def atomic_load(typing_context, address):
    """The int64 at an address, and all that was written before it was put there."""
    def codegen(context, b, signature, args):
        return b.load_atomic(b.inttoptr(args[0], I64.as_pointer()), "acquire", 8)
    return types.int64(types.int64), codegen


@intrinsic
def relax(typing_context):
    """Tells the processor that this is a loop that waits."""
    def codegen(context, b, signature, args):
        triple = b.module.triple
        if triple.startswith(("x86_64", "i686")):
            b.call(cgutils.get_or_insert_function(b.module, ir.FunctionType(ir.VoidType(), []),
                                                  "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()
    return types.void(), codegen


kernel = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""For functions that only other kernels call; none of them raises anything."""

_sleep = types.ExternalFunction("Sleep" if sys.platform == "win32" else "usleep", types.int32(types.uint32))
_UNIT = 1000 if sys.platform == "win32" else 1
"""Microseconds that the system's call counts in."""


@kernel
def pause(microseconds):
    """Leaves the core to others for a while."""
    _sleep(np.uint32(max(1, microseconds // _UNIT)))


@kernel
def padded(count, multiple):
    """`count` rounded up to a multiple."""
    return (count + multiple - 1) // multiple * multiple
