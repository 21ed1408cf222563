"""Pinned memory is worth its name: copies from and to it skip the driver's staging."""

from __future__ import annotations

import pytest

from hil.fixtures.measure import Measure
from hil.fixtures.throughput import Throughput
from hil.model import GB, MIB, Direction

pytestmark = pytest.mark.severity("normal")


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
