"""Two addresses of the card's memory share a cell."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from hil.sim.faults import base
from hil.sim.faults.cells import Spans, must_exist


class AddressAliasParameters(base.Trigger):
    """Parameters of `AddressAlias`."""

    bit: Annotated[int, Field(ge=9, le=40, description="of an address, that the decoder does not see")] = 16


class AddressAlias(base.Fault):
    """Gives addresses that differ in one bit the same cell: who writes last is read at both.

    It counts only reads of cells that another address has changed.
    """

    name = "address-alias"
    domain = "memory"
    story = "An address line of the memory is open or shorted."
    seen_by = "transfer"
    shows_as = r"alias|misplaced|displaced|duplicat|wrong buffer|stale"
    Parameters = AddressAliasParameters
    parameters: AddressAliasParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._wrong: dict[int, Spans] = {}
        """Addresses by card whose cells hold what was written to their partners."""
        self._read = 0

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A bit whose two sides only large buffers have, to one that each page of 8 KiB has."""
        return {"bit": round(21 - 9 * severity)}

    @property
    def struck(self) -> int:
        """How often cells were read that another address has changed."""
        return self._read

    def armed(self) -> None:
        """There must be such addresses."""
        must_exist(self, 1 << self.parameters.bit)

    def on_vram_write(self, gpu: int, address: int, data: bytes) -> bytes:
        """Write to the partners too. A write goes upwards: of partners in it, the upper one is the last."""
        wrong, end = self._wrong.setdefault(gpu, Spans()), address + len(data)
        wrong.remove(address, end)
        if not data or not self.strikes(gpu, len(data)):
            return data
        landing = bytearray(data)
        for start, stop in self._blocks(address, end):
            partner = start ^ self._mask
            written = data[start - address : stop - address]
            for low, high in _outside(partner, partner + len(written), address, end):
                self._change(gpu, low, written[low - partner : high - partner])
            if partner < start:
                low, high = max(partner, address), min(partner + len(written), end)
                if low < high:
                    landing[low - address : high - address] = written[low - partner : high - partner]
                    wrong.add(low, high)
        return bytes(landing)

    def on_vram_read(self, gpu: int, address: int, data: bytes) -> bytes:
        """Count who reads what is wrong."""
        wrong = self._wrong.get(gpu)
        self._read += wrong is not None and wrong.overlaps(address, address + len(data))
        return data

    def on_scrub(self, gpu: int, address: int, nbytes: int) -> bool:
        """What is wiped is right again."""
        self._wrong.setdefault(gpu, Spans()).remove(address, address + nbytes)
        return True

    def on_detach(self, enclosure: str) -> None:
        """What loses power forgets."""
        self._wrong.clear()

    def on_reset(self, plan: base.ResetPlan) -> None:
        """What is reset is wiped."""
        self._wrong.clear()

    def on_sleep(self, plan: base.SleepPlan) -> None:
        """So is what loses power while the host sleeps."""
        if not plan.vram_survives:
            self._wrong.clear()

    @property
    def _mask(self) -> int:
        return 1 << self.parameters.bit

    def _blocks(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The range in parts that lie on one side of the bit each."""
        while start < end:
            stop = min((start // self._mask + 1) * self._mask, end)
            yield start, stop
            start = stop

    def _change(self, gpu: int, address: int, data: bytes) -> None:
        there = self.site.peek(gpu, address, len(data))
        if there != data[: len(there)]:
            self.site.poke(gpu, address, data)
            self._wrong[gpu].add(address, address + len(there))


def _outside(start: int, end: int, low: int, high: int) -> list[tuple[int, int]]:
    """What of ``start … end`` is not in ``low … high``."""
    parts = [(start, min(end, low)), (max(start, high), end)]
    return [(first, last) for first, last in parts if first < last]
