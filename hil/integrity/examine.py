"""Goes through the wrong parts of a buffer, window by window, and collects what explains them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hil.integrity.evidence import Evidence, Flips, Run, Stuck
from hil.integrity.local import WINDOW, Local, Window, explain, window
from hil.integrity.scan import Scanner
from hil.integrity.tally import SHOWN, Tally

MOST_RUNS = 4096
"""Runs that are looked at, about 1 s of work; a buffer with more is not told to its end."""
MOST_WINDOWS = 512
"""Windows with wrong bytes that are looked at, about 2 s of work."""
_MOST_MASKS = 256  # sets of wrong bits that are told apart


@dataclass(slots=True)
class Examination:
    """What explains the wrong bytes of one buffer."""

    evidence: Evidence
    local: dict[Local, Tally] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    complete: bool = True
    """Whether all wrong parts were gone through."""

    def go_through(self, parts: Iterable[tuple[int, int]]) -> None:
        """Look at all wrong bytes of `parts`, (offset, size) in order."""
        scanner, done, windows = Scanner(self.evidence), 0, 0
        for low, high in _by_windows(self.evidence, parts):
            if high <= done:
                continue
            windows += 1
            if windows > MOST_WINDOWS or len(self.runs) >= MOST_RUNS:
                self.complete = False
                return
            done = self._window(scanner, max(low, done), high)

    def _window(self, scanner: Scanner, low: int, high: int) -> int:
        """Look at ``low … high``; the offset up to which all is told, which may lie behind it."""
        seen = window(self.evidence, low, high)
        for cause, which in explain(self.evidence, seen):
            self._count(cause, seen, which)
        left = seen.wrong_bytes()
        position = low
        while position < high:
            ahead = left[position - seen.start :]
            step = int(ahead.argmax())
            if not ahead.size or not ahead[step]:
                return high
            if len(self.runs) >= MOST_RUNS:
                self.complete = False
                return self.evidence.nbytes
            run = scanner.explain(position + step)
            if run.cause is None:
                run = replace(run, end=_cut_short(seen, left, run))
            self.runs.append(run)
            position = run.end
        return position

    def _count(self, cause: Local, seen: Window, which: Any) -> None:
        if isinstance(cause, Flips) and cause not in self.local and len(self.local) >= _MOST_MASKS:
            cause = Flips(0)
        tally = self.local.setdefault(cause, Tally())
        tally.add(*seen.places(which, joined=not isinstance(cause, (Flips, Stuck))))
        if isinstance(cause, (Flips, Stuck)) and len(tally.flips) < SHOWN:
            tally.flips += _bits(seen, which[:SHOWN])[: SHOWN - len(tally.flips)]

    def flips_of(self, run: Run) -> list[tuple[int, int, int]]:
        """Wrong bits of a run: offset of the byte, bit in it, value that it reads."""
        wrong, actual = self.evidence.wrong(run.offset, run.end), self.evidence.actual
        return [
            (place, bit, int(actual[place]) >> bit & 1)
            for place, mask in enumerate(wrong.tolist(), run.offset)
            for bit in range(8)
            if mask >> bit & 1
        ]


def _by_windows(evidence: Evidence, parts: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """The windows of memory that `parts` of the buffer touch, each once."""
    done = 0
    for offset, nbytes in parts:
        start = max(offset, done)
        while start < offset + nbytes:
            end = min(start + WINDOW - (evidence.address + start) % WINDOW, evidence.nbytes)
            low = max(start - (evidence.address + start) % WINDOW, 0)
            yield low, end
            start = done = end


def _cut_short(seen: Window, left: Any, run: Run) -> int:
    """Where unexplained bytes end: before those in the window that have a cause already."""
    start, end = run.offset - seen.start, min(run.end - seen.start, left.size)
    wrong = (seen.words ^ seen.right).view(np.uint8)[start:end] != 0
    explained = np.flatnonzero(wrong & ~left[start:end])
    if not explained.size:
        return run.end
    return seen.start + start + int(np.flatnonzero(left[start : start + int(explained[0])])[-1]) + 1


def _bits(seen: Window, which: Any) -> list[tuple[int, int, int]]:
    wrong = seen.words[which] ^ seen.right[which]
    places = zip(which.tolist(), wrong.tolist(), seen.words[which].tolist(), strict=True)
    return [
        (seen.start + 8 * number + bit // 8, bit % 8, word >> bit & 1)
        for number, mask, word in places
        for bit in range(64)
        if mask >> bit & 1
    ]
