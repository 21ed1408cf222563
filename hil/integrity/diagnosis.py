"""Diagnosis: cut the wrong bytes of a buffer into runs, each explained by what its bytes are.

From the first wrong byte on, every explanation that the bytes themselves suggest (an origin decoded from a
word, zeros, ones, what the destination held before) is tried; the one that explains the longest stretch wins,
and the search goes on behind it. Slow per finding, constant in memory: it runs only where bytes are wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hil.integrity.pattern import Bytes, Stream
from hil.integrity.word import (
    EPOCHS,
    PATTERN_BYTES,
    TILE_BYTES,
    WORD_BYTES,
    Origin,
    decode,
    decode_many,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST_FLIPS = 3  # bits of one word; two words of the pattern differ in 18 and more
_CONCLUSIVE = 4  # bytes: shorter zeros, ones or old data may be chance, unless they reach the end of what is wrong
_SETTLED = WORD_BYTES  # so many correct bytes in a row end a wrong stretch
_FIRST_LOOK = 256  # bytes; doubled up to a tile


@dataclass(frozen=True, slots=True)
class Source:
    """A pattern that wrong bytes may come from: `stream`, displaced by `displacement` bytes."""

    stream: Stream
    displacement: int


@dataclass(frozen=True, slots=True)
class Constant:
    """One byte, again and again."""

    value: int


@dataclass(frozen=True, slots=True)
class Flips:
    """Bits of one word."""

    mask: int


@dataclass(frozen=True, slots=True)
class Run:
    """Wrong bytes with one explanation; `None` = nothing explains them."""

    offset: int
    end: int
    """Offset behind the last wrong byte."""
    cause: Source | Constant | Flips | None
    to_end: bool
    """Whether the explanation holds up to the end of the buffer."""


@dataclass(slots=True)
class Scanner:
    """Goes through the wrong tiles of one buffer."""

    actual: Bytes
    expected: Stream
    first_byte: int
    unwritten: Stream | None
    """What the destination was filled with before; `None` = not known."""
    tiles: list[tuple[int, int]]
    """Offset and size of the tiles that hold wrong bytes."""
    _seen: list[Source] = field(default_factory=list)

    def runs(self) -> Iterator[Run]:
        """The wrong bytes in order, in runs that do not overlap."""
        position = 0
        for offset, nbytes in self.tiles:
            position = max(position, offset)
            while (found := self._next_wrong(position, offset + nbytes)) is not None:
                run = self._explain(found)
                yield run
                position = run.end

    def _wrong(self, start: int, end: int) -> Bytes:
        """Exclusive or of what is there and what should be."""
        return self.actual[start:end] ^ self.expected.read(self.first_byte + start, end - start)

    def _windows(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        size = _FIRST_LOOK
        while start < end:
            yield start, min(start + size, end)
            start, size = start + size, min(2 * size, TILE_BYTES)

    def _next_wrong(self, start: int, end: int) -> int | None:
        for low, high in self._windows(start, end):
            places = np.flatnonzero(self._wrong(low, high))
            if places.size:
                return low + int(places[0])
        return None

    def _explain(self, position: int) -> Run:
        origins = self._origins(position)
        guesses: list[Source | Constant] = [Constant(0x00), Constant(0xFF)]
        if self.unwritten is not None:
            guesses.append(Source(self.unwritten, 0))
        guesses.append(Source(Stream((self.expected.epoch - 1) % EPOCHS, self.expected.buffer_id), 0))
        guesses += self._seen
        guesses += origins.values()
        # Of equal lengths the first wins: constants are simpler than any pattern.
        cause, reach = max(((guess, self._reach(guess, position)) for guess in guesses), key=lambda pair: pair[1])
        end = self._last_wrong(position, reach) if reach > position else position
        mask, word_end = self._flips(position)
        flips = mask.bit_count()
        to_end = reach == len(self.actual)
        beats_flips = end > word_end or flips > _MOST_FLIPS or (to_end and flips > 1)
        if end > position and beats_flips and self._credible(cause, reach - position, end):
            if isinstance(cause, Source):
                self._seen = [cause]
            return Run(position, end, cause, to_end)
        if flips <= _MOST_FLIPS:
            return Run(position, word_end, Flips(mask), to_end=False)
        return Run(position, self._garbage_end(position, list(origins)), None, to_end=False)

    def _credible(self, cause: Source | Constant, nbytes: int, end: int) -> bool:
        """Whether `nbytes` up to `end` speak for `cause`: few may be chance, unless they are all."""
        if nbytes >= _CONCLUSIVE:
            return True
        if self._next_wrong(end, min(end + _SETTLED, len(self.actual))) is not None:
            return False
        return nbytes > 1 or isinstance(cause, Constant) or cause.stream == self.unwritten

    def _reach(self, cause: Source | Constant, start: int) -> int:
        """Up to where the bytes from `start` on are what `cause` says."""
        end = len(self.actual)
        if isinstance(cause, Source):
            shift = self.first_byte - cause.displacement
            if start + shift < 0:
                return start
            end = min(end, PATTERN_BYTES - shift)
        for low, high in self._windows(start, end):
            made = cause.value if isinstance(cause, Constant) else cause.stream.read(low + shift, high - low)
            places = np.flatnonzero(self.actual[low:high] != made)
            if places.size:
                return low + int(places[0])
        return max(start, end)

    def _last_wrong(self, start: int, end: int) -> int:
        """Offset behind the last wrong byte of ``start … end``, whose first byte is wrong."""
        low = max(start, end - _FIRST_LOOK)
        places = np.flatnonzero(self._wrong(low, end))
        return low + int(places[-1]) + 1 if places.size else self._last_wrong(start, low)

    def _flips(self, position: int) -> tuple[int, int]:
        """Flipped bits of the word that holds `position`, and the offset behind its last wrong byte."""
        start = position - (self.first_byte + position) % WORD_BYTES
        low, high = max(start, 0), min(start + WORD_BYTES, len(self.actual))
        wrong = self._wrong(low, high)
        mask = int.from_bytes(wrong.tobytes(), "little") << 8 * (low - start)
        return mask, low + int(np.flatnonzero(wrong)[-1]) + 1

    def _origins(self, position: int) -> dict[int, Source]:
        """Believable origins told by the words that begin at `position` or up to 7 bytes behind it."""
        found = {}
        text = self.actual[position : position + 3 * WORD_BYTES - 1].tobytes()
        for start in range(min(WORD_BYTES, len(text) - WORD_BYTES + 1)):
            origin = decode(int.from_bytes(text[start : start + WORD_BYTES], "little"))
            if origin is None:
                continue
            behind = text[start + WORD_BYTES : start + 2 * WORD_BYTES]
            follows = len(behind) == WORD_BYTES and decode(int.from_bytes(behind, "little")) == Origin(
                epoch=origin.epoch, buffer_id=origin.buffer_id, index=origin.index + 1
            )
            here = self.first_byte + position + start
            source = Source(Stream(origin.epoch, origin.buffer_id), here - origin.index * WORD_BYTES)
            # A lone random word passes the check once in 256 times, and has such an origin once in 2^28.
            if follows or source.displacement == 0 or source.stream == self.expected:
                found[position + start] = source
        return found

    def _garbage_end(self, position: int, restarts: list[int]) -> int:
        """Offset behind bytes that nothing explains: up to correct ones, or to some that have an explanation.

        Only words that lie as the pattern's words do are looked at for explanations.
        """
        stops = [start for start in restarts if start > position]
        for low, high in self._windows(position, len(self.actual)):
            # Overlap, so that a stretch or a pair of words across two windows is seen.
            end = min(high + 2 * WORD_BYTES, len(self.actual))
            places = low + np.flatnonzero(self._wrong(low, end))
            ends = places[np.diff(places, append=end if end < len(self.actual) else end + _SETTLED) > _SETTLED]
            stops += [int(last) + 1 for last in ends[:1]]
            stops += self._explained(max(low, position + 1), end)
            if stops:
                return self._last_wrong(position, min(stops))
        return len(self.actual)

    def _explained(self, start: int, end: int) -> list[int]:
        """Where the first aligned pair of words in ``start … end`` is that is constant or has one origin."""
        start += -(self.first_byte + start) % WORD_BYTES
        words = np.frombuffer(self.actual[start:end].tobytes()[: (end - start) // WORD_BYTES * WORD_BYTES], np.uint64)
        if words.size < 2:  # noqa: PLR2004  (a pair)
            return []
        valid, epochs, buffers, indices = decode_many(words)
        a, b = slice(None, -1), slice(1, None)
        pair = valid[a] & valid[b] & (epochs[a] == epochs[b]) & (buffers[a] == buffers[b])
        pair &= indices[a] + np.uint64(1) == indices[b]
        pair &= words[a] != self.expected.read(self.first_byte + start, words.size * WORD_BYTES).view(np.uint64)[a]
        constant = (words[a] == words[b]) & ((words[a] == 0) | (words[a] == np.uint64(0xFFFFFFFFFFFFFFFF)))
        places = np.flatnonzero(pair | constant)
        return [start + int(places[0]) * WORD_BYTES] if places.size else []
