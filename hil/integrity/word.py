"""The pattern's word: 64 bits that say which run, which buffer and which place they belong to.

A word of the pattern of one epoch and one buffer is made of two parts that are combined by XOR:

* the *tile*, which depends on the low 15 bits of the word's index alone, and
* the *key*, which depends on epoch (12 bits), buffer (8), check (8) and block, the high 21 bits of the index.

So a block of 256 KiB is one constant table XOR one constant: as fast as copying. It can still be undone
exactly: before whitening, the tile carries the low index bits in the clear in its upper 15 bits, where the
key is zero, and the lower 49 bits of the key are a bijection (splitmix64's finalizer, on 49 bits) of its four
fields. Whitening is linear, so it is applied to both parts beforehand and costs nothing.

Words are little endian, as are all hosts and GPUs that this program knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
_W = Any  # an `int` or an array of uint64: the arithmetic below holds for both, and is not written twice

WORD_BYTES = 8
TILE_BITS = 15
TILE_WORDS = 1 << TILE_BITS
TILE_BYTES = TILE_WORDS * WORD_BYTES
"""256 KiB, part of the format: measured to be the fastest with 1 MiB of second-level cache a core."""
EPOCHS = 1 << 12
BUFFERS = 1 << 8
INDICES = 1 << 36
PATTERN_BYTES = INDICES * WORD_BYTES
"""512 GiB: how far the pattern of one buffer reaches."""

_ALL = (1 << 64) - 1
_KEY_BITS = 49
_KEY = (1 << _KEY_BITS) - 1
_SHIFTS = (
    30,
    27,
    31,
)  # splitmix64's finalizer: Steele, Lea, Flood, "Fast splittable PRNGs", OOPSLA 2014; variant 13
_FACTORS = (0xBF58476D1CE4E5B9 & _KEY, 0x94D049BB133111EB & _KEY)
_INVERSES = tuple(pow(factor, -1, 1 << _KEY_BITS) for factor in _FACTORS)
_START = 0x9E3779B97F4A7C15 & _KEY  # splitmix64's increment: keeps low table entries from being sparse
_SALT = 0xA5  # so that a word of all zeros or all ones fails the check
_WHITEN = 15
_PART = 1 << 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a word belongs: run (`epoch`), buffer, and `index` in words from the pattern's start."""

    epoch: int
    buffer_id: int
    index: int


def mix(fields: _W) -> _W:
    """splitmix64's finalizer on 49 bits: a bijection."""
    a, b, c = _SHIFTS
    x = fields ^ (fields >> a)
    x = (x * _FACTORS[0]) & _KEY
    x = x ^ (x >> b)
    x = (x * _FACTORS[1]) & _KEY
    return x ^ (x >> c)


def unmix(mixed: _W) -> _W:
    """Inverse of `mix`."""
    a, b, c = _SHIFTS
    x = mixed ^ (mixed >> c)  # a shift of half the width or more is its own inverse
    x = (x * _INVERSES[1]) & _KEY
    x = x ^ (x >> b)
    x = (x * _INVERSES[0]) & _KEY
    return x ^ (x >> a)


def key(epoch: int, buffer_id: int, block: int) -> int:
    """The 64-bit constant of block number `block` (256 KiB each) of one buffer's pattern."""
    return int(_key_of(epoch << 37 | buffer_id << 29 | block))


def keys(epoch: int, buffer_id: int, first_block: int, count: int) -> Words:
    """`key` for `count` blocks from `first_block` on."""
    blocks = np.arange(first_block, first_block + count, dtype=np.uint64)
    made: Words = _key_of(np.uint64(epoch << 37 | buffer_id << 29) | blocks)
    return made


@cache
def tile() -> Words:
    """The table that all blocks share: ``TILE_WORDS`` words, read-only."""
    words = np.empty(TILE_WORDS, dtype=np.uint64)
    # In parts, so that making it takes little more memory than it needs.
    for start in range(0, TILE_WORDS, _PART):
        low = np.arange(start, start + _PART, dtype=np.uint64)
        words[start : start + _PART] = _whiten((low << (64 - TILE_BITS)) | _tile_noise(low))
    words.setflags(write=False)
    return words


def decode(word: int) -> Origin | None:
    """Where `word` (64 bits, as read in little-endian order) belongs; `None` if it is no word of the pattern.

    One random word in 256 passes the check: believe a lone word only if its origin is plausible.

    Raises:
        ValueError: `word` has more than 64 bits or is negative.

    """
    if not 0 <= word <= _ALL:
        raise ValueError(f"`word` must be within 64 bits, not {word}")
    fields, low = _undo(word)
    if _check(fields) != fields >> 21 & 0xFF:
        return None
    index = (fields & 0x1FFFFF) << TILE_BITS | low
    return Origin(epoch=fields >> 37, buffer_id=fields >> 29 & 0xFF, index=index)


def decode_many(words: Words) -> tuple[NDArray[np.bool_], Words, Words, Words]:
    """`decode` for an array: which words pass the check, and their epochs, buffers and indices."""
    fields, low = _undo(words)
    index = (fields & 0x1FFFFF) << TILE_BITS | low
    return _check(fields) == fields >> 21 & 0xFF, fields >> 37, fields >> 29 & 0xFF, index


def _key_of(fields: _W) -> _W:
    return _whiten(mix(fields | _check(fields) << 21))


def _tile_noise(low: _W) -> _W:
    return mix(low + _START)


def _undo(word: _W) -> tuple[_W, _W]:
    x = word
    for shift in (
        _WHITEN,
        2 * _WHITEN,
        4 * _WHITEN,
    ):  # the inverse of one shift is all its multiples below 64
        x = x ^ (x << shift & _ALL)
    low = x >> (64 - TILE_BITS)
    return unmix((x & _KEY) ^ _tile_noise(low)), low


def _whiten(x: _W) -> _W:
    return x ^ (x << _WHITEN & _ALL)


def _check(fields: _W) -> _W:
    fields = fields & (_KEY ^ 0xFF << 21)
    folded = fields ^ (fields >> 8) ^ (fields >> 16) ^ (fields >> 29) ^ (fields >> 37) ^ (fields >> 45)
    return (folded & 0xFF) ^ _SALT
