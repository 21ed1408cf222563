"""What a GPU is rated for: power, clocks, the temperature at which it slows down. Through NVML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hil.watch.telemetry import asked_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.hosts import Host
    from hil.model import Gpu
    from hil.watch.telemetry import TelemetrySample

_GRAPHICS: Final = 0
_DEFAULT_APPLICATION_CLOCK: Final = 2  # nvml.h, NVML_CLOCK_ID_APP_CLOCK_DEFAULT
_SLOWDOWN: Final = 1  # nvml.h, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN

POWER_MARGIN: Final = 1.05
"""What a board may draw above its limit for a moment: NVML averages over a second, the limiter over less."""
THROTTLED: Final = frozenset(
    {"hardware slowdown", "thermal slowdown", "hardware thermal slowdown", "power brake", "reliability"}
)
"""Reasons that copies alone never give a healthy card; ``power cap`` is one that real work may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """`None` = this card or its driver does not tell."""

    power_w: float | None = None
    """Limit that is in force."""
    highest_mhz: float | None = None
    """Graphics clock."""
    base_mhz: float | None = None
    """Graphics clock that the card keeps under load within its limits; workstation cards tell it."""
    slowdown_c: float | None = None
    """GPU temperature at which the hardware slows it down."""


def ratings(host: Host, gpu: Gpu) -> Ratings:
    """Read what `gpu` is rated for; raises as `hil.watch.telemetry.sample`."""
    with asked_of(host, gpu) as told:
        power = told("nvmlDeviceGetEnforcedPowerLimit")
        return Ratings(
            power_w=None if power is None else power / 1000,  # NVML counts milliwatts
            highest_mhz=told("nvmlDeviceGetMaxClockInfo", _GRAPHICS),
            base_mhz=told("nvmlDeviceGetClock", _GRAPHICS, _DEFAULT_APPLICATION_CLOCK),
            slowdown_c=told("nvmlDeviceGetTemperatureThreshold", _SLOWDOWN),
        )


def strained(samples: Sequence[TelemetrySample], rated: Ratings) -> tuple[str, ...]:
    """What of `samples` under load breaks the card's own ratings, one sentence each."""
    found = []
    hottest = max((s.temperature_c for s in samples if s.temperature_c is not None), default=None)
    if hottest is not None and rated.slowdown_c is not None and hottest >= rated.slowdown_c:
        found.append(f"the GPU reached {hottest:g} °C, and slows down at {rated.slowdown_c:g} °C")
    most = max((s.power_w for s in samples if s.power_w is not None), default=None)
    if most is not None and rated.power_w is not None and most > POWER_MARGIN * rated.power_w:
        found.append(f"the card drew {most:g} W, and its limit is {rated.power_w:g} W")
    told = {reason for s in samples for reason in s.throttle_reasons or ()} & THROTTLED
    if told:
        found.append(f"the card throttled: {', '.join(sorted(told))}")
    busy = [s.graphics_mhz for s in samples if s.graphics_mhz is not None and "idle" not in (s.throttle_reasons or ())]
    floor = rated.base_mhz
    if busy and floor is not None and min(busy) < floor:
        found.append(f"its graphics clock fell to {min(busy):g} MHz under load, and its base is {floor:g} MHz")
    return tuple(found)
