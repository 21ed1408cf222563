"""TinyGPU's server cannot be ended after a removal, and what looks at the bus hangs with it."""

from __future__ import annotations

import random

from hil.sim.faults import base

LOOKING = ("ioreg", "system_profiler")
"""Commands that ask the kernel's registry, in which the extension holds a lock."""


class HelperWedged(base.Fault):
    """Lets the helper of the Mac's driver, `ioreg` and `system_profiler` hang once a GPU was unplugged."""

    name = "helper-wedged"
    domain = "host"
    story = (
        "The extension waits for a device that is gone: its server sleeps where no signal reaches it, and everything "
        "that asks the registry waits behind it, until the Mac is started again."
    )
    seen_by = "driver"
    shows_as = r"hang|hung|did not come back|killed|timed out|within"
    unscored = "needs the lab Mac"
    systems = ("Darwin",)

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._wedged = False

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From the third removal to the first."""
        return {"nth": 1 + round(2 * (1 - severity))}

    def on_departure(self, departure: base.Departure) -> None:
        """Get stuck."""
        wanted = [gpu for gpu in departure.gpus if self.parameters.gpu in (None, gpu)]
        self._wedged = self._wedged or (bool(wanted) and self.strikes(wanted[0]))

    def on_helper(self, request: base.HelperRequest) -> None:
        """Answer nobody, and do not end."""
        if self._wedged:
            request.delay = base.NEVER

    def on_command(self, run: base.CommandRun) -> None:
        """Wait behind it."""
        if self._wedged and run.completed.argv[0].rsplit("/", 1)[-1] in LOOKING:
            run.seconds = base.NEVER
