"""The driver goes on with contexts whose memory a reset has taken."""

from __future__ import annotations

import random

from hil.sim.faults import base
from hil.sim.faults.draws import half_to_all


class ContextSurvivesReset(base.Fault):
    """Lets calls on a context from before a reset succeed, although what it had allocated is cleared."""

    name = "context-survives-reset"
    domain = "reset"
    story = (
        "The reset comes from beside the driver (another client of the helper, sysfs), which does not know of it: its "
        "page tables say what was, and copies go where nothing is any more."
    )
    seen_by = "driver"
    shows_as = r"reset|success|accepted|dead context|expected .*(error|refus)|zeros|without effect"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one reset in two to each."""
        return half_to_all(severity, dice)

    def on_reset(self, plan: base.ResetPlan) -> None:
        """Tell no context."""
        gpu = self.site.gpu_at(plan.address)
        if gpu is not None and self.strikes(gpu):
            plan.context_survives = True
