"""The two loops that go through whole buffers: write the pattern, find where it differs; near the speed of memory.

Both exist twice, with the same results: in numpy, and compiled (`hil.integrity.compiled`). Either needs the 256 KiB of
the pattern's table and at most twice as much beside, whatever the size of the buffer.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from hil.integrity import compiled
from hil.integrity.pattern import Bytes, Piece, Stream, pieces
from hil.integrity.word import TILE_BYTES, TILE_WORDS, WORD_BYTES, tile
from hil.model import GIB, MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.integrity.compiled import Loops

WORTH_LOADING = 4 * GIB
"""Bytes after which a process takes the compiled loops: loading them takes 0.5 s, and they save 0.1 … 0.2 s a GiB."""
WORTH_CALLING = MIB
"""Bytes of a buffer below which numpy's loops do as well."""
_BLOCKS_AT_ONCE = 4096  # whose keys are made in advance: 1 GiB, with 32 KiB of keys


class Path(StrEnum):
    """Which of the two."""

    AUTO = "auto"
    """numpy; compiled once a process has gone through so much that it pays, where numba is installed."""
    NUMPY = "numpy"
    COMPILED = "compiled"
    """Compiled for every buffer from the first byte on."""


class Chooser:
    """Chooses a path for each buffer, by what this process has gone through so far."""

    def __init__(self) -> None:
        self.path = Path.AUTO
        self._gone_through = 0

    def loops(self, nbytes: int) -> Loops | None:
        """The compiled loops, where a buffer of `nbytes` shall be gone through by them."""
        self._gone_through += nbytes
        if self.path is Path.COMPILED:
            return compiled.loops()
        worth = nbytes >= WORTH_CALLING and self._gone_through >= WORTH_LOADING
        return compiled.loops() if worth and self.path is Path.AUTO else None


CHOOSER = Chooser()


def use(path: str) -> None:
    """Choose how this process goes through buffers: ``auto`` (the default), ``numpy`` or ``compiled``.

    Raises:
        ValueError: `path` is none of these, or ``compiled`` and numba is not there.

    """
    if path not in [known.value for known in Path]:
        raise ValueError(f"`path` must be one of {', '.join(Path)}, not {path!r}")
    if path == Path.COMPILED and compiled.loops() is None:
        raise ValueError("numba cannot be imported here: pip install 'hil[fast]', or use \"auto\"")
    CHOOSER.path = Path(path)


def write(view: memoryview, stream: Stream, first_byte: int) -> None:
    """Write the pattern of `stream` from byte `first_byte` on over all of `view`."""
    target: Bytes = np.frombuffer(view, dtype=np.uint8)
    loops = CHOOSER.loops(view.nbytes)
    if loops is None:
        _write_by_numpy(target, stream, first_byte)
        return
    head, tail = _whole_words(first_byte, view.nbytes)
    _write_by_numpy(target[:head], stream, first_byte)
    for start in range(head, tail, _BLOCKS_AT_ONCE * TILE_BYTES):
        words, keys, low = _batch(target, stream, first_byte, start, tail)
        loops.fill(words, tile(), keys, low)
    _write_by_numpy(target[tail:], stream, first_byte + tail)


def wrong_pieces(view: memoryview, stream: Stream, first_byte: int) -> Iterator[tuple[int, int, int]]:
    """Where `view` differs from the pattern: offset, size and number of wrong bytes of each block that does."""
    actual: Bytes = np.frombuffer(view, dtype=np.uint8)
    loops = CHOOSER.loops(view.nbytes)
    if loops is None:
        yield from _wrong_by_numpy(view, actual, stream, first_byte, 0)
        return
    head, tail = _whole_words(first_byte, view.nbytes)
    yield from _wrong_by_numpy(view[:head], actual, stream, first_byte, 0)
    start = head
    while start < tail:
        words, keys, low = _batch(actual, stream, first_byte, start, tail)
        number = loops.first_wrong(words, tile(), keys, low)
        if number < 0:
            start += words.size * WORD_BYTES
            continue
        size = TILE_BYTES - low * WORD_BYTES
        start += 0 if number == 0 else size + (number - 1) * TILE_BYTES
        end = min(start + (size if number == 0 else TILE_BYTES), tail)
        yield from _wrong_by_numpy(view[start:end], actual, stream, first_byte + start, start)
        start = end
    yield from _wrong_by_numpy(view[tail:], actual, stream, first_byte + tail, tail)


def _whole_words(first_byte: int, nbytes: int) -> tuple[int, int]:
    """The part of a buffer that is made of whole words of the pattern."""
    head = min(-first_byte % WORD_BYTES, nbytes)
    return head, nbytes - (first_byte + nbytes) % WORD_BYTES if nbytes > head else head


def _batch(target: Bytes, stream: Stream, first_byte: int, start: int, end: int) -> tuple[Any, Any, int]:
    """Words of the buffer from `start` on, the keys of their blocks, and where in its block the first one lies."""
    block, within = divmod(first_byte + start, TILE_BYTES)
    end = min(end, start + _BLOCKS_AT_ONCE * TILE_BYTES)
    count = -(-(within + end - start) // TILE_BYTES)
    return target[start:end].view(np.uint64), stream.keys(block, count), within // WORD_BYTES


def _write_by_numpy(target: Bytes, stream: Stream, first_byte: int) -> None:
    address = target.__array_interface__["data"][0]
    scratch: Any = None
    for piece in pieces(first_byte, target.size):
        words = tile()[piece.first_word : piece.end_word]
        constant = stream.key(piece.block)
        if not (address + piece.offset | piece.within | piece.nbytes) % WORD_BYTES:
            np.bitwise_xor(words, constant, out=target[piece.offset : piece.end].view(np.uint64))
            continue
        if scratch is None:
            scratch = np.empty(min(TILE_WORDS, target.size // WORD_BYTES + 2), dtype=np.uint64)
        made = np.bitwise_xor(words, constant, out=scratch[: words.size]).view(np.uint8)
        target[piece.offset : piece.end] = made[piece.skip : piece.skip + piece.nbytes]


def _wrong_by_numpy(
    view: memoryview, actual: Bytes, stream: Stream, first_byte: int, start: int
) -> Iterator[tuple[int, int, int]]:
    if not view.nbytes:
        return
    made = bytearray(min(TILE_BYTES, (view.nbytes // WORD_BYTES + 2) * WORD_BYTES))
    words = np.frombuffer(made, dtype=np.uint64)
    for piece in pieces(first_byte, view.nbytes):
        if _differs(view, piece, stream, made, words):
            expected = words.view(np.uint8)[piece.skip : piece.skip + piece.nbytes]
            wrong = int(np.count_nonzero(expected != actual[start + piece.offset : start + piece.end]))
            yield start + piece.offset, piece.nbytes, wrong


def _differs(view: memoryview, piece: Piece, stream: Stream, made: bytearray, words: Any) -> bool:
    source = tile()[piece.first_word : piece.end_word]
    np.bitwise_xor(source, stream.key(piece.block), out=words[: source.size])
    # bytearray's own comparison is memcmp on whatever has a buffer; memoryview's goes element by element.
    whole = piece.nbytes == len(made)
    expected = made if whole else made[piece.skip : piece.skip + piece.nbytes]
    return expected != view[piece.offset : piece.end]
