"""Correctable errors are reported all the time."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base

TICK = 0.02
"""Seconds; errors that come faster are reported together, as by one interrupt."""
SEEN_FROM = 1.0
"""Errors a second."""


class AerFloodParameters(base.Trigger):
    """Parameters of `AerFlood`."""

    per_second: Annotated[float, Field(gt=0, le=1e6, description="errors a second")] = 100.0
    kind: Annotated[
        Literal["RxErr", "BadTLP", "BadDLLP", "Rollover", "Timeout"], Field(description="as the kernel calls it")
    ] = "BadTLP"


class AerFlood(base.Fault):
    """Lets the GPU's function report correctable errors at a steady rate, whether it works or not.

    On macOS nothing counts them; only the function's own status registers tell that there were any.
    """

    name = "aer-flood"
    domain = "pcie"
    story = "The card's contacts are dirty: packets arrive damaged, are sent again, and each time the port says so."
    seen_by = "driver"
    shows_as = r"\bAER\b|correctable|RxErr|BadTLP|BadDLLP|Rollover|Timeout|replay"
    profiles = ("linux-two-enclosures",)
    Parameters = AerFloodParameters
    parameters: AerFloodParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one a second to ten thousand."""
        kind = dice.choice(("RxErr", "BadTLP", "BadDLLP", "Rollover", "Timeout"))
        return {"per_second": round(10 ** (4 * severity), 1), "kind": kind}

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """Less than one a second."""
        assert isinstance(parameters, AerFloodParameters)  # noqa: S101  (its own)
        return f"less than {SEEN_FROM:g} error a second" if parameters.per_second < SEEN_FROM else ""

    def armed(self) -> None:
        """Begin."""
        interval = max(TICK, 1 / self.parameters.per_second)
        each = self.parameters.per_second * interval
        owed = 0.0

        def tick() -> None:
            nonlocal owed
            owed += each
            for gpu in self.site.gpu_indices():
                if int(owed) and self.strikes(gpu):
                    self.site.count_error(gpu, self.parameters.kind, int(owed))
            owed %= 1
            self.site.after(interval, tick)

        self.site.after(interval, tick)
