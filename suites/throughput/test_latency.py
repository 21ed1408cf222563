"""Small copies: what each costs before its first byte, and how the rate grows with size."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.throughput import Throughput
from hil.model import GB, KIB, MIB, Direction

pytestmark = pytest.mark.severity("minor")
DIRECTIONS = [Direction.H2D.value, Direction.D2H.value]


@pytest.mark.quick
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_small_copy_has_a_bounded_latency(throughput: Throughput, measure: Measure, direction: str) -> None:
    """Four KiB in less than 50 ms, median of 50: a driver that polls or sleeps per copy does not reach that."""
    samples = throughput.sample(Direction(direction), 4 * KIB, rounds=50)
    median = samples.nbytes / samples.rate
    measure(f"{direction} latency", median * 1e6, unit="µs", at_most=50_000)


@pytest.mark.needs("band")
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_rate_grows_with_the_size(throughput: Throughput, measure: Measure, direction: str) -> None:
    """64 KiB, 1 MiB, 16 MiB: a larger copy is not slower in bytes per second than the one before, within a fifth.

    A drop at a size points at a change of path in the driver there: another staging buffer, another engine.
    """
    best = 0.0
    for size in (64 * KIB, MIB, 16 * MIB):
        rate = throughput.sample(Direction(direction), size).rate
        measure(direction, rate / GB, unit="GB/s", at_least=0.8 * best / GB)
        best = max(best, rate)
