"""Large copies are as fast as the enclosure's link allows, in each direction and in both at once."""

from __future__ import annotations

import pytest

from hil.bench import Device
from hil.fixtures.measure import Measure
from hil.fixtures.throughput import Throughput
from hil.model import GB, KIB, MIB, Direction

pytestmark = pytest.mark.severity("normal")
STALL = 0.005
"""Seconds: far more than the link's own retries or a change of clocks cost, and less than a poll that comes late."""
SLOWEST_MEMORY = 20.0
"""GB/s of copies within a device: the slowest memory of an NVIDIA card since Ampere has 96 GB/s (64 bits at 12 Gb/s);
a copy, which reads and writes, gets 48 of them at the most; this is less than half of them."""
OVER_LINK = 2.0
"""How many times faster copies within the device are than those to it: they cross no link. One that went to the host
and back would have the link's rate at the most."""
SHAPED = 0.5
"""Share of a plain copy's rate for one in wide rows, or at an odd address: engines take rows and bytes as they come,
broken lines are few in 64 KiB, and the link, slower than any engine, hides what they cost."""
ACROSS = [Direction.H2D.value, Direction.D2H.value]


@pytest.mark.parametrize("direction", ACROSS)
@pytest.mark.needs("band")
def test_large_copies_reach_the_links_band(throughput: Throughput, direction: str) -> None:
    """The median rate of large pinned copies is not below what this kind of link is known to carry.

    A failure points at the link (lanes, speed, a cable), at a tunnel shared with something, or at the driver's copies;
    the message says which of them bounds the rate, and why that is thought.
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


@pytest.mark.needs("gpu")
def test_copies_within_the_device_have_its_memorys_rate(throughput: Throughput, measure: Measure) -> None:
    """A copy within the device is at least twice as fast as one to it, and faster than the slowest card's memory.

    A failure means data that leave the card and come back, a driver that moves them by a core instead of an engine, or
    a memory clock that stays in its idle state.
    """
    to_it = throughput.sample(Direction.H2D, 16 * MIB, rounds=5, warmups=2)
    within = throughput.sample(Direction.D2D, 16 * MIB, rounds=5, warmups=2)
    least = max(OVER_LINK * to_it.rate / GB, SLOWEST_MEMORY)
    measure(f"D2D of {throughput.device.alias}", within.rate / GB, unit="GB/s", at_least=least)


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("direction", ACROSS)
@pytest.mark.parametrize(("rows", "offset"), [(256, 0), (1, 7)], ids=["rows", "odd"])
def test_shaped_copies_are_nearly_as_fast_as_plain_ones(
    throughput: Throughput, measure: Measure, direction: str, rows: int, offset: int
) -> None:
    """16 MiB in rows of 64 KiB, or seven bytes off any boundary, have at least half of a plain copy's rate.

    Images are pitched, and slices of arrays begin anywhere. A failure means a driver that hands in each row, or each
    line, as a copy of its own.
    """
    plain = throughput.sample(Direction(direction), 16 * MIB, rounds=5, warmups=2)
    shaped = throughput.sample(Direction(direction), 16 * MIB, rounds=5, warmups=2, rows=rows, offset=offset)
    what = f"{direction} of {throughput.device.alias} {'in rows' if rows > 1 else 'at an odd address'}"
    measure(what, shaped.rate / GB, unit="GB/s", at_least=SHAPED * plain.rate / GB)


@pytest.mark.needs("gpu")
@pytest.mark.parametrize("direction", list(map(str, Direction)))
def test_no_copy_among_many_stalls(throughput: Throughput, measure: Measure, direction: str) -> None:
    """Two hundred copies of 256 KiB: the slowest takes less than five times the median and 5 ms.

    A copy in fifty that waits moves no median and no robust spread, and is a frame that is dropped. A failure points at
    retries on the cable, a completion that gets lost and is found by polling, or a card that changes its clocks.
    """
    samples = throughput.sample(Direction(direction), 256 * KIB, rounds=200)
    usual = samples.nbytes / samples.rate
    measure(
        f"{direction} of {throughput.device.alias}, slowest copy",
        max(samples.seconds),
        unit="s",
        at_most=5 * usual + STALL,
    )


@pytest.mark.needs("band")
def test_both_directions_at_once_do_not_share(throughput: Throughput) -> None:
    """The link is full duplex: with H2D and D2H under way together, each still reaches the link's band.

    A failure means a copy engine or a tunnel that serves one direction at a time.
    """
    both = throughput.both_ways(64 * MIB)
    throughput.hold_to_band(both.h2d)
    throughput.hold_to_band(both.d2h)


@pytest.mark.parametrize("direction", ACROSS)
@pytest.mark.needs("band")
def test_several_streams_are_no_slower_than_one(throughput: Throughput, measure: Measure, direction: str) -> None:
    """Four copies at once, a stream each, move as many bytes a second as one copy after the other.

    Frameworks copy on several streams to hide latency. A failure means that the driver pays for switching between
    them, or lets them wait for each other.
    """
    one = throughput.sample(Direction(direction), 8 * MIB)
    four = throughput.sample(Direction(direction), 8 * MIB, streams=4)
    measure(f"{direction}, 4 streams", four.rate / GB, unit="GB/s", at_least=0.5 * one.rate / GB)


@pytest.mark.needs("sensors")
def test_link_clocks_and_temperature_are_known_with_the_rate(throughput: Throughput, device: Device) -> None:
    """Where the host offers sensors, each set of samples says at which clocks, temperature and power it was taken.

    A rate without them explains nothing: half of all reports of slow enclosures are cards in an idle state. A failure
    means that the sensors stopped telling while copies ran.
    """
    throughput.sample(Direction.H2D, 16 * MIB)
    sensors = throughput.around.read().sensors
    assert sensors is not None, f"{device.alias}: its sensors told before the copies, and nothing after them"
    assert sensors.temperature_c is not None or sensors.graphics_mhz is not None, (
        f"{device.alias}: expected a temperature or a clock rate, the sensors told {sensors}"
    )
