"""Negotiated links against what must be, payloads on a path, BARs, a card's ratings: rules on plain facts."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from hil.bench.declared import least_link
from hil.bench.file import BenchFile
from hil.errors import DeviceGone, DriverError, NotPermitted
from hil.model import MIB, Gpu, HostFacts, Inventory, LaneLink, LinkKind, PcieLink, PciFunction, Router, RouterRole
from hil.pci import Bar, Payload, clear_error_bits, disagreements, error_bits, memory_bars, misfits, payload_of
from hil.throughput import LeastLink, hops, weak_hops, weak_pcie
from hil.watch import Ratings, TelemetrySample, strained
from hil.watch.ratings import FROZEN
from tests.pci_device import EXPRESS, MemoryFunction


def router(
    name: str, parent: str | None, *, lane: float | None = 20.0, lanes: int | None = 2, **more: object
) -> Router:
    facts = {"kind": LinkKind.USB4, "role": RouterRole.ENCLOSURE, "device_name": f"Box {name}", **more}
    return Router(
        uid=f"uid {name}", name=name, domain="d", parent=parent, link=LaneLink(lane_gbps=lane, lanes=lanes), **facts
    )


HOST = router("0", None, role=RouterRole.HOST)
FRONT, BEHIND = router("0-1", "0"), router("0-101", "0-1")
INVENTORY = Inventory(host=HostFacts(system="Linux"), routers=(HOST, FRONT, BEHIND))


def card(*, enclosed: bool = True, best: PcieLink | None = None) -> Gpu:
    best = best or PcieLink(gts=16.0, width=16)
    function = PciFunction(address="0000:04:00.0", vendor_id=0x10DE, device_id=0x2704, max_link=best)
    return Gpu(id="x", name="Card", function=function, enclosure=BEHIND if enclosed else None)


# Hops


def test_the_way_to_an_enclosure_leads_from_the_host_through_those_in_front_of_it():
    assert hops(INVENTORY, BEHIND) == (FRONT, BEHIND)
    assert hops(INVENTORY, FRONT) == (FRONT,)
    assert hops(INVENTORY, router("0-2", "nobody")) == (router("0-2", "nobody"),)


def test_a_ring_of_routers_ends():
    one, two = router("a", "b"), router("b", "a")

    assert set(hops(Inventory(host=HostFacts(system="Linux"), routers=(one, two)), one)) == {one, two}


@pytest.mark.parametrize(
    ("hop", "least", "says"),
    [
        (FRONT, LeastLink(), ""),
        (router("0-1", "0", lanes=1), LeastLink(), "is 20 Gb/s (1 × 20), expected at least 40 Gb/s (what its kind"),
        (router("0-1", "0", lane=10.0), LeastLink(gbps=20.0, source="declared by bench b"), ""),
        (router("0-1", "0", lane=40.0, lanes=1), LeastLink(), "has 1 lane(s), expected at least 2"),
        (router("0-1", "0", lane=40.0, lanes=1), LeastLink(lanes=1), ""),
        (router("0-1", "0", lane=None, lanes=None), LeastLink(), "is link unknown, expected at least 40 Gb/s"),
        (router("0-1", "0", lane=None, lanes=None, kind=LinkKind.UNKNOWN), LeastLink(), ""),
        (router("0-1", "0"), LeastLink(gbps=80.0, source="declared by bench b"), "at least 80 Gb/s (declared by bench"),
    ],
)
def test_a_hop_below_what_must_be_is_named(hop, least, says):
    found = weak_hops((hop,), least)

    assert len(found) == bool(says)
    assert says in "".join(found)
    assert not says or "Box 0-1 (0-1)" in found[0]


# The GPU's own link


def pcie(*pairs: tuple[float | None, int | None]) -> list[PcieLink]:
    return [PcieLink(gts=gts, width=width) for gts, width in pairs]


@pytest.mark.parametrize(
    ("seen", "gpu", "above", "least", "says"),
    [
        (pcie((2.5, 4), (16.0, 4)), card(), (2.5, 4), LeastLink(), ""),
        (pcie((8.0, 4)), card(), None, LeastLink(pcie_width=4), ""),
        (pcie((2.5, 4), (2.5, 4)), card(), (2.5, 4), LeastLink(), "did not leave its idle state"),
        (pcie((16.0, 1)), card(), (2.5, 4), LeastLink(), "is 16 GT/s x1 under load, expected x4 (what both ends can)"),
        (pcie((16.0, 1)), card(), (2.5, 4), LeastLink(pcie_width=4, source="declared"), "expected x4 (declared)"),
        (pcie((8.0, 16)), card(enclosed=False), (16.0, 16), LeastLink(), "at least 16 GT/s"),
        (pcie((2.5, 4)), card(best=PcieLink(gts=2.5, width=4)), None, LeastLink(), ""),
        (pcie((None, None)), card(), None, LeastLink(), "neither speed nor width"),
    ],
)
def test_the_gpus_link_is_judged_by_the_best_reading(seen, gpu, above, least, says):
    found = weak_pcie(seen, gpu, PcieLink(gts=above[0], width=above[1]) if above else None, least)

    assert bool(found) == bool(says)
    assert says in found


# Declared


class Lab:
    """As much of a device and its bench as a declaration needs."""

    def __init__(self, file: BenchFile | None) -> None:
        self.alias, self.bench, self.file = "left", self, file


def test_what_a_bench_file_declares_counts_and_else_what_the_kind_promises():
    expect = {"min_gbps": 20.0, "min_lanes": 1, "pcie_width": 4}
    listed = BenchFile(name="lab", device=({"alias": "left", "id": "x", "expect": expect},))
    others = BenchFile(name="lab", device=({"alias": "right", "id": "x"},))
    bare = BenchFile(name="lab", device=({"alias": "left", "id": "x"},))

    assert least_link(Lab(listed)) == LeastLink(gbps=20.0, lanes=1, pcie_width=4, source="declared by bench lab")
    assert {least_link(Lab(file)) for file in (None, others, bare)} == {LeastLink()}


# Payloads


def test_sizes_are_read_from_device_control_and_capabilities():
    function, bare = MemoryFunction(), MemoryFunction()
    struct.pack_into("<I", function.space, EXPRESS + 0x04, 0x8021)
    struct.pack_into("<H", function.space, EXPRESS + 0x08, 0x2830)
    bare.space[0x06:0x08] = bytes(2)

    assert payload_of(function) == Payload(address="0000:04:00.0", payload=256, supported=256, read_request=512)
    assert payload_of(bare) is None


def size(address: str, payload: int = 128, supported: int = 256, read_request: int = 512) -> Payload:
    return Payload(address=address, payload=payload, supported=supported, read_request=read_request)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ([], ""),
        ([size("gpu")], ""),
        ([size("root"), size("gpu")], ""),
        ([size("root", supported=128), size("gpu", payload=256)], "GPU gpu sends 256 B, bridge root takes 128 B"),
        ([size("root", payload=256), size("gpu", supported=128)], "bridge root sends 256 B, GPU gpu takes 128 B"),
        ([size("root", payload=256), size("gpu")], "although all bridges above it carry 256 B"),
        ([size("gpu", payload=512)], "sends packets of 512 B and can take 256 B itself"),
        ([size("gpu", read_request=128)], "reads 128 B a read request, expected at least 512 B"),
    ],
)
def test_sizes_that_do_not_fit_are_told(path, says):
    found = misfits(path)

    assert bool(found) == bool(says)
    assert says in "; ".join(found)


# BARs


def function_with_bars() -> MemoryFunction:
    found = MemoryFunction(bars={0: bytearray(16), 1: bytearray(256), 3: bytearray(32)})
    struct.pack_into("<6I", found.space, 0x10, 0x80000000, 0x4000000C, 0x40, 0x1000000C, 0x40, 0x0000F001)
    return found


def test_bars_come_with_address_width_and_resize_control():
    found = memory_bars(function_with_bars())

    assert [(bar.index, bar.address, bar.size, bar.wide) for bar in found] == [
        (0, 0x80000000, 16, False),
        (1, 0x40_4000_0000, 256, True),
        (3, 0x40_1000_0000, 32, True),
    ]
    assert [bar.control_bytes for bar in found] == [None, 256 * MIB, None]
    assert disagreements(found[0]) == disagreements(found[2]) == ()


def test_a_bar_register_of_all_ones_was_not_answered():
    function = function_with_bars()
    struct.pack_into("<I", function.space, 0x14, 0xFFFFFFFF)

    with pytest.raises(DeviceGone, match=r"the register of BAR 1 of \S+ reads as all ones: nobody answers there"):
        memory_bars(function)


def test_a_bar_that_cannot_be_mapped_is_none_and_a_control_that_may_not_be_read_says_nothing():
    class Closed(MemoryFunction):
        def bar_size(self, bar: int) -> int:
            if bar == 3:
                raise DriverError("MAP_BAR refused")
            return super().bar_size(bar)

        def config_read(self, offset: int, size: int) -> bytes:
            if offset >= 0x100:
                raise NotPermitted("only root")
            return super().config_read(offset, size)

    closed = function_with_bars()
    found = memory_bars(Closed(space=closed.space, bars=closed.bars))

    assert [(bar.index, bar.control_bytes) for bar in found] == [(0, None), (1, None)]


@pytest.mark.parametrize(
    ("bar", "says"),
    [
        ({"size": 3 * MIB}, "no power of two"),
        ({"size": 256 * MIB, "address": 0x1000}, "not aligned"),
        ({"address": 0}, "holds no address"),
        ({"control_bytes": 512 * MIB}, "256 MiB for the operating system and 512 MiB in its own"),
    ],
)
def test_what_does_not_fit_in_a_bar_is_told(bar, says):
    facts = {"index": 1, "address": 1 << 32, "size": 256 * MIB, "wide": True, "prefetchable": True, **bar}

    assert says in "; ".join(disagreements(Bar(**facts)))


# Error bits


def test_error_bits_are_told_by_name_and_cleared():
    function = MemoryFunction()
    struct.pack_into("<H", function.space, EXPRESS + 0x0A, 0x0009)  # an unsupported request is nobody's fault
    struct.pack_into("<I", function.space, 0x110, 0x2040)
    struct.pack_into("<I", function.space, 0x104, 1 << 14)

    found = error_bits(function)
    clear_error_bits(function)

    assert found == ("corrected error", "BadTLP", "CmpltTO")
    assert function.writes == [EXPRESS + 0x0A, 0x110, 0x104]


def test_a_function_that_does_not_answer_has_noticed_nothing():
    function = MemoryFunction()
    function.space[EXPRESS + 0x0A : EXPRESS + 0x0C] = b"\xff\xff"

    assert error_bits(function) == ()


# Ratings


RATED = Ratings(power_w=320.0, highest_mhz=2520.0, highest_memory_mhz=10501.0, base_mhz=2000.0, slowdown_c=93.0)


def under_load(count: int = 6, **sample) -> list[TelemetrySample]:
    """Samples that all say the same, 0.05 s apart."""
    return [TelemetrySample(time=7.0 + 0.05 * n, **sample) for n in range(count)]


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ({"temperature_c": 70.0, "power_w": 320.0, "graphics_mhz": 2500.0, "throttle_reasons": ("power cap",)}, ""),
        ({"temperature_c": 95.0}, "reached 95 °C, and slows down at 93 °C"),
        ({"power_w": 400.0}, "drew 400 W, and its limit is 320 W"),
        ({"throttle_reasons": ("thermal slowdown", "power cap")}, "throttled: thermal slowdown"),
        ({"graphics_mhz": 1200.0}, "fell to 1200 MHz under load, and its base is 2000 MHz"),
        ({"graphics_mhz": 1995.0}, ""),
        ({"graphics_mhz": 1200.0, "throttle_reasons": ("idle",)}, ""),
        ({"graphics_mhz": 300.0, "throttle_reasons": ("power cap",)}, ""),
        (
            {"memory_mhz": 405.0},
            "memory clock stayed at 405 MHz under load and no reason is told, its highest is 10501",
        ),
        ({"memory_mhz": 9501.0}, ""),
        ({}, ""),
    ],
)
def test_a_card_is_held_to_its_own_ratings(sample, says):
    found = strained(under_load(**sample), RATED)

    assert bool(found) == bool(says)
    assert says in "; ".join(found)
    assert strained(under_load(**sample), Ratings()) == (found if "throttled" in says else ())


def test_a_graphics_clock_of_an_idle_card_is_stuck_whether_a_base_is_told_or_not():
    found = strained(under_load(graphics_mhz=300.0), Ratings(highest_mhz=2520.0))

    assert found == ("its graphics clock stayed at 300 MHz under load and no reason is told, its highest is 2520 MHz",)


def test_a_card_may_take_a_moment_to_raise_its_clocks():
    slow, fast = {"graphics_mhz": 210.0, "memory_mhz": 405.0}, {"graphics_mhz": 2520.0, "memory_mhz": 10501.0}
    samples = [TelemetrySample(time=0.05 * n, **(slow if n < 4 else fast)) for n in range(6)]

    assert strained(samples, RATED) == ()
    assert strained(samples[:4], RATED) == ()


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ({"power_w": 0.0}, "its power reads 0 W under load"),
        ({"temperature_c": 255.0}, "its temperature reads 255 °C, which no card has"),
        ({"temperature_c": 2.0**32 - 40}, "its temperature reads -40 °C, which no card has"),
        ({"temperature_c": 2.0**32 - 5}, ""),
    ],
)
def test_what_no_sensor_tells_is_found(sample, says):
    assert strained(under_load(2, **sample), RATED) == ((says,) if says else ())


@pytest.mark.parametrize(
    ("count", "last", "says"),
    [
        (FROZEN, {}, "its sensors do not move: each of 8 samples under load reads 40 W"),
        (FROZEN - 1, {}, ""),
        (FROZEN, {"power_w": 40.001}, ""),
        (FROZEN, {"temperature_c": 51.0}, ""),
    ],
)
def test_sensors_that_never_move_are_found_where_there_are_samples_enough(count, last, says):
    samples = under_load(count, power_w=40.0, temperature_c=50.0)
    samples[-1] = replace(samples[-1], **last)

    assert strained(samples, RATED) == ((says,) if says else ())
