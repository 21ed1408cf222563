"""The link is what was declared, hop by hop, before, under and after load, and loses nothing on the way."""

from __future__ import annotations

import pytest

from hil.bench import Bench, Device
from hil.fixtures.link import Link
from hil.fixtures.measure import Measure

pytestmark = [pytest.mark.needs("gpu"), pytest.mark.severity("critical")]


@pytest.mark.quick
@pytest.mark.needs("enclosure")
def test_negotiated_link_is_what_was_declared(device: Device, link: Link, measure: Measure) -> None:
    """Speed of a lane × lanes of every cable between host and enclosure: declared by the bench, else what its kind has.

    Judged at the routers, never at the tunnel's root port, which always says 2.5 GT/s. A failure is a bad cable, a port
    that fell back to one lane, or a dock that negotiates 20 Gb/s; the message names the hop.
    """
    measure("link", device.require_enclosure().link.gbps or 0.0, unit="Gb/s")
    link.hold()


@pytest.mark.quick
@pytest.mark.needs("enclosure")
def test_link_stays_what_it_was_under_load(device: Device, hil_bench: Bench, link: Link) -> None:
    """A quarter of a gigabyte in four parts, a look at every hop after each, and one more at the end.

    A failure means lanes that drop under load, or a link that trains down and up again: the next run will call the
    device slow and nobody will know why.
    """
    before = hil_bench.refresh().routers
    link.hold_under_load(slices=4)
    after = hil_bench.inventory.routers
    assert after == before, f"{device.alias}: routers were {before} before the load, and are {after}"


@pytest.mark.quick
@pytest.mark.needs("registers")
def test_the_gpus_own_link_wakes_up_under_load(link: Link) -> None:
    """The GPU's PCIe link, read while copies are under way: as wide as both ends can, and not in its idle speed.

    "PCIe Gen1" is the most frequent false alarm of eGPU owners: an idle NVIDIA GPU drops to 2.5 GT/s, so it is read
    under load. A failure is a riser or a bridge with bad lanes.
    """
    link.hold_pcie_under_load()


@pytest.mark.quick
@pytest.mark.needs("registers")
def test_payload_sizes_fit_together(link: Link) -> None:
    """Payloads on the path are no larger than each end takes, and the GPU's requests no smaller than after a reset.

    A failure is firmware that set up half of the path: malformed packets, or a link that asks far too often.
    """
    link.payloads()


@pytest.mark.quick
def test_load_costs_no_link_errors(link: Link) -> None:
    """Six seconds with copies in them: hardly an error corrected on any link to the GPU, none that could not be.

    A corrected error is a symbol that had to be sent again: a marginal cable, retimer or slot; a healthy link counts a
    few in a month. Linux counts at every bridge (AER); macOS at none, so that only the GPU's own end can be asked.
    """
    link.hold_errors()
