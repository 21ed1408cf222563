"""A reset takes long, or for ever."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.sim.faults import base
from hil.sim.faults.draws import scaled

ALLOWED_MS = 10_000.0
"""A bench gives a reset 10 s unless its file says otherwise; a real kernel takes 15 to 19 ms."""


class ResetTimesOutParameters(base.Trigger):
    """Parameters of `ResetTimesOut`."""

    ms: Annotated[float, Field(gt=0, description="until the function answers again; inf = never")] = base.NEVER


class ResetTimesOut(base.Fault):
    """Lets a function stay silent after its reset."""

    name = "reset-times-out"
    domain = "reset"
    story = "The card's firmware does not notice that it was reset, or boots from a flash that does not answer."
    seen_by = "driver"
    shows_as = r"reset|did not come back|not ready|does not answer|nobody answers|gone"
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = ResetTimesOutParameters
    parameters: ResetTimesOutParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From a little too late to a minute and more."""
        return {"ms": scaled(1.2 * ALLOWED_MS, 12 * ALLOWED_MS, severity)}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """Within what a bench allows."""
        assert isinstance(parameters, ResetTimesOutParameters)  # noqa: S101  (its own)
        return "" if parameters.ms > ALLOWED_MS else f"a bench gives a reset {ALLOWED_MS:g} ms"

    def on_reset(self, plan: base.ResetPlan) -> None:
        """Be silent."""
        gpu = self.site.gpu_at(plan.address)
        if gpu is not None and self.strikes(gpu):
            plan.seconds = self.parameters.ms / 1000
