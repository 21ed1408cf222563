"""Memory that is freed does not come back whole."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.model import KIB
from hil.sim.faults import base
from hil.sim.faults.draws import whole
from hil.sim.memory import Heap


class AllocationLeakParameters(base.Trigger):
    """Parameters of `AllocationLeak`."""

    kib: Annotated[int, Field(ge=1, le=1 << 20, description="KiB that each free loses")] = 64


class AllocationLeak(base.Fault):
    """Loses some of the card's memory with each free, for ever; it counts only frees after which less is free.

    Memory is given out in pages of 64 KiB (`Heap.GRANULE`): smaller losses add up until they fill one.
    """

    name = "allocation-leak"
    domain = "driver"
    story = "The driver frees a buffer and forgets its page tables."
    seen_by = "driver"
    shows_as = r"leak|free|lost"
    Parameters = AllocationLeakParameters
    parameters: AllocationLeakParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._owed: dict[int, int] = {}
        """Bytes that are lost by the fault's account and not yet by the card's."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """1 KiB a cycle to 1 MiB."""
        return {"kib": whole(1, 1024, severity)}

    def on_free(self, gpu: int, address: int, nbytes: int) -> bool:
        """Take what the account says from the card."""
        if self.strikes(gpu, nbytes):
            owed = self._owed.get(gpu, 0) + self.parameters.kib * KIB
            due = owed - owed % Heap.GRANULE
            taken = self.site.leak(gpu, due) if due else 0
            self._owed[gpu] = owed - taken
            if not taken:
                self.spare()
        return True
