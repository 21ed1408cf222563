"""Cells of a card's memory: where a test's data lies, and which of them hold what was not written to them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Annotated

from pydantic import Field

from hil.errors import UsageError
from hil.model import MIB
from hil.sim.faults import base

HEAP = 64 * MIB
"""Address of the first allocation: below lies the firmware's part (`hil.sim.machine`)."""
Address = Annotated[int, Field(ge=0, description="in the card's memory; allocations begin at 64 MiB")]


class Spans:
    """A set of addresses, in ranges."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def add(self, start: int, end: int) -> None:
        """Add ``start … end``, which is not empty."""
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def remove(self, start: int, end: int) -> None:
        """Remove ``start … end``."""
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        if first >= last:
            return
        head, tail = (self._starts[first], start), (end, self._ends[last - 1])
        kept = [(low, high) for low, high in (head, tail) if low < high]
        self._starts[first:last] = [low for low, _ in kept]
        self._ends[first:last] = [high for _, high in kept]

    def overlaps(self, start: int, end: int) -> bool:
        """Whether any address of ``start … end`` is in the set."""
        return bisect_right(self._ends, start) < bisect_left(self._starts, end)


def must_exist(fault: base.Fault, *addresses: int) -> None:
    """Refuse a fault at an address that no card has: it would never strike, and a run that passes would say nothing.

    Raises:
        UsageError: one of `addresses` lies outside of the memory of every card that the fault acts on.

    """
    cards = fault.site.gpu_indices() if fault.parameters.gpu is None else (fault.parameters.gpu,)
    largest = max((fault.site.vram_bytes(gpu) for gpu in cards), default=0)
    for address in addresses:
        if not 0 <= address < largest:
            raise UsageError(f"fault {fault.name}: there is no memory at {address:#x}: the card ends at {largest:#x}")
