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

_GRAPHICS, _MEMORY = 0, 2
_DEFAULT_APPLICATION_CLOCK: Final = 2  # nvml.h, NVML_CLOCK_ID_APP_CLOCK_DEFAULT
_SLOWDOWN: Final = 1  # nvml.h, NVML_TEMPERATURE_THRESHOLD_SLOWDOWN

POWER_MARGIN: Final = 1.05
"""What a board may draw above its limit for a moment: NVML averages over a second, the limiter over less."""
THROTTLED: Final = frozenset(
    {"hardware slowdown", "thermal slowdown", "hardware thermal slowdown", "power brake", "reliability"}
)
"""Reasons that copies alone never give a healthy card; ``power cap`` is one that real work may."""
SETTLING: Final = 0.2
"""Seconds from the first sample under load in which an idle card raises its clocks; they are judged behind that."""
STUCK_GRAPHICS, STUCK_MEMORY = 0.25, 0.5
"""Share of its highest clock that a working card has at the least: performance states for work keep more than half of
the memory's clock, those of an idle desktop a twentieth."""
COLDEST, HOTTEST = -10.0, 130.0
"""°C. What lies beyond is no temperature of a chip that answers."""
BASE_MARGIN = 0.95
"""GPU Boost takes steps of 15 MHz back as a card warms up, and tells no reason for them."""
FROZEN: Final = 8
"""Samples from which on a power, told in mW, that never moves is no measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """`None` = this card or its driver does not tell."""

    power_w: float | None = None
    """Limit that is in force."""
    highest_mhz: float | None = None
    """Graphics clock."""
    highest_memory_mhz: float | None = None
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
            highest_memory_mhz=told("nvmlDeviceGetMaxClockInfo", _MEMORY),
            base_mhz=told("nvmlDeviceGetClock", _GRAPHICS, _DEFAULT_APPLICATION_CLOCK),
            slowdown_c=told("nvmlDeviceGetTemperatureThreshold", _SLOWDOWN),
        )


def strained(samples: Sequence[TelemetrySample], rated: Ratings) -> tuple[str, ...]:
    """What of `samples` under load breaks the card's own ratings, one sentence each."""
    found = []
    degrees = _degrees(samples)
    strange = next((value for value in degrees if not COLDEST <= value <= HOTTEST), None)
    if strange is not None:
        found.append(f"its temperature reads {strange:g} °C, which no card has")
    hottest = max(degrees, default=None)
    if strange is None and hottest is not None and rated.slowdown_c is not None and hottest >= rated.slowdown_c:
        found.append(f"the GPU reached {hottest:g} °C, and slows down at {rated.slowdown_c:g} °C")
    watts = [s.power_w for s in samples if s.power_w is not None]
    if watts and min(watts) <= 0:
        found.append(f"its power reads {min(watts):g} W under load")
    # Whole degrees may stand still for a while: power has to stand still, too.
    elif len(watts) >= FROZEN and len(set(watts)) == 1 and len(set(degrees)) <= 1:
        found.append(f"its sensors do not move: each of {len(watts)} samples under load reads {watts[0]:g} W")
    most = max(watts, default=None)
    if most is not None and rated.power_w is not None and most > POWER_MARGIN * rated.power_w:
        found.append(f"the card drew {most:g} W, and its limit is {rated.power_w:g} W")
    told = {reason for s in samples for reason in s.throttle_reasons or ()} & THROTTLED
    if told:
        found.append(f"the card throttled: {', '.join(sorted(told))}")
    return (*found, *_slow(samples, rated))


def _degrees(samples: Sequence[TelemetrySample]) -> list[float]:
    """°C. NVML tells them unsigned: below zero they read as 2³² less so many."""
    told = [s.temperature_c for s in samples if s.temperature_c is not None]
    return [value - 2**32 if value >= 2**31 else value for value in told]


def _slow(samples: Sequence[TelemetrySample], rated: Ratings) -> list[str]:
    """Clocks that are too low without a reason that the card tells."""
    found = []
    begun = min((s.time for s in samples), default=0.0)
    settled = [s for s in samples if s.time >= begun + SETTLING and not s.throttle_reasons]
    graphics = [s.graphics_mhz for s in settled if s.graphics_mhz is not None]
    memory = [s.memory_mhz for s in settled if s.memory_mhz is not None]
    if graphics and rated.base_mhz is not None and min(graphics) < BASE_MARGIN * rated.base_mhz:
        found.append(
            f"its graphics clock fell to {min(graphics):g} MHz under load, and its base is {rated.base_mhz:g} MHz"
        )
    for name, seen, highest, share in (
        ("graphics", graphics, rated.highest_mhz, STUCK_GRAPHICS),
        ("memory", memory, rated.highest_memory_mhz, STUCK_MEMORY),
    ):
        # The best of them counts: copies alone leave a card in doubt whether it has work to do.
        if seen and highest is not None and max(seen) < share * highest:
            found.append(
                f"its {name} clock stayed at {max(seen):g} MHz under load and no reason is told, "
                f"its highest is {highest:g} MHz"
            )
    return found
