"""A driver call does not come back."""

from __future__ import annotations

import random
from typing import Annotated

from pydantic import Field

from hil.sim.faults import base
from hil.sim.faults.calls import CallName
from hil.sim.faults.draws import scaled

LONGEST = 300.0
"""Seconds that a call may take within the deadline of what a test does with it, at the most."""


class CallHangsParameters(base.Trigger):
    """Parameters of `CallHangs`."""

    call: CallName = "synchronize"
    seconds: Annotated[float, Field(gt=0, description="how long it hangs; inf = for ever")] = base.NEVER
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class CallHangs(base.Fault):
    """Lets a driver call hang."""

    name = "call-hangs"
    domain = "driver"
    story = "The driver waits for a completion interrupt that was lost, and holds no timeout of its own."
    seen_by = "driver"
    shows_as = r"hung|hang|never came back|deadline|not (come|came) back"
    Parameters = CallHangsParameters
    parameters: CallHangsParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """Minutes to for ever, at one of the first calls."""
        return {
            "call": dice.choice(["open", "alloc", "free", "host_alloc", "copy", "synchronize", "memory"]),
            "seconds": "inf" if severity > 0.5 else scaled(2 * LONGEST, 1e5, severity),  # noqa: PLR2004  (half of all)
            "nth": dice.randint(1, 4),
        }

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """Within a deadline it is no hang."""
        assert isinstance(parameters, CallHangsParameters)  # noqa: S101  (its own)
        if parameters.seconds <= LONGEST:
            return f"a call that comes back after {parameters.seconds:g} s may be within its deadline"
        return ""

    def on_driver_call(self, call: base.DriverCall) -> None:
        """Delay the call."""
        if call.name == self.parameters.call and self.strikes(call.gpu):
            call.delay += self.parameters.seconds
