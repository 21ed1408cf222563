"""Something comes or goes and the host does not tell, or does not notice."""

from __future__ import annotations

import random
from typing import Annotated, Literal

from pydantic import Field

from hil.sim.faults import base


class NoEventParameters(base.Trigger):
    """Parameters of `NoEvent`."""

    of: Annotated[Literal["attach", "detach"], Field(description="what is not told of")] = "attach"
    lost: Annotated[
        Literal["announcement", "interrupt"],
        Field(description="announcement: the host shows it and tells nobody; interrupt: the host does not notice"),
    ] = "announcement"


class NoEvent(base.Fault):
    """Loses the news of an attach or a detach, on its way to listeners or on its way to the host."""

    name = "no-event"
    domain = "hot plug"
    story = (
        "A hot-plug interrupt is lost while the port sleeps, or the daemon that passes events on is not there: the "
        "desktop shows what was, until somebody looks again."
    )
    seen_by = "driver"
    shows_as = r"event|announce|told|notice|did not come back|still there|still shows"
    profiles = ("linux-two-enclosures", "linux-daisy-chain")
    Parameters = NoEventParameters
    parameters: NoEventParameters

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From one lost announcement to a host that never notices."""
        lost = "announcement" if severity < 0.5 else "interrupt"  # noqa: PLR2004
        return {"of": dice.choice(["attach", "detach"]), "lost": lost}

    def on_attach(self, identity: base.Identity) -> None:
        """Say nothing, or never let it be found."""
        if self.parameters.of == "attach" and self._meant([card.gpu for card in identity.cards]):
            identity.event = False
            identity.seconds += base.NEVER if self.parameters.lost == "interrupt" else 0.0

    def on_departure(self, departure: base.Departure) -> None:
        """Say nothing, or go on showing it."""
        if self.parameters.of == "detach" and self._meant(departure.gpus):
            departure.event = False
            departure.seconds += base.NEVER if self.parameters.lost == "interrupt" else 0.0

    def _meant(self, gpus: list[int]) -> bool:
        wanted = [gpu for gpu in gpus if self.parameters.gpu in (None, gpu)]
        return bool(wanted) and self.strikes(wanted[0])
