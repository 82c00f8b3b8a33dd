"""64-bit hashing from one seed: multiply-fold of little-endian words, and the loads that make it fast.

``multiply_fold`` is the 64 x 64 -> 128 bit product with its halves xored, the mixing step of wyhash (Wang Yi, 2019).
These hashes are well mixed but not cryptographic: whoever knows the seed can build collisions. Both factors of a
product get a constant whose highest byte is 0xFF, which no byte of UTF-8 is, so that no text makes a factor zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from kinprint.kernels.jit import kernel
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numpy.typing import NDArray

SEED: Final = 0x6B696E7072696E74
"""Seed of every hash of the copy channel ("kinprint" in ASCII)."""

_U64 = (1 << 64) - 1


def _derive(stream: int) -> np.uint64:
    """SplitMix64 (Steele, Lea, Flood 2014): output number ``stream`` of the generator seeded with :data:`SEED`."""
    x = (SEED + (stream + 1) * 0x9E3779B97F4A7C15) & _U64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _U64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _U64
    return np.uint64(x ^ (x >> 31))


MULTIPLIER_1: Final = np.uint64(0x9E3779B97F4A7C15)
MULTIPLIER_3: Final = np.uint64(0xBF58476D1CE4E5B9)
NOT_UTF8: Final = np.uint64(0xFF << 56)
WORD_SEED_1: Final = _derive(0) | NOT_UTF8
WORD_SEED_2: Final = _derive(1) | NOT_UTF8
WHOLE_WORDS_1: Final = _derive(2)
WHOLE_WORDS_2: Final = _derive(3)
CODE_POINT_SHINGLE_1: Final = _derive(4) | np.uint64(1 << 63)
"""Bit 63 is set: the windows it is xored with have it clear, so no window can zero the product."""
CODE_POINT_SHINGLE_2: Final = _derive(5) | np.uint64(1 << 63)
WHOLE_TEXT: Final = _derive(6)
TEXT_SEED_1: Final = _derive(7) | NOT_UTF8
TEXT_SEED_2: Final = _derive(8) | NOT_UTF8
BAND_SEED: Final = _derive(9)
ROUND_SEED: Final = _derive(10)
SLOT_MULTIPLIERS: Final = np.array([int(_derive(16 + 2 * j)) >> 32 | 1 for j in range(128)], np.uint32)
"""uint32[128], odd: with :data:`SLOT_ADDENDS`, a hash function of its own for every slot of a sketch."""
SLOT_ADDENDS: Final = np.array([int(_derive(17 + 2 * j)) >> 32 for j in range(128)], np.uint32)
LOW_BYTES: Final = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(17)], np.uint64)
"""uint64[17]: mask of the first of two words that hold n bytes."""
HIGH_BYTES: Final = np.array([(1 << 8 * max(n - 8, 0)) - 1 for n in range(17)], np.uint64)
"""uint64[17]: mask of the second of two words that hold n bytes."""


def _intrinsic(body: Callable[..., Any]) -> Any:
    """Numba's own annotation of an intrinsic is that of its body, not of its call."""
    return extending.intrinsic(body)


