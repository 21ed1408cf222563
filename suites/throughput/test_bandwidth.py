"""Large copies are as fast as the enclosure's link allows, in each direction and in both at once."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.throughput import Throughput
from hil.model import GB, MIB, Direction

pytestmark = pytest.mark.severity("normal")


@pytest.mark.parametrize("direction", [Direction.H2D.value, Direction.D2H.value])
@pytest.mark.needs("band")
def test_large_copies_reach_the_links_band(throughput: Throughput, direction: str) -> None:
    """The median rate of large pinned copies is not below what this kind of link is known to carry.

    A failure points at the link (lanes, speed, a cable), at a tunnel shared with something, or at the driver's copies.
    """
    throughput.hold_to_band(throughput.sample(Direction(direction)))


@pytest.mark.parametrize("direction", list(map(str, Direction)))
def test_rate_is_steady(throughput: Throughput, measure: Measure, direction: str) -> None:
    """The rates of one run lie close together: a path that stalls now and then does not.

    The robust spread ignores a single disturbed sample; the limit is wide enough for a shared machine.
    """
    samples = throughput.sample(Direction(direction), 64 * MIB)
    measure(direction, samples.rate / GB, unit="GB/s")
    measure("robust spread", samples.spread / samples.rate, unit="of the median", at_most=0.5)


@pytest.mark.needs("band")
def test_both_directions_at_once_do_not_share(throughput: Throughput) -> None:
    """The link is full duplex: with H2D and D2H under way together, each still reaches the link's band.

    A failure means a copy engine or a tunnel that serves one direction at a time.
    """
    both = throughput.both_ways(64 * MIB)
    throughput.hold_to_band(both.h2d)
    throughput.hold_to_band(both.d2h)
