"""The rate over minutes of load."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.workload import Workload
from hil.model import GB, Direction

pytestmark = [pytest.mark.soak, pytest.mark.severity("normal")]


@pytest.mark.parametrize("direction", [Direction.H2D.value, Direction.D2H.value])
def test_rate_holds_for_two_minutes(workload: Workload, measure: Measure, direction: str) -> None:
    """Two minutes of large copies: the last six seconds are as fast as the best of the first, within five hundredths.

    Enclosures throttle: a clogged fan, a controller without a heat sink, a card that protects itself. The message says
    when the rate fell and, where the host tells it, how warm the card was by then and why it says it slowed down. A
    rate that has fallen and stays down for six seconds ends the test before its time.
    """
    soak = workload.soak(Direction(direction), 120.0)
    measure(f"{direction} at the beginning", soak.at_start / GB, unit="GB/s")
    measure(f"{direction} when warm", soak.at_end / GB, unit="GB/s")
    faded = soak.faded()
    assert not faded, faded