def _loader(index_type: Any) -> Callable[..., Any]:
    """Body of a load whose index has the type; an unsigned one spares Numba's look at its sign."""

    def typer(typingctx: Any, array: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            struct = context.make_array(signature.args[0])(context, builder, args[0])
            pointer = builder.bitcast(builder.gep(struct.data, [args[1]]), ir.IntType(64).as_pointer())
            value = builder.load(pointer)
            value.align = 1
            return value

        return types.uint64(array, index_type), codegen

    return typer


def _store64(typingctx: Any, array: Any, index: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.bitcast(builder.gep(struct.data, [args[1]]), ir.IntType(64).as_pointer())
        builder.store(args[2], pointer).align = 1
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), codegen


def _block_mask(test: Callable[[Any, Any, Callable[[int], Any]], Any]) -> Callable[..., Any]:
    """An intrinsic body that puts a test of 64 bytes, as LLVM vector operations, into the bits of a uint64."""

    def typer(typingctx: Any, array: Any, index: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vector = ir.VectorType(ir.IntType(8), 64)
            struct = context.make_array(signature.args[0])(context, builder, args[0])
            pointer = builder.bitcast(builder.gep(struct.data, [args[1]]), vector.as_pointer())
            block = builder.load(pointer)
            block.align = 1
            bits = test(builder, block, lambda byte: ir.Constant(vector, [byte] * 64))
            return builder.bitcast(bits, ir.IntType(64))

        return types.uint64(array, types.int64), codegen

    return typer


def _is_word(builder: Any, block: Any, splat: Callable[[int], Any]) -> Any:
    lower = builder.or_(block, splat(0x20))
    letter = builder.icmp_unsigned("<", builder.sub(lower, splat(0x61)), splat(26))
    digit = builder.icmp_unsigned("<", builder.sub(block, splat(0x30)), splat(10))
    return builder.or_(letter, digit)


def _is_high(builder: Any, block: Any, splat: Callable[[int], Any]) -> Any:
    return builder.icmp_unsigned(">=", block, splat(0x80))


def _is_control_space(builder: Any, block: Any, splat: Callable[[int], Any]) -> Any:
    return builder.icmp_unsigned("<", builder.sub(block, splat(9)), splat(5))


def _is_space(builder: Any, block: Any, splat: Callable[[int], Any]) -> Any:
    return builder.or_(builder.icmp_unsigned("==", block, splat(0x20)), _is_control_space(builder, block, splat))


def _lower_block(spaces: bool) -> Callable[..., Any]:
    """Body of a copy of 64 ASCII bytes in lower case, with ``spaces`` also tabs and line ends as spaces."""

    def typer(typingctx: Any, source: Any, start: Any, target: Any, place: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            vector = ir.VectorType(ir.IntType(8), 64)

            def pointer(k: int) -> Any:
                struct = context.make_array(signature.args[k])(context, builder, args[k])
                return builder.bitcast(builder.gep(struct.data, [args[k + 1]]), vector.as_pointer())

            def splat(byte: int) -> Any:
                return ir.Constant(vector, [byte] * 64)

            block = builder.load(pointer(0))
            block.align = 1
            upper = builder.icmp_unsigned("<", builder.sub(block, splat(0x41)), splat(26))
            out = builder.select(upper, builder.or_(block, splat(0x20)), block)
            if spaces:
                out = builder.select(_is_control_space(builder, block, splat), splat(0x20), out)
            builder.store(out, pointer(2)).align = 1
            return context.get_dummy_value()

        return types.void(source, types.int64, target, types.int64), codegen

    return typer


def _copy_bytes(typingctx: Any, source: Any, target: Any, count: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        source_at, target_at = (context.make_array(signature.args[k])(context, builder, args[k]).data for k in (0, 1))
        cgutils.raw_memcpy(builder, target_at, source_at, args[2], 1)
        return context.get_dummy_value()

    return types.void(source, target, types.int64), codegen


def _population(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


def _trailing_zeros(typingctx: Any, x: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), codegen


def _multiply_fold(typingctx: Any, x: Any, y: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))
        return builder.xor(high, builder.trunc(product, ir.IntType(64)))

    return types.uint64(types.uint64, types.uint64), codegen


load64: Callable[[NDArray[np.uint8], int], np.uint64] = _intrinsic(_loader(types.int64))
"""Little-endian uint64 at byte ``i`` of a C-contiguous uint8 array; bytes i .. i+7 must exist."""
load64_at: Callable[[NDArray[np.uint8], np.uint64], np.uint64] = _intrinsic(_loader(types.uint64))
"""As :data:`load64`, for a uint64 index."""
store64: Callable[[NDArray[np.uint8], int, np.uint64], None] = _intrinsic(_store64)
"""Write a uint64 little-endian at byte ``i``; bytes i .. i+7 must exist."""
word_mask: Callable[[NDArray[np.uint8], int], np.uint64] = _intrinsic(_block_mask(_is_word))
"""Bit i set where byte ``p + i``, i < 64, is one of a-z A-Z 0-9; bytes p .. p+63 must exist."""
high_mask: Callable[[NDArray[np.uint8], int], np.uint64] = _intrinsic(_block_mask(_is_high))
"""Bit i set where byte ``p + i``, i < 64, is not ASCII; bytes p .. p+63 must exist."""
space_mask: Callable[[NDArray[np.uint8], int], np.uint64] = _intrinsic(_block_mask(_is_space))
"""Bit i set where byte ``p + i``, i < 64, is a space or 0x09 .. 0x0D; bytes p .. p+63 must exist."""
lower_block: Callable[[NDArray[np.uint8], int, NDArray[np.uint8], int], None] = _intrinsic(_lower_block(False))
"""Copy 64 ASCII bytes in lower case: ``target[o:o + 64]`` from ``source[p:p + 64]``, called ``(source, p,
target, o)``.
"""
lower_spaced_block: Callable[[NDArray[np.uint8], int, NDArray[np.uint8], int], None] = _intrinsic(_lower_block(True))
"""As :data:`lower_block`, 0x09 .. 0x0D written as spaces."""
copy_bytes: Callable[[NDArray[np.uint8], NDArray[np.uint8], int], None] = _intrinsic(_copy_bytes)
"""Copy the first ``count`` bytes, called ``(source, target, count)``; both must have them, and not overlap."""
population: Callable[[np.uint64], int] = _intrinsic(_population)
"""Number of set bits of a uint64, int64."""
trailing_zeros: Callable[[np.uint64], int] = _intrinsic(_trailing_zeros)
"""Number of trailing zero bits of a uint64 (64 for 0), int64."""
multiply_fold: Callable[[np.uint64, np.uint64], np.uint64] = _intrinsic(_multiply_fold)
"""Low xor high half of the 128-bit product of two uint64."""


@kernel
def finalise(x: np.uint64) -> np.uint64:
    """Avalanche of the last step: every output bit depends on all of ``x``; a bijection."""
    x ^= x >> np.uint64(32)
    x *= MULTIPLIER_3
    x ^= x >> np.uint64(29)
    return x


@kernel
def hash_bytes(text: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """64-bit hash of ``text[start:end]``, 16 bytes a step; ``text`` must reach 16 bytes past ``end``."""
    n = end - start
    h = WORD_SEED_1
    k = WORD_SEED_2 ^ np.uint64(n)
    p = start
    while p < end:
        left = min(end - p, 16)
        x = load64(text, p) & LOW_BYTES[left]
        y = load64(text, p + 8) & HIGH_BYTES[left]
        h = multiply_fold(h ^ x, k ^ y)
        k = WORD_SEED_2
        p += 16
    return h


@kernel
def hash_text(text: NDArray[np.uint8], length: int) -> tuple[np.uint64, np.uint64]:
    """128-bit hash of ``text[:length]`` as two uint64; ``text`` must reach 16 bytes past ``length``."""
    a = TEXT_SEED_1 ^ np.uint64(length)
    b = TEXT_SEED_2 ^ np.uint64(length)
    p = 0
    while p + 16 <= length:
        x = load64(text, p)
        y = load64(text, p + 8)
        a = multiply_fold(a ^ x, y ^ TEXT_SEED_2)
        b = multiply_fold(b ^ y, x ^ TEXT_SEED_1)
        p += 16
    if p < length:
        x = load64(text, p) & LOW_BYTES[length - p]
        y = load64(text, p + 8) & HIGH_BYTES[length - p]
        a = multiply_fold(a ^ x, y ^ TEXT_SEED_2)
        b = multiply_fold(b ^ y, x ^ TEXT_SEED_1)
    return finalise(a), finalise(b ^ MULTIPLIER_1)
