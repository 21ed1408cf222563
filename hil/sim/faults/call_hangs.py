"""A driver call does not come back."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from hil.sim.faults import base


class CallHangsParameters(base.Trigger):
    """Parameters of `CallHangs`."""

    call: Annotated[str, Field(description="name of the driver call, e.g. synchronize, alloc, copy")] = "synchronize"
    seconds: Annotated[float, Field(gt=0, description="how long it hangs; inf = for ever")] = base.NEVER
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1


class CallHangs(base.Fault):
    """Lets a driver call hang."""

    name = "call-hangs"
    domain = "driver"
    story = "The driver waits for a completion interrupt that was lost, and holds no timeout of its own."
    seen_by = "driver"
    Parameters = CallHangsParameters
    parameters: CallHangsParameters

    def on_driver_call(self, call: base.DriverCall) -> None:
        """Delay the call."""
        if call.name == self.parameters.call and self.strikes(call.gpu):
            call.delay += self.parameters.seconds
