"""The enclosure's link is what its kind promises, before and after load, and loses nothing on the way."""

from __future__ import annotations

import pytest

from hil.bench import Bench, Device
from hil.fixtures.measure import Measure
from hil.fixtures.telemetry import Telemetry
from hil.model import MIB, NOMINAL_GBPS

pytestmark = [pytest.mark.needs("gpu", "enclosure"), pytest.mark.severity("critical")]


@pytest.mark.quick
def test_negotiated_link_is_what_its_kind_promises(device: Device, measure: Measure) -> None:
    """Speed of a lane × lanes of the enclosure's own hop, not of the tunnel's root port, which always says 2.5 GT/s.

    A failure is a bad cable, a port that fell back to one lane, or a dock that negotiates 20 Gb/s.
    """
    enclosure = device.require_enclosure()
    measure("link", enclosure.link.gbps or 0.0, unit="Gb/s", at_least=NOMINAL_GBPS[enclosure.kind])


def test_link_stays_what_it_was_under_load(device: Device, hil_bench: Bench) -> None:
    """Half a gigabyte each way leaves enclosure and link as they were.

    A failure means lanes that drop under load: the next run will call the device slow.
    """
    before = hil_bench.refresh().routers
    device.call("transfer:repeat", nbytes=64 * MIB, copies=8, epoch=1)
    assert hil_bench.refresh().routers == before


def test_load_costs_no_link_errors(device: Device, telemetry: Telemetry) -> None:
    """No AER counter moves and no Xid appears while half a gigabyte is copied.

    A correctable error is a symbol that had to be sent again: a marginal cable, retimer or slot.
    """
    device.call("transfer:repeat", nbytes=64 * MIB, copies=8, epoch=1)
    seen = telemetry.observed()
    assert seen.aer == ()
    assert seen.xids == ()
