"""The rate over minutes of load."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.workload import Workload
from hil.model import GB, Direction

pytestmark = [pytest.mark.soak, pytest.mark.severity("normal")]


@pytest.mark.parametrize("direction", [Direction.H2D.value, Direction.D2H.value])
def test_rate_holds_for_two_minutes(workload: Workload, measure: Measure, direction: str) -> None:
    """Two minutes of large copies: the last twelve seconds are as fast as the first twelve, within five hundredths.

    Enclosures throttle: a clogged fan, a controller without a heat sink, a card that protects itself. The message says
    when the rate fell; temperature, clocks and reasons are attached where the host tells them.
    """
    soak = workload.soak(Direction(direction), 120.0)
    measure(f"{direction} at the beginning", soak.at_start / GB, unit="GB/s")
    measure(f"{direction} when warm", soak.at_end / GB, unit="GB/s")
    faded = soak.faded()
    assert not faded, faded
