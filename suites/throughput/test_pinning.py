"""Pinned memory is worth its name: copies from and to it skip the driver's staging."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.throughput import Throughput
from hil.model import GB, MIB, Direction

pytestmark = pytest.mark.severity("normal")
STAGING = 4.0
"""GB/s at which a host's core fills staging memory at the least: one core copies 11 to 13 where it was tried, and a
third of that on an old laptop."""
HALF = 0.5
"""Share that is left of link and staging one after the other: most drivers do both at once, and none
needs twice as long as both."""


@pytest.mark.quick
@pytest.mark.needs("pinning")
@pytest.mark.parametrize("direction", [Direction.H2D.value, Direction.D2H.value])
def test_pinned_copies_are_faster_than_pageable_ones(throughput: Throughput, measure: Measure, direction: str) -> None:
    """8 MiB from pinned memory take less time than from pageable memory, by a twentieth at the least.

    The link hides much of what staging costs where it is slow, hence the small margin. No gain at all means that
    pinning had no effect: a driver that fell back to pageable memory without a word, for lack of IOMMU space or limits
    of locked memory, copies correctly, and only this shows it.
    """
    pinned, pageable = (
        throughput.sample(Direction(direction), 8 * MIB, rounds=5, warmups=1, pinned=kind) for kind in (True, False)
    )
    measure(f"{direction} pageable", pageable.rate / GB, unit="GB/s")
    measure("pinned to pageable", pinned.rate / pageable.rate, unit="times", at_least=1.05)


@pytest.mark.quick
@pytest.mark.needs("gpu")
@pytest.mark.parametrize("direction", [Direction.H2D.value, Direction.D2H.value])
def test_pageable_copies_pay_for_their_staging_only(throughput: Throughput, measure: Measure, direction: str) -> None:
    """8 MiB from pageable memory take at most twice as long as to stage them and then to send them.

    Most programs copy from memory that nobody pinned; owners of enclosures report half of the pinned rate and more. A
    failure means staging memory that is not cached, or a driver that stages page by page and waits for each.
    """
    pinned, pageable = (
        throughput.sample(Direction(direction), 8 * MIB, rounds=5, warmups=1, pinned=kind) for kind in (True, False)
    )
    one_after_the_other = 1 / (GB / pinned.rate + 1 / STAGING)
    what = f"{direction} of {throughput.device.alias} from pageable memory"
    measure(what, pageable.rate / GB, unit="GB/s", at_least=HALF * one_after_the_other)
