"""A bit of the card's memory holds one value, whatever is written."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.model import MIB
from hil.sim.faults import base
from hil.sim.faults.cells import HEAP, Address, must_exist
from hil.sim.faults.draws import whole


class StuckBitParameters(base.Trigger):
    """Parameters of `StuckBit`."""

    value: Annotated[int, Field(ge=0, le=1, description="that it reads as")] = 1
    bit: Annotated[int, Field(ge=0, le=63, description="of the 8 bytes at `address`, least significant first")] = 0
    address: Address = HEAP


class StuckBit(base.Fault):
    """Lets one bit read as `value`; it counts only reads in which that makes a difference."""

    name = "stuck-bit"
    domain = "memory"
    story = "A cell, or the line that reads it, is shorted."
    seen_by = "transfer"
    shows_as = r"stuck|bit flip"
    Parameters = StuckBitParameters
    parameters: StuckBitParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """A bit in the second mebibyte that is allocated, to one in the first bytes."""
        return {
            "value": dice.randrange(2),
            "bit": dice.randrange(64),
            "address": HEAP + whole(2 * MIB, 8, severity) // 8 * 8 - 8,
        }

    def armed(self) -> None:
        """There must be such a cell."""
        must_exist(self, self._place)

    @property
    def _place(self) -> int:
        return self.parameters.address + self.parameters.bit // 8

    def on_vram_read(self, gpu: int, address: int, data: bytes) -> bytes:
        """Let it read as it does."""
        at, mask = self._place - address, 1 << self.parameters.bit % 8
        if not 0 <= at < len(data) or bool(data[at] & mask) == bool(self.parameters.value):
            return data
        if not self.strikes(gpu, len(data)):
            return data
        return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
