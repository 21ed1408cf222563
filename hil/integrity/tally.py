"""Many places with one cause, in numbers that stay small: how many, from where to where, how regular."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median_low
from typing import Any

from hil.model import KIB, MIB, size_text

SHOWN = 64
"""So many places are kept one by one."""
_WORD, _PAGE, _BLOCK = 8, 4 * KIB, 2 * MIB
_FEW = 3  # places; fewer say nothing about regularity, however they lie
_CHANCE = 2  # bytes at an end that may be right by chance
_MOSTLY = 0.9  # of the places: the rest may be cut off, or joined by chance


@dataclass(slots=True)
class Tally:
    """Places, added in the order of their offsets."""

    places: int = 0
    nbytes: int = 0
    first: int = 0
    end: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Offset and length of the first `SHOWN`."""
    flips: list[tuple[int, int, int]] = field(default_factory=list)
    """Of wrong bits, the first `SHOWN`: offset of the byte, bit in it, and the value that it reads."""
    to_end: bool = False

    def add(self, starts: Any, ends: Any) -> None:
        """Count the places ``starts[i] … ends[i]`` (arrays of int64, not empty, in order)."""
        if not self.places:
            self.first = int(starts[0])
        room = max(SHOWN - len(self.spans), 0)
        self.spans += [(int(a), int(b) - int(a)) for a, b in zip(starts[:room], ends[:room], strict=True)]
        self.places += int(starts.size)
        self.nbytes += int((ends - starts).sum())
        self.end = int(ends[-1])

    @property
    def stride(self) -> int:
        """Bytes from each place to the next, where they are equally far apart; else 0."""
        if self.places < _FEW:
            return 0
        steps = [b - a for (a, _), (b, _) in pairwise(self.spans)]
        step = int(median_low(steps))
        alike = sum(abs(other - step) <= _CHANCE for other in steps)
        mean = (self.end - self.first) / self.places
        return (
            step
            if alike >= _MOSTLY * len(steps) and abs(mean - step) <= step * (1 - _MOSTLY) + step / self.places
            else 0
        )

    @property
    def piece(self) -> int:
        """Bytes of each place, where they are equal; else 0."""
        lengths = [length for _, length in self.spans]
        size = max(lengths)
        alike = sum(size - length <= _CHANCE for length in lengths)
        return size if alike >= _MOSTLY * len(lengths) else 0

    def regularity(self, nbytes: int) -> str:
        """How these places lie in a buffer of `nbytes`, in words; empty for too few to tell."""
        if self.places < _FEW:
            return ""
        if self.stride:
            return f"every {size_text(self.stride)}"
        for grid, name in ((_BLOCK, "2 MiB block"), (_PAGE, "4 KiB page")):
            least = min(start % grid for start, _ in self.spans)
            if self.places > _FEW and all(start % grid - least <= _CHANCE for start, _ in self.spans):
                return f"always at +{least:#x} of a {name}"
        unit = max(1 << max(round(self.nbytes / self.places) - 1, 0).bit_length(), _WORD)
        share = round(min(nbytes, self.end - self.first) / unit / self.places)
        return f"about one {'word' if unit == _WORD else size_text(unit)} in {share}" if share > 1 else ""


def joined(tallies: Sequence[Tally]) -> Tally:
    """The places of several tallies, one at least, as one."""
    return Tally(
        places=sum(tally.places for tally in tallies),
        nbytes=sum(tally.nbytes for tally in tallies),
        first=min(tally.first for tally in tallies),
        end=max(tally.end for tally in tallies),
        spans=sorted(span for tally in tallies for span in tally.spans)[:SHOWN],
        flips=sorted(flip for tally in tallies for flip in tally.flips)[:SHOWN],
        to_end=any(tally.to_end for tally in tallies),
    )


def whereabouts(offset: int) -> str:
    """`offset` in terms of pages and of 2 MiB blocks of the buffer."""
    return f"page {offset // _PAGE} + {offset % _PAGE:#x}, 2 MiB block {offset // _BLOCK} + {offset % _BLOCK:#x}"
