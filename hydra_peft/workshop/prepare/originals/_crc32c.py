"""CRC-32C (Castagnoli, RFC 3720 appendix B.4) in numpy, fast enough for gigabytes of records.

A CRC is linear: that of a message is the exclusive or of what each byte adds given the number of
bytes after it. One table lookup a byte, 256 positions at a time, gives a remainder for each block
of 256 bytes; a second table moves each remainder to the end of its chunk.
"""

from __future__ import annotations

from functools import cache

import numpy as np

_POLYNOMIAL = 0x82F63B78  # bits reversed, lowest first
_BLOCK = 256
_BLOCKS = 256
_CHUNK = _BLOCK * _BLOCKS
_ONES = 0xFFFFFFFF


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC-32C of ``data``, as an integer below 2**32."""
    view = np.frombuffer(data, np.uint8)
    state = _ONES
    for start in range(0, len(view), _CHUNK):
        state = _chunk(view[start : start + _CHUNK], state)
    return state ^ _ONES


def _chunk(data: np.ndarray, state: int) -> int:
    """Return the state after at most ``_CHUNK`` bytes of ``data``."""
    if len(data) < 4:
        for byte in data.tolist():
            state = state >> 8 ^ int(_bytewise()[(state ^ byte) & 0xFF])
        return state
    within, between, at = _tables()
    blocks = -(-len(data) // _BLOCK)
    # Zero bytes before a message do not change a remainder that starts at zero; the state that
    # it does start with is added to the first four bytes instead.
    padded = np.zeros(blocks * _BLOCK, np.uint8)
    padded[-len(data) :] = data
    first = len(padded) - len(data)
    padded[first : first + 4] ^= np.array([state], "<u4").view(np.uint8)
    remainders = np.bitwise_xor.reduce(within[padded.reshape(blocks, _BLOCK) + at], axis=1)
    # The last block is at its place; each of the others is moved by the blocks after it.
    moved = between[np.arange(blocks - 1, -1, -1)[:, None], np.arange(4), _bytes_of(remainders)]
    return int(np.bitwise_xor.reduce(moved, axis=None))


@cache
def _bytewise() -> np.ndarray:
    """uint32 ``[256]``: the remainder of each byte value."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(_POLYNOMIAL), np.uint32(0))
    return table


@cache
def _tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lookup tables.

    Returns:
        uint32 ``[256 * 256]``, what the byte ``value`` at ``position`` of a block adds, at index
        ``256 * position + value``; uint32 ``[blocks, 4, 256]``, what byte ``k`` of a remainder
        adds ``blocks`` later; int64 ``[256]``, the index of each position's value 0.
    """
    within = np.empty((_BLOCK, 256), np.uint32)
    within[-1] = _bytewise()
    for position in range(_BLOCK - 2, -1, -1):
        within[position] = _after_zero(within[position + 1])
    between = np.empty((_BLOCKS, 4, 256), np.uint32)
    between[0] = np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
    for block in range(1, _BLOCKS):
        # The four bytes of a remainder act like message bytes at the start of the next block.
        lowest = _bytes_of(between[block - 1])
        between[block] = np.bitwise_xor.reduce(within[np.arange(4), lowest], axis=-1)
    return within.reshape(-1), between, np.arange(_BLOCK) * 256


def _after_zero(remainders: np.ndarray) -> np.ndarray:
    return (remainders >> 8) ^ _bytewise()[remainders & 0xFF]


def _bytes_of(remainders: np.ndarray) -> np.ndarray:
    """uint8 ``[..., 4]``: the bytes of uint32 ``[...]``, lowest first."""
    return np.ascontiguousarray(remainders, "<u4")[..., None].view(np.uint8)
