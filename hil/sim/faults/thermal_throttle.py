"""A card gets too warm under a long load, and slows down."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from hil.model import Direction
from hil.sim.faults import base, draws, sight
from hil.sim.hooks import CHUNK_BYTES
from hil.sim.nvml_sensors import SLOWDOWN_CELSIUS, SLOWED
from hil.sim.thermal import IDLE_CELSIUS

BEYOND = 1.25
"""Where a full load would end, in Kelvin above idle, by those of the threshold."""
HYSTERESIS = 3.0
"""Kelvin that it has to cool down below the threshold before it is fast again."""
_THERMAL = 0x20
_REASONS = ("nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetCurrentClocksEventReasons")


class ThermalThrottleParameters(base.Trigger):
    """Parameters of `ThermalThrottle`."""

    threshold_c: Annotated[float, Field(ge=50, le=110, description="°C at which it slows down")] = 83.0
    factor: Annotated[float, Field(gt=0, lt=1, description="share of its clock and of its rates that is left")] = 0.5
    time_constant_s: Annotated[float, Field(gt=0, le=3600, description="s to 63 % of its way to the end")] = 20.0


@dataclass(slots=True)
class _Heat:
    """One card's, at the moment `time`."""

    time: float = 0.0
    excess: float = 0.0
    """Kelvin above idle."""
    pending: float = 0.0
    """Seconds for which it works on from `time`."""
    slow: bool = False


class ThermalThrottle(base.Fault):
    """Lets a card's temperature rise while copies run, and throttles it: rates, graphics clock, NVML's reasons."""

    name = "thermal-throttle"
    domain = "thermal"
    story = "The enclosure's fan is clogged: half an hour of work and the card protects itself."
    seen_by = "throughput"
    shows_as = r"thermal|throttl|°C|too warm"
    soaks = True
    profiles = ("macbook-pro-usb4", "linux-two-enclosures")
    Parameters = ThermalThrottleParameters
    parameters: ThermalThrottleParameters

    def __init__(self, parameters: base.Trigger, site: base.Site) -> None:
        super().__init__(parameters, site)
        self._heats: dict[int, _Heat] = {}

    @classmethod
    def draw(cls, severity: float, dice: random.Random) -> dict[str, object]:
        """From after two minutes of load and a little to after five seconds and much."""
        return {
            "threshold_c": round(90 - 20 * severity + dice.uniform(-2, 2), 1),
            "factor": round(0.93 - 0.53 * severity, 3),
            "time_constant_s": draws.scaled(80, 3, severity),
        }

    @classmethod
    def below_sight(cls, parameters: base.Trigger) -> str:
        """Where it comes too late for a soak, or takes too little."""
        assert isinstance(parameters, ThermalThrottleParameters)  # noqa: S101  (its own)
        # From idle it reaches the threshold when 1 - exp(-t / constant) is 1 / BEYOND.
        full_load = parameters.time_constant_s * math.log(BEYOND / (BEYOND - 1))
        return sight.of_soak(full_load, parameters.factor)

    def on_bandwidth(self, gpu: int, direction: Direction, rate: float) -> float:
        """A piece of a copy warms it; too warm, it takes longer."""
        heat = self._now(gpu)
        if heat is None:
            return rate
        if heat.slow:
            rate *= self.parameters.factor
        heat.pending = CHUNK_BYTES / rate if rate > 0 else 0.0
        return rate

    def on_temperature(self, gpu: int, celsius: float) -> float:
        """It is as warm as the worse of the two coolings makes it."""
        heat = self._now(gpu)
        return celsius if heat is None else max(celsius, IDLE_CELSIUS + heat.excess)

    def on_clock_rate(self, gpu: int, domain: str, hertz: float) -> float:
        """The graphics clock falls."""
        heat = self._now(gpu)
        if heat is None or not heat.slow or domain != "graphics":
            return hertz
        # From there on a card has been slowed down already, as every one would be.
        full = hertz / SLOWED if IDLE_CELSIUS + heat.excess >= SLOWDOWN_CELSIUS else hertz
        return full * self.parameters.factor

    def on_nvml(self, function: str, answer: Any) -> Any:
        """And NVML says why."""
        if function in _REASONS and answer["gpu"] is not None and "value" in answer["values"]:
            heat = self._now(answer["gpu"])
            if heat is not None and heat.slow:
                answer["values"]["value"] |= _THERMAL
        return answer

    def _now(self, gpu: int) -> _Heat | None:
        """The card's heat, brought up to now; `None` for one that is well cooled."""
        p = self.parameters
        if p.gpu not in (None, gpu):
            return None
        heat, now = self._heats.setdefault(gpu, _Heat()), self.site.now()
        passed = now - heat.time
        busy = min(passed, heat.pending)
        room = p.threshold_c - IDLE_CELSIUS
        kept = math.exp(-busy / p.time_constant_s)
        heat.excess = BEYOND * room * (1 - kept) + heat.excess * kept
        # A card that protects itself gets no warmer.
        heat.excess = min(heat.excess, room) * math.exp(-(passed - busy) / p.time_constant_s)
        heat.time, heat.pending = now, heat.pending - busy
        if heat.slow:
            heat.slow = heat.excess > room - HYSTERESIS
        elif heat.excess >= room:
            heat.slow = self.strikes(gpu)
        return heat
