"""Temperature, power, clocks and rate under load."""

from __future__ import annotations

import pytest

from hil.fixtures.load import Load
from hil.fixtures.measure import Measure
from hil.model import GB

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("normal")]
SHORT, LONG = 0.4, 600.0
"""Seconds of load: enough to leave the idle state; enough for cooler and enclosure to reach their end temperature."""


@pytest.mark.needs("sensors")
def test_load_keeps_the_card_within_its_limits(load: Load, measure: Measure) -> None:
    """Copies there and back, sensors read after each: within the bench's limits and the card's ratings.

    A failure is a power supply or a fan: Xid 79 under load is how it ends. Thermal and power-brake throttling are
    failures, whatever the temperature says; so are clocks that stay where an idle card has them, and dead sensors.
    """
    warmth = load.warm(SHORT, every=0.01)
    for name, unit in (("temperature_c", "°C"), ("power_w", "W"), ("graphics_mhz", "MHz")):
        told = [value for sample in warmth.samples if (value := getattr(sample, name)) is not None]
        if told:
            measure(f"highest {name}", max(told), unit=unit)
    load.hold_to_ratings(warmth)


def test_the_rate_holds_through_a_short_load(load: Load, measure: Measure) -> None:
    """The last quarter's copies are as fast as the first quarter's, within a fifth."""
    _hold_the_rate(load, measure, SHORT)


@pytest.mark.soak
@pytest.mark.needs("sensors")
def test_ten_minutes_of_load_keep_the_card_within_its_limits(load: Load, measure: Measure) -> None:
    """As above until everything is as hot as it gets. Not part of a default run: ``-m soak``.

    The ramp is the test: enclosures throttle after minutes, when the air in them has warmed up.
    """
    warmth = load.warm(LONG, every=2.0)
    ramp = [sample.temperature_c for sample in warmth.samples if sample.temperature_c is not None]
    if ramp:
        measure("temperature ramp", ramp[-1] - ramp[0], unit="K")
    load.hold_to_ratings(warmth)


@pytest.mark.soak
def test_the_rate_holds_through_ten_minutes_of_load(load: Load, measure: Measure) -> None:
    """The last quarter's copies are as fast as the first quarter's, within a fifth, when everything is hot."""
    _hold_the_rate(load, measure, LONG)


def _hold_the_rate(load: Load, measure: Measure, seconds: float) -> None:
    warmth = load.warm(seconds, every=2.0)
    measure("rate at the start", warmth.at_start / GB, unit="GB/s")
    measure("rate at the end", warmth.at_end / GB, unit="GB/s", at_least=0.8 * warmth.at_start / GB)
