"""Writing one cell of the card's memory flips a bit of another."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.model import KIB, MIB
from hil.sim.faults import base
from hil.sim.faults.cells import HEAP, Address, must_exist
from hil.sim.faults.draws import whole


class CouplingParameters(base.Trigger):
    """Parameters of `Coupling`."""

    distance: Annotated[
        int, Field(ge=-64 * MIB, le=64 * MIB, description="bytes from the aggressor to the victim; negative = below it")
    ] = -64
    bit: Annotated[int, Field(ge=0, le=7, description="of the victim's byte")] = 0
    address: Annotated[Address, Field(description="of the aggressor; allocations begin at 64 MiB")] = HEAP + 4 * KIB


class Coupling(base.Fault):
    """Flips the victim whenever the aggressor is written.

    A write goes upwards: a victim above the aggressor that belongs to the same write is written after it, and right. It
    counts only reads in which the victim is wrong.
    """

    name = "coupling"
    domain = "memory"
    story = "Two cells, or the lines to them, lie so close that one moves the other's charge."
    seen_by = "transfer"
    shows_as = r"bit flip|coupl|stuck"
    Parameters = CouplingParameters
    parameters: CouplingParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._wrong: dict[int, int] = {}
        """What the victim holds, by card, where the aggressor has changed it."""
        self._read = 0

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """An aggressor in the second mebibyte that is allocated, to one in the first lines."""
        address = HEAP + whole(2 * MIB, 256, severity)
        return {
            "address": address,
            "distance": dice.choice([-1, 1]) * dice.randint(1, address - HEAP),
            "bit": dice.randrange(8),
        }

    @property
    def struck(self) -> int:
        """How often the victim was read while it was wrong."""
        return self._read

    @property
    def _victim(self) -> int:
        return self.parameters.address + self.parameters.distance

    def armed(self) -> None:
        """There must be such cells."""
        must_exist(self, self.parameters.address, self._victim)

    def on_vram_write(self, gpu: int, address: int, data: bytes) -> bytes:
        """Flip the victim after the aggressor, and let it be written like any other."""
        at, aggressor, mask = self._victim - address, self.parameters.address - address, 1 << self.parameters.bit
        inside = 0 <= at < len(data)
        before = self._wrong.pop(gpu, None) if inside else self._wrong.get(gpu)
        if not 0 <= aggressor < len(data) or (inside and at >= aggressor) or not self.strikes(gpu, len(data)):
            return data
        if inside:
            self._wrong[gpu] = data[at] ^ mask
            return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
        flipped = self.site.peek(gpu, self._victim, 1)[0] ^ mask
        self.site.poke(gpu, self._victim, bytes([flipped]))
        if before is None:
            self._wrong[gpu] = flipped
        else:
            del self._wrong[gpu]  # twice flipped is right again
        return data

    def on_vram_read(self, gpu: int, address: int, data: bytes) -> bytes:
        """Count who reads it while it is wrong; a card that was wiped since holds something else."""
        at = self._victim - address
        self._read += 0 <= at < len(data) and self._wrong.get(gpu) == data[at]
        return data
