"""After a reset, a re-plug or a sleep copies are as fast as the link allows, which is more than that bytes pass."""

from __future__ import annotations

import pytest

from hil.fixtures.hotplug import HotPlug
from hil.fixtures.reset import Reset
from hil.fixtures.sleep import Sleep
from hil.fixtures.throughput import Throughput

pytestmark = pytest.mark.severity("normal")


@pytest.mark.needs("band", "reset")
def test_rates_reach_the_band_after_a_reset(throughput: Throughput, reset: Reset) -> None:
    """By each kind of reset that there is: large copies up and down still reach the link's band.

    A reset clears what the driver had tuned: payload and request sizes, relaxed ordering, write combining, the number
    of engines. A failure of one direction alone points there, of both at the link, which may have trained to less.
    """
    for kind in reset.kinds():
        reset(kind)
        throughput.must_reach_band(f"a reset by {kind}")


@pytest.mark.needs("band", "hotplug")
def test_rates_reach_the_band_after_a_replug(throughput: Throughput, hotplug: HotPlug) -> None:
    """The enclosure goes and comes back: large copies up and down still reach the link's band.

    A failure means a link, or the tunnel in it, that trained to less than at boot and does not say so, or a driver that
    sets up a card that comes later in another way than one that was there at the start.
    """
    hotplug.detach(orderly=True)
    hotplug.attach()
    throughput.must_reach_band("a re-plug")


@pytest.mark.needs("band", "sleep")
def test_rates_reach_the_band_after_a_sleep(throughput: Throughput, sleep: Sleep) -> None:
    """The host sleeps and wakes: large copies up and down still reach the link's band.

    Sleep takes the power from links and functions. A failure means that what comes back is set up in haste: a link
    without equalization, a card that stays in its idle state, caches or the IOMMU in their slow defaults.
    """
    sleep()
    throughput.must_reach_band("a sleep")
