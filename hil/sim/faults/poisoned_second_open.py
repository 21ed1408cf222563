"""The first open of a card goes well, and a later one kills it until its supply was off."""

from __future__ import annotations

import random
from collections import Counter
from typing import Annotated

from pydantic import Field

from hil.hosts.wires.driver import Status
from hil.sim.faults import base


class PoisonedSecondOpenParameters(base.Trigger):
    """Parameters of `PoisonedSecondOpen`."""

    opens: Annotated[int, Field(ge=1, le=1000, description="how many opens go well after each power-on")] = 1


class PoisonedSecondOpen(base.Fault):
    """Refuses every open after the first ones, whatever is reset or re-plugged; a cold cycle clears it."""

    name = "poisoned-second-open"
    domain = "reset"
    story = (
        "On Blackwell cards the firmware boots once: what it locked in memory is locked still when the next client "
        "boots it, which dies at its first page-table write. Only a power cycle unlocks it."
    )
    seen_by = "driver"
    shows_as = r"open|DEVICE_LOST"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = PoisonedSecondOpenParameters
    parameters: PoisonedSecondOpenParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._opened: Counter[int] = Counter()
        self._poisoned: set[int] = set()

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From the sixth open to the second."""
        return {"opens": 1 + round(4 * (1 - severity))}

    def on_driver_call(self, call: base.DriverCall) -> None:
        """Count opens, and let those after the good ones die."""
        if call.name != "open" or call.status is not None:
            return
        gpu = call.arguments[0]
        worn = self._opened[gpu] >= self.parameters.opens
        if gpu in self._poisoned or (worn and self.strikes(gpu)):
            self._poisoned.add(gpu)
            call.status = Status.DEVICE_LOST
        self._opened[gpu] += 1

    def on_supply(self, enclosure: str, on: bool) -> None:
        """Without power it forgets."""
        if not on:
            self._opened.clear()
            self._poisoned.clear()
