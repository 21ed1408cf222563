"""Bursts of writes through BAR 1, each twice as long as the one before."""

from __future__ import annotations

import pytest

from hil.fixtures.link import Link
from hil.fixtures.window import Window
from hil.model import KIB, size_text

pytestmark = [pytest.mark.needs("gpu", "window", "bar_write"), pytest.mark.severity("critical")]
RUNGS = [256 << n for n in range(9)]


@pytest.mark.parametrize("nbytes", RUNGS, ids=map(size_text, RUNGS))
def test_a_burst_of_writes_leaves_the_link_up(window: Window, nbytes: int) -> None:
    """A burst into memory of our own: it lands, nothing beside it changes, BOOT_0 and the GPU's link are as before.

    Behind some Thunderbolt 5 docks with Intel's bridge 512 bytes go well and 1 KiB takes the link down, with
    "Link timeout" and AER registers that read all ones. The first rung that fails is the finding.
    """
    window.write(nbytes)


@pytest.mark.needs("enclosure")
def test_the_enclosures_link_stands_after_the_longest_burst(window: Window, link: Link) -> None:
    """64 KiB in one burst, and then each cable between host and enclosure is what it must be."""
    window.write(64 * KIB)
    link.hold("after a burst of 64 KiB")
