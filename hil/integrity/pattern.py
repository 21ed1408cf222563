"""The self-describing pattern as a string of bytes: read parts of it, and cut buffers where its blocks meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hil.integrity.word import BUFFERS, EPOCHS, PATTERN_BYTES, TILE_BYTES, WORD_BYTES, Words, key, keys, tile

if TYPE_CHECKING:
    from collections.abc import Iterator

Bytes = NDArray[np.uint8]
_ALL = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Stream:
    """The pattern of one epoch and one buffer: a string of `PATTERN_BYTES` bytes.

    Raises:
        ValueError: `epoch` or `buffer_id` is out of range.

    """

    epoch: int
    """0 … 4095: which run, or which pass of it."""
    buffer_id: int
    """0 … 255: which buffer of the run."""
    inverted: bool = False
    """Whether every bit is turned round: with a pass of each kind, every bit has held 0 and 1 at every place."""

    def __post_init__(self) -> None:
        _within("epoch", self.epoch, EPOCHS)
        _within("buffer_id", self.buffer_id, BUFFERS)

    def key(self, block: int) -> np.uint64:
        """What block number `block` of the pattern is the tile's exclusive or with."""
        return np.uint64(key(self.epoch, self.buffer_id, block) ^ (_ALL if self.inverted else 0))

    def keys(self, first_block: int, count: int) -> Words:
        """`key` of `count` blocks from `first_block` on."""
        made = keys(self.epoch, self.buffer_id, first_block, count)
        return ~made if self.inverted else made

    def read(self, start: int, nbytes: int) -> Bytes:
        """Bytes ``start … start + nbytes`` of the pattern, for small parts of it.

        Raises:
            ValueError: they lie outside the pattern.

        """
        check_range(start, nbytes)
        result = np.empty(nbytes, dtype=np.uint8)
        for piece in pieces(start, nbytes):
            words = tile()[piece.first_word : piece.end_word] ^ self.key(piece.block)
            result[piece.offset : piece.end] = words.view(np.uint8)[piece.skip : piece.skip + piece.nbytes]
        return result


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a buffer that lies in one block of the pattern."""

    offset: int
    """Bytes from the start of the buffer."""
    nbytes: int
    block: int
    """Number of the block in the pattern."""
    within: int
    """Bytes from the start of the block."""

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.nbytes

    @property
    def first_word(self) -> int:
        """Index in the block of the first word that it touches."""
        return self.within // WORD_BYTES

    @property
    def end_word(self) -> int:
        """Index in the block behind the last word that it touches."""
        return -(-(self.within + self.nbytes) // WORD_BYTES)

    @property
    def skip(self) -> int:
        """Bytes of the first word that are not part of it."""
        return self.within % WORD_BYTES


def pieces(first_byte: int, nbytes: int) -> Iterator[Piece]:
    """Cut a buffer that begins at byte `first_byte` of its pattern where the pattern's blocks meet."""
    offset = 0
    while offset < nbytes:
        block, within = divmod(first_byte + offset, TILE_BYTES)
        size = min(TILE_BYTES - within, nbytes - offset)
        yield Piece(offset, size, block, within)
        offset += size


def check_range(first_byte: int, nbytes: int) -> None:
    """Check that a buffer of `nbytes` that begins at `first_byte` lies in the pattern.

    Raises:
        ValueError: it does not.

    """
    if first_byte < 0:
        raise ValueError(f"`first_byte` must not be negative: {first_byte}")
    if first_byte + nbytes > PATTERN_BYTES:
        raise ValueError(f"`first_byte` + length is {first_byte + nbytes}, beyond the pattern's {PATTERN_BYTES} bytes")


def _within(name: str, value: int, end: int) -> None:
    if not 0 <= value < end:
        raise ValueError(f"`{name}` must be from 0 to {end - 1}, not {value}")
