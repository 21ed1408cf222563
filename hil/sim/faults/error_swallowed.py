"""A driver call fails and answers success."""

from __future__ import annotations

import random

from hil.hosts.wires.driver import Way
from hil.sim.faults import base
from hil.sim.faults.calls import CallName
from hil.sim.faults.draws import between


class ErrorSwallowedParameters(base.Trigger):
    """Parameters of `ErrorSwallowed`."""

    call: CallName = "copy"


class ErrorSwallowed(base.Fault):
    """Lets a driver call do nothing and say that it did."""

    name = "error-swallowed"
    domain = "driver"
    story = "A function of the driver fails deep down, and the one above it does not look at what it returns."
    seen_by = "driver"
    shows_as = (
        r"not written|zeros|short tail|stopped after|stale|not allocated|INVALID_ADDRESS|OUT_OF_MEMORY|accepted"
        r"|answered OK|free|leak|without effect|not there|NOT_READY"
    )
    Parameters = ErrorSwallowedParameters
    parameters: ErrorSwallowedParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._under_way = 0
        """Copies that were submitted and are not complete."""

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """One call in ten to each."""
        return {
            "call": dice.choice(["alloc", "free", "copy", "synchronize"]),
            "probability": between(0.1, 1.0, severity),
            "seed": dice.randrange(1 << 16),
        }

    def on_driver_call(self, call: base.DriverCall) -> None:
        """Answer success in its place, where the call would have had an effect."""
        if call.name == self.parameters.call and self._has_effect(call) and self.strikes(call.gpu):
            call.status = 0

    def on_driver_answer(self, answer: base.DriverAnswer) -> None:
        """Count the copies that are under way."""
        self._under_way += answer.call.name == "copy" and answer.status == 0 and answer.call.status is None

    def on_completion(self, completion: base.Completion) -> None:
        """Count them down."""
        self._under_way -= 1

    def on_detach(self, enclosure: str) -> None:
        """Copies of a card that is gone never complete."""
        self._under_way = 0

    def on_reset(self, plan: base.ResetPlan) -> None:
        """Nor do those of a card that is reset."""
        self._under_way = 0

    def _has_effect(self, call: base.DriverCall) -> bool:
        if call.name == "copy":
            way, *_, row_bytes, rows, _, _ = call.arguments
            return way in list(Way) and row_bytes * rows > 0
        return call.name != "synchronize" or self._under_way > 0
