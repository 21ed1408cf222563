"""The self-describing pattern in memory: fill a buffer with it, read parts of it, find what differs from it.

`fill` and `wrong_tiles` go through the buffer in tiles of 256 KiB with constant extra memory (under 1 MiB),
near the speed of memory. They are the two loops that a compiled path would replace; all else builds on them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hil.integrity.word import (
    BUFFERS,
    EPOCHS,
    PATTERN_BYTES,
    TILE_BYTES,
    WORD_BYTES,
    Origin,
    decode,
    key,
    mix,
    tile,
    unmix,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["Origin", "Stream", "decode", "fill", "mix", "unmix", "wrong_tiles"]

Bytes = NDArray[np.uint8]


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

    def __post_init__(self) -> None:
        _within("epoch", self.epoch, EPOCHS)
        _within("buffer_id", self.buffer_id, BUFFERS)

    def read(self, start: int, nbytes: int) -> Bytes:
        """Bytes ``start … start + nbytes`` of the pattern, for small parts of it.

        Raises:
            ValueError: they lie outside the pattern.

        """
        check_range(start, nbytes)
        result = np.empty(nbytes, dtype=np.uint8)
        for piece in pieces(start, nbytes):
            words = tile()[piece.first_word : piece.end_word] ^ np.uint64(key(self.epoch, self.buffer_id, piece.block))
            result[piece.offset : piece.end] = words.view(np.uint8)[piece.skip : piece.skip + piece.nbytes]
        return result


@dataclass(frozen=True, slots=True)
class Piece:
    """The part of a buffer that lies in one tile of the pattern."""

    offset: int
    """Bytes from the start of the buffer."""
    nbytes: int
    block: int
    """Number of the tile in the pattern."""
    within: int
    """Bytes from the start of the tile."""

    @property
    def end(self) -> int:
        """Offset of the first byte behind it."""
        return self.offset + self.nbytes

    @property
    def first_word(self) -> int:
        """Index in the tile of the first word that it touches."""
        return self.within // WORD_BYTES

    @property
    def end_word(self) -> int:
        """Index in the tile behind the last word that it touches."""
        return -(-(self.within + self.nbytes) // WORD_BYTES)

    @property
    def skip(self) -> int:
        """Bytes of the first word that are not part of it."""
        return self.within % WORD_BYTES


def pieces(first_byte: int, nbytes: int) -> Iterator[Piece]:
    """Cut a buffer that begins at byte `first_byte` of its pattern where the pattern's tiles meet."""
    offset = 0
    while offset < nbytes:
        block, within = divmod(first_byte + offset, TILE_BYTES)
        size = min(TILE_BYTES - within, nbytes - offset)
        yield Piece(offset, size, block, within)
        offset += size


def fill(buffer: WriteableBuffer, *, epoch: int, buffer_id: int, first_byte: int = 0) -> None:
    """Write the pattern of `epoch` and `buffer_id` over all of `buffer`.

    Args:
        buffer: anything with a writable, contiguous buffer, of any length in bytes.
        epoch: 0 … 4095.
        buffer_id: 0 … 255.
        first_byte: which byte of the pattern the buffer begins with; need not be a multiple of 8.

    Raises:
        TypeError: `buffer` has no buffer.
        ValueError: it is read-only or not contiguous, or a number is out of range.

    """
    stream = Stream(epoch, buffer_id)
    view = as_bytes(buffer)
    if view.readonly:
        raise ValueError("`buffer` is read-only: it cannot be filled")
    check_range(first_byte, view.nbytes)
    target: Bytes = np.frombuffer(view, dtype=np.uint8)
    address = target.__array_interface__["data"][0]
    scratch: Any = None
    for piece in pieces(first_byte, view.nbytes):
        words = tile()[piece.first_word : piece.end_word]
        constant = np.uint64(key(stream.epoch, stream.buffer_id, piece.block))
        if not (address + piece.offset | piece.within | piece.nbytes) % WORD_BYTES:
            np.bitwise_xor(words, constant, out=target[piece.offset : piece.end].view(np.uint64))
            continue
        if scratch is None:
            scratch = np.empty(TILE_BYTES // WORD_BYTES, dtype=np.uint64)
        made = np.bitwise_xor(words, constant, out=scratch[: words.size]).view(np.uint8)
        target[piece.offset : piece.end] = made[piece.skip : piece.skip + piece.nbytes]


def wrong_tiles(view: memoryview, stream: Stream, first_byte: int) -> tuple[list[tuple[int, int]], int]:
    """Where `view` differs from the pattern, tile by tile.

    Returns:
        ``[(offset, nbytes), …]`` of the tiles that hold a wrong byte, in order; and how many bytes are wrong.

    """
    made = bytearray(TILE_BYTES)
    words = np.frombuffer(made, dtype=np.uint64)
    found: list[tuple[int, int]] = []
    wrong = 0
    for piece in pieces(first_byte, view.nbytes):
        source = tile()[piece.first_word : piece.end_word]
        np.bitwise_xor(source, np.uint64(key(stream.epoch, stream.buffer_id, piece.block)), out=words[: source.size])
        actual = view[piece.offset : piece.end]
        # bytearray's own comparison is memcmp on whatever has a buffer; memoryview's goes element by element.
        whole = piece.nbytes == TILE_BYTES
        if (made if whole else made[piece.skip : piece.skip + piece.nbytes]) != actual:
            expected = words.view(np.uint8)[piece.skip : piece.skip + piece.nbytes]
            wrong += int(np.count_nonzero(expected != np.frombuffer(actual, dtype=np.uint8)))
            found.append((piece.offset, piece.nbytes))
    return found, wrong


def as_bytes(buffer: ReadableBuffer) -> memoryview:
    """`buffer` as a flat view of bytes.

    Raises:
        TypeError: it has no buffer.
        ValueError: it is not contiguous.

    """
    try:
        view = memoryview(buffer)
    except TypeError as error:
        raise TypeError(
            f"`buffer` must offer its memory (bytearray, memoryview, array, …); {type(buffer).__name__} does not"
        ) from error
    if not view.c_contiguous:
        raise ValueError("`buffer` must be contiguous: pass the whole array, or a copy of the part")
    return view.cast("B") if view.nbytes else memoryview(bytearray())


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
