"""The first copy after a while, or after the cable was in: what nothing has warmed up."""

from __future__ import annotations

import pytest

from hil.fixtures.hotplug import HotPlug
from hil.fixtures.measure import Measure
from hil.fixtures.workload import Workload
from hil.model import MIB, Direction

pytestmark = pytest.mark.severity("minor")
WAKING = 0.25
"""Seconds that waking up may take: a tunnel trains in a tenth of a second, a card leaves its idle state in less."""


def test_first_copy_after_idle_is_not_slow(workload: Workload, measure: Measure) -> None:
    """Three seconds of rest, then 16 MiB: the first copy takes at most a quarter of a second more than the next ones.

    An idle card lowers its link and its clocks, and the host its own states; all must be back within the first copy. A
    failure is a link that needs several tries to wake up, or a driver that sleeps before it starts.
    """
    workload.idle(3.0)
    samples = workload.first(Direction.H2D, "after idle", 16 * MIB)
    measure("first copy after idle", samples.seconds[0], unit="s", at_most=WAKING + 2 * max(samples.seconds[1:]))


@pytest.mark.needs("hotplug")
def test_first_copy_after_attach_is_not_slow(hotplug: HotPlug, workload: Workload, measure: Measure) -> None:
    """The enclosure goes and comes back, then 16 MiB: the first copy takes at most a quarter of a second more.

    Mapping, pinning and waking up happen in the first copy. A failure is an enclosure that is "there" before its link
    is up to speed.
    """
    hotplug.detach(orderly=True)
    hotplug.attach()
    samples = workload.first(Direction.H2D, "after attach", 16 * MIB)
    measure("first copy after attach", samples.seconds[0], unit="s", at_most=WAKING + 2 * max(samples.seconds[1:]))
