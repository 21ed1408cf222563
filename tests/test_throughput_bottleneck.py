"""Which hop bounds a rate, and what is better off on the eGPU."""

from __future__ import annotations

import math

import pytest

from hil.model import GB, LaneLink, LinkKind, PcieLink
from hil.throughput.bottleneck import Measured, Path, bottleneck, ceilings
from hil.throughput.hockney import Hockney
from hil.throughput.residency import Residency

USB4 = Path(
    kind=LinkKind.USB4,
    link=LaneLink(lane_gbps=20.0, lanes=2),
    pcie=PcieLink(gts=16.0, width=4),
    card=PcieLink(gts=16.0, width=16),
)


def test_a_pcie_link_carries_its_payload():
    assert PcieLink(gts=16.0, width=4).payload_rate == pytest.approx(6.63 * GB, rel=0.01)
    assert PcieLink(gts=2.5, width=1).payload_rate == pytest.approx(0.2105 * GB, rel=0.01)
    assert PcieLink(gts=None, width=4).payload_rate is None


def test_a_healthy_usb4_path_is_bounded_by_its_link():
    found = bottleneck(USB4, Measured(rate=3.4 * GB))
    assert found.hop == "link"
    assert "87 %" in found.sentence
    assert [c.hop for c in found.ceilings] == ["link", "pcie", "pcie"]


def test_one_lane_halves_the_links_ceiling():
    lame = Path(kind=LinkKind.USB4, link=LaneLink(lane_gbps=20.0, lanes=1))
    assert ceilings(lame)[0].rate == pytest.approx(1.95 * GB)
    assert "20 of 40 Gb/s" in bottleneck(lame, Measured(rate=1.7 * GB)).sentence


def test_half_a_link_explains_what_an_enclosure_of_its_kind_gets_out_of_it():
    path = Path(kind=LinkKind.USB4, link=LaneLink(lane_gbps=20, lanes=1))

    told = bottleneck(path, Measured(rate=1.45 * GB, other_direction=1.5 * GB, pageable=0.9 * GB))
    slower = bottleneck(path, Measured(rate=1.0 * GB, other_direction=1.0 * GB, pageable=0.7 * GB))

    assert (told.hop, slower.hop) == ("link", "copy engine")
    assert "20 of 40 Gb/s negotiated" in told.sentence


def test_a_card_at_gen1_under_load_is_what_bounds():
    slow = Path(kind=LinkKind.USB4, link=LaneLink(lane_gbps=20.0, lanes=2), pcie=PcieLink(gts=2.5, width=4))
    assert bottleneck(slow, Measured(rate=0.8 * GB)).hop == "pcie"


@pytest.mark.parametrize(
    ("measured", "hop"),
    [
        (Measured(rate=2.0 * GB, other_direction=3.4 * GB), "copy engine"),
        (Measured(rate=3.4 * GB, both_at_once=1.7 * GB), "tunnel shared"),
        (Measured(rate=2.0 * GB, pageable=1.9 * GB), "host memory"),
        (Measured(rate=2.0 * GB, other_direction=2.0 * GB, pageable=1.0 * GB), "copy engine"),
        (Measured(rate=1.0 * GB, fixed_seconds=50e-6, nbytes=64 << 10), "latency"),
    ],
)
def test_what_no_link_explains_is_looked_for_elsewhere(measured, hop):
    assert bottleneck(USB4, measured).hop == hop


def test_nothing_known_is_said_so():
    found = bottleneck(Path(kind=LinkKind.UNKNOWN), Measured(rate=GB))
    assert (found.hop, found.ceilings) == ("unknown", ())


EGPU = Residency(path=Hockney(alpha=20e-6, beta=3e9, worst=0.0), vram=700 * GB, unified=400 * GB)


def test_at_the_break_even_both_take_the_same():
    moved = 1e9
    traffic = EGPU.reuse * moved + EGPU.least_traffic
    assert EGPU.seconds_egpu(traffic, moved) == pytest.approx(EGPU.seconds_unified(traffic))
    assert EGPU.seconds_egpu(2 * traffic, moved) < EGPU.seconds_unified(2 * traffic)
    assert EGPU.intensity(2.0) == 2 * EGPU.reuse


def test_the_least_batch_is_where_both_take_the_same():
    traffic, moved = 1e9, 1e5
    batch = EGPU.least_batch(traffic, moved)
    assert EGPU.seconds_egpu(batch * traffic, batch * moved) == pytest.approx(EGPU.seconds_unified(batch * traffic))
    assert EGPU.least_batch(1e6, 1e6) == math.inf


def test_a_card_with_slower_memory_never_wins():
    never = Residency(path=EGPU.path, vram=300 * GB, unified=400 * GB)
    assert (never.reuse, never.least_traffic, never.least_batch(1, 0)) == (math.inf, math.inf, math.inf)
    assert "no workload" in never.sentence()


def test_streaming_costs_what_is_sent_anew():
    resident = EGPU.seconds_egpu(1e9, 1e6)
    assert EGPU.seconds_streamed(1e9, 1e6, 3e8) == pytest.approx(resident + 0.1 + 20e-6)
    assert "bytes of it for each byte moved" in EGPU.sentence()


def test_a_bandwidth_must_be_one():
    with pytest.raises(ValueError, match="`vram` must be a bandwidth"):
        Residency(path=EGPU.path, vram=0.0, unified=1.0)
