"""Bits of the card's memory flip by themselves."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.model import GIB
from hil.sim.faults import base
from hil.sim.faults.draws import scaled


class SoftFlipsParameters(base.Trigger):
    """Parameters of `SoftFlips`."""

    rate: Annotated[float, Field(gt=0, le=1e6, description="flips per GiB that is read")] = 1000.0


class SoftFlips(base.Fault):
    """Flips bits of cells; they stay as they are until somebody writes to them."""

    name = "soft-flips"
    domain = "memory"
    story = "Cells without ECC lose charge to heat, to radiation, or to a row beside them that is opened too often."
    seen_by = "transfer"
    shows_as = r"bit flip"
    Parameters = SoftFlipsParameters
    parameters: SoftFlipsParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._ahead = self._gap()
        """Bytes that can be read until the next flip."""
        self._passed = 0
        """Bytes that were read since the last."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """One flip in 5 MiB to one in 16 KiB."""
        return {"rate": scaled(200.0, 65536.0, severity), "seed": dice.randrange(1 << 16)}

    def on_vram_read(self, gpu: int, address: int, data: bytes) -> bytes:
        """Flip bits of what is read, in the cells too; each flip is one opportunity."""
        if self.parameters.gpu not in (None, gpu):
            return data
        changed, at = bytearray(data), 0
        while self._ahead < len(data) - at:
            at += self._ahead
            self._passed += self._ahead
            self._ahead = self._gap()
            if self.strikes(gpu, self._passed):
                changed[at] ^= 1 << self.random.randrange(8)
                self.site.poke(gpu, address + at, bytes(changed[at : at + 1]))
            self._passed = 0
        self._ahead -= len(data) - at
        self._passed += len(data) - at
        return bytes(changed)

    def _gap(self) -> int:
        return int(self.random.expovariate(self.parameters.rate / GIB))
