"""Where copies of a row of the grid lie in one buffer: at an offset, across a boundary, each between guard zones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.integrity import GUARD_BYTES, Report, check_guards, fill, fill_guards, verify
from hil.model import MIB, size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

LINE = 64
"""Bytes: a cache line; offsets of the grid are counted from one."""
DATA = 1
"""Number of the data in the pattern; guard zones have numbers of their own from `GUARDS` on."""
GUARDS, GUARD_NUMBERS = 16, 200


@dataclass(frozen=True, slots=True)
class Cell:
    """One copy of the grid."""

    nbytes: int
    src_offset: int
    """Bytes behind a cache line at which it begins."""
    dst_offset: int
    straddle: int
    """Both ends lie across, or as near as the offset lets them, a multiple of so many bytes; 0 = just anywhere."""

    def __str__(self) -> str:
        across = f" across {size_text(self.straddle)}" if self.straddle else ""
        offsets = f"source offset {self.src_offset}, destination offset {self.dst_offset}"
        return f"the copy of {size_text(self.nbytes)}{across}, {offsets}"


@dataclass(frozen=True, slots=True)
class Slot:
    """A cell's place in a buffer, with its guard zones."""

    number: int
    start: int
    """Of the lower guard zone; bytes from the start of the buffer."""
    begin: int
    """Of the data."""
    nbytes: int

    @property
    def end(self) -> int:
        """Behind the upper guard zone."""
        return -(-(self.begin + self.nbytes + GUARD_BYTES) // GUARD_BYTES) * GUARD_BYTES

    @property
    def _guard(self) -> int:
        return GUARDS + self.number % GUARD_NUMBERS

    def prepare(self, arena: memoryview, source: int, epoch: int) -> None:
        """Fill the guard zones, and the place with older data of the same source: the pattern from `source` on."""
        part, lead = arena[self.start : self.end], self.begin - self.start
        fill_guards(part, lead, self.nbytes, epoch=epoch - 1, buffer_id=self._guard)
        fill(part, epoch=epoch - 1, buffer_id=DATA, first_byte=source, offset=lead, nbytes=self.nbytes)

    def look(self, arena: memoryview, source: int, epoch: int) -> Report:
        """What the place holds, where the pattern from `source` on should have arrived, and what its guards do."""
        part, lead = arena[self.start : self.end], self.begin - self.start
        report = verify(
            part,
            epoch=epoch,
            buffer_id=DATA,
            first_byte=source,
            offset=lead,
            nbytes=self.nbytes,
            unwritten_epoch=epoch - 1,
        )
        return report.with_findings(
            check_guards(part, lead, self.nbytes, epoch=epoch - 1, buffer_id=self._guard, name="the destination")
        )


def laid_out(cells: Sequence[Cell], *, base: int, at_source: bool) -> list[Slot]:
    """Slots for the source or the destination of `cells`, one behind the other.

    Args:
        cells: in any order.
        base: bytes by which the buffer begins behind a multiple of the largest boundary.
        at_source: whether offsets are the sources'.

    """
    slots: list[Slot] = []
    end = 0
    for number, cell in enumerate(cells):
        offset = cell.src_offset if at_source else cell.dst_offset
        begin = _begin(end + base + GUARD_BYTES, cell, offset) - base
        slots.append(Slot(number, end, begin, cell.nbytes))
        end = slots[-1].end
    return slots


def _begin(least: int, cell: Cell, offset: int) -> int:
    """The first address from `least` on that is `offset` behind a cache line, and lets the data lie across."""
    if not cell.straddle:
        return -(-least // LINE) * LINE + offset
    # Half of the data below the boundary, in whole lines, so that the offset stays what it is.
    below = LINE * max(cell.nbytes // (2 * LINE), 1) - offset
    return -(-(least + below) // cell.straddle) * cell.straddle - below


LARGEST = 2 * MIB
"""The largest boundary: a large page of NVIDIA's and most hosts' memory management."""
