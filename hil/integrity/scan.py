"""Goes through wrong bytes in order and cuts them into runs, each explained by what its bytes are.

From a wrong byte on, every explanation that the bytes themselves suggest (an origin decoded from a word, zeros,
ones, what the destination held before) is tried; the one that explains the longest stretch wins. Slow per run,
constant in memory: it runs only where bytes are wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from hil.integrity.evidence import Constant, Evidence, Flips, Run, Source
from hil.integrity.pattern import Stream
from hil.integrity.word import EPOCHS, TILE_BYTES, WORD_BYTES, Origin, decode, decode_many

_MOST_FLIPS = 3  # bits of one word; two words of the pattern differ in 18 and more
_CONCLUSIVE = 4  # bytes: shorter zeros, ones or old data may be chance, unless they reach the end of what is wrong
_SETTLED = WORD_BYTES  # so many correct bytes in a row end a wrong stretch
_FIRST_LOOK = 256  # bytes; doubled up to a block of the pattern
_NEAR = TILE_BYTES  # bytes to each side in which a stretch too short to tell its origin is looked for
_NEAR_GAP = 2048  # bytes: what is shifted leaves a gap, and lies at any offset behind it
_SEARCHES = 64  # of that kind, each as slow as a hundred other looks
_ALL = (1 << 64) - 1


@dataclass(slots=True)
class Scanner:
    """Explains the wrong bytes of one buffer."""

    evidence: Evidence
    _seen: list[Source] = field(default_factory=list)
    _searches: int = 0

    def explain(self, position: int) -> Run:
        """The run that begins with the wrong byte at `position`."""
        origins = self._origins(position)
        # Of equal lengths the first wins: constants are simpler than any pattern but the one that must have been there.
        expected, unwritten = self.evidence.expected, self.evidence.unwritten
        guesses: list[Source | Constant] = [] if unwritten is None else [Source(unwritten, 0)]
        guesses += [Constant(b"\x00"), Constant(b"\xff"), *self._repeated(position)]
        guesses.append(Source(Stream((expected.epoch - 1) % EPOCHS, expected.buffer_id, expected.inverted), 0))
        guesses += self._seen
        guesses += origins.values()
        cause, reach = max(((guess, self._reach(guess, position)) for guess in guesses), key=lambda pair: pair[1])
        end = self._last_wrong(position, reach) if reach > position else position
        mask, word_end = self._flips(position)
        flips = mask.bit_count()
        to_end = reach == self.evidence.nbytes
        old = isinstance(cause, Source) and cause.stream == self.evidence.unwritten
        beats_flips = end > word_end or flips > _MOST_FLIPS or ((to_end or old) and flips > 1) or (to_end and old)
        restarts = [self._back(source, start, position) for start, source in origins.items() if start > position]
        if end > position and beats_flips and self._credible(cause, reach - position, end, restarts):
            if isinstance(cause, Source):
                self._seen = [cause]
            return Run(position, end, cause, to_end)
        if flips <= _MOST_FLIPS:
            return Run(position, word_end, Flips(mask), to_end=False)
        end = self._garbage_end(position, restarts)
        return self._short(position, end) or Run(position, end, None, to_end=False)

    def _windows(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        size = _FIRST_LOOK
        while start < end:
            yield start, min(start + size, end)
            start, size = start + size, min(2 * size, TILE_BYTES)

    def _settled(self, start: int) -> bool:
        """Whether correct bytes follow from `start` on."""
        return not self.evidence.wrong(start, min(start + _SETTLED, self.evidence.nbytes)).any()

    def _back(self, source: Source, start: int, position: int) -> int:
        """From where on, behind `position`, the bytes up to `start` are what `source` says."""
        low = max(position + 1, source.displacement - self.evidence.first_byte)
        if low >= start:
            return start
        places = np.flatnonzero(self.evidence.actual[low:start] != self.evidence.predicted(source, low, start))
        return low + int(places[-1]) + 1 if places.size else low

    def _credible(self, cause: Source | Constant, nbytes: int, end: int, restarts: Sequence[int]) -> bool:
        """Whether `nbytes` up to `end` speak for `cause`: few may be chance, unless they are all there is."""
        if isinstance(cause, Constant) and len(cause.value) > 1:
            return nbytes >= 2 * WORD_BYTES
        if nbytes >= _CONCLUSIVE:
            return True
        if not self._settled(end) and end not in restarts:
            return False
        return nbytes > 1 or isinstance(cause, Constant) or cause.stream == self.evidence.unwritten

    def _reach(self, cause: Source | Constant, start: int) -> int:
        """Up to where the bytes from `start` on are what `cause` says."""
        if isinstance(cause, Source) and start + self.evidence.first_byte < cause.displacement:
            return start
        for low, high in self._windows(start, self.evidence.nbytes):
            made = self.evidence.predicted(cause, low, high)
            places = np.flatnonzero(self.evidence.actual[low : low + made.size] != made)
            if places.size:
                return low + int(places[0])
            if made.size < high - low:
                return low + int(made.size)
        return self.evidence.nbytes

    def _last_wrong(self, start: int, end: int) -> int:
        """Offset behind the last wrong byte of ``start … end``, whose first byte is wrong."""
        low = max(start, end - _FIRST_LOOK)
        places = np.flatnonzero(self.evidence.wrong(low, end))
        return low + int(places[-1]) + 1 if places.size else self._last_wrong(start, low)

    def _flips(self, position: int) -> tuple[int, int]:
        """Wrong bits of the word of memory that holds `position`, and the offset behind its last wrong byte."""
        start = position - (self.evidence.address + position) % WORD_BYTES
        low, high = max(start, 0), min(start + WORD_BYTES, self.evidence.nbytes)
        wrong = self.evidence.wrong(low, high)
        wrong[: position - low] = 0  # explained already
        mask = int.from_bytes(wrong.tobytes(), "little") << 8 * (low - start)
        return mask, low + int(np.flatnonzero(wrong)[-1]) + 1

    def _repeated(self, position: int) -> list[Constant]:
        """The value that the next bytes repeat, if they do."""
        text = self.evidence.actual[position : position + 2 * WORD_BYTES].tobytes()
        if len(text) < 2 * WORD_BYTES or text[:WORD_BYTES] != text[WORD_BYTES:]:
            return []
        for size in (1, 2, 4, WORD_BYTES):
            if text[:WORD_BYTES] == text[:size] * (WORD_BYTES // size):
                turn = (self.evidence.address + position) % size
                return [Constant(text[size - turn : size] + text[: size - turn])]
        return []

    def _origins(self, position: int) -> dict[int, Source]:
        """Believable origins told by the words that begin at `position` or up to 7 bytes behind it."""
        found = {}
        text = self.evidence.actual[position : position + 3 * WORD_BYTES - 1].tobytes()
        for start in range(min(WORD_BYTES, len(text) - WORD_BYTES + 1)):
            word = int.from_bytes(text[start : start + WORD_BYTES], "little")
            behind = int.from_bytes(text[start + WORD_BYTES : start + 2 * WORD_BYTES], "little")
            for turn in (0, _ALL):
                origin = decode(word ^ turn)
                if origin is None:
                    continue
                follows = decode(behind ^ turn) == Origin(
                    epoch=origin.epoch, buffer_id=origin.buffer_id, index=origin.index + 1
                )
                here = self.evidence.first_byte + position + start
                stream = Stream(origin.epoch, origin.buffer_id, inverted=bool(turn))
                source = Source(stream, here - origin.index * WORD_BYTES)
                # A lone random word passes the check once in 256 times, and has such an origin once in 2^28.
                if follows or source.displacement == 0 or stream == self.evidence.expected:
                    found[position + start] = source
        return found

    def _short(self, position: int, end: int) -> Run | None:
        """A stretch too short to tell its origin, if the like of it belongs nearby."""
        size = min(end - position, WORD_BYTES)
        if not size >= _CONCLUSIVE or end - position >= 2 * WORD_BYTES or self._searches >= _SEARCHES:
            return None
        self._searches += 1
        first = max(position - _NEAR, -self.evidence.first_byte)
        near = self.evidence.right(first, position + _NEAR).tobytes()
        for length in dict.fromkeys((end - position, size, _CONCLUSIVE)):
            place = near.find(self.evidence.actual[position : position + length].tobytes())
            if place >= 0:
                source = Source(self.evidence.expected, position - (first + place))
                stop = self._last_wrong(position, max(self._reach(source, position), position + 1))
                return Run(position, stop, source, to_end=False)
        return None

    def _garbage_end(self, position: int, restarts: Sequence[int]) -> int:
        """Offset behind bytes that nothing explains: up to correct ones, or to some that have an explanation.

        Behind the first `_NEAR_GAP` bytes, only words that lie as the pattern's words do are looked at for them.
        """
        stops = list(restarts)
        nbytes = self.evidence.nbytes
        for low, high in self._windows(position, nbytes):
            # Overlap, so that a stretch or a pair of words across two windows is seen.
            end = min(high + 2 * WORD_BYTES, nbytes)
            places = low + np.flatnonzero(self.evidence.wrong(low, end))
            ends = places[np.diff(places, append=end if end < nbytes else end + _SETTLED) > _SETTLED]
            stops += [int(last) + 1 for last in ends[:1]]
            phases = WORD_BYTES if low - position < _NEAR_GAP else 1
            first = max(low, position + 1)
            first += -(self.evidence.first_byte + first) % WORD_BYTES if phases == 1 else 0
            stops += [stop for phase in range(phases) for stop in self._explained(position, first + phase, end)]
            if stops:
                return self._last_wrong(position, min(stops))
        return nbytes

    def _explained(self, position: int, start: int, end: int) -> list[int]:
        """Where, behind `position`, the first words of ``start … end`` are that are constant or have one origin."""
        text = self.evidence.actual[start:end].tobytes()
        words = np.frombuffer(text[: len(text) // WORD_BYTES * WORD_BYTES], np.uint64)
        if words.size < 2:  # noqa: PLR2004  (a pair)
            return []
        valid, epochs, buffers, indices = decode_many(words)
        a, b = slice(None, -1), slice(1, None)
        pair = valid[a] & valid[b] & (epochs[a] == epochs[b]) & (buffers[a] == buffers[b])
        pair &= indices[a] + np.uint64(1) == indices[b]
        pair &= words[a] != self.evidence.right(start, start + words.nbytes).view(np.uint64)[a]
        constant = (words[a] == words[b]) & ((words[a] == 0) | (words[a] == np.uint64(_ALL)))
        places = np.flatnonzero(pair | constant)
        if not places.size:
            return []
        number = int(places[0])
        found = start + number * WORD_BYTES
        if constant[number]:
            return [found]
        stream = Stream(int(epochs[number]), int(buffers[number]))
        source = Source(stream, self.evidence.first_byte + found - int(indices[number]) * WORD_BYTES)
        return [self._back(source, found, max(found - WORD_BYTES, position))]
