"""The card's memory keeps the last owner's data over a reset."""

from __future__ import annotations

import random

from hil.sim.faults import base
from hil.sim.faults.draws import half_to_all


class VramSurvivesReset(base.Fault):
    """Hands the next owner of the card's memory what the last one had written."""

    name = "vram-survives-reset"
    domain = "reset"
    story = (
        "A reset does not stop the memory's refresh, and the driver leaves the scrubbing to a firmware that does not."
    )
    seen_by = "driver"
    shows_as = r"last owner|previous owner|somebody else|pages of|holds what|page of the last"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one reset in two to each."""
        return half_to_all(severity, dice)

    def on_reset(self, plan: base.ResetPlan) -> None:
        """Keep it."""
        gpu = self.site.gpu_at(plan.address)
        if gpu is not None and self.strikes(gpu):
            plan.vram_survives = True
