"""The window around each test: what moved between two readings, and what of it alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from operations_rig import Bench

from hil.discovery import discover
from hil.hosts import LogLine
from hil.model import Gpu, PciFunction, Router, RouterRole
from hil.watch import (
    AerCount,
    Observations,
    Ratings,
    WatchedLine,
    Window,
    alarms,
    driver_alarms,
    inexcusable,
    link_alarms,
    looked,
    opened,
    parse,
    ratings,
    subject,
    summary,
    turned,
    unexplained,
)
from tests.files_host import FilesHost, refused

GPU = "0000:04:00.0"
STALL = "rcu: INFO: rcu_preempt self-detected stall on CPU"
REMAPPED = "DMAR: [DMA Read NO_PASID] Request device [04:00.0] fault addr 0xfff0000 [fault reason 0x06] PTE Read"
FALLEN = "NVRM: Xid (PCI:0000:04:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench("linux-two-enclosures")
    yield made
    made.close()


def card(address: str = GPU) -> Gpu:
    return Gpu(id="x", name="Card", function=PciFunction(address=address, vendor_id=0x10DE, device_id=1))


def counted(name: str, count: int, *, severity: str = "correctable", address: str = GPU) -> AerCount:
    return AerCount(address=address, severity=severity, name=name, count=count)


def test_nothing_moves_on_a_quiet_machine_and_the_next_window_begins_where_the_last_ended(bench):
    host = bench.context.host
    first = opened(host, bench.gpu)
    host.clock.sleep(1.5)
    seen, second = turned(host, first)
    nothing, _ = turned(host, second)

    assert (seen.aer, seen.xids, seen.lines, seen.replays, seen.problems) == ((), (), (), 0, ())
    assert seen.seconds == 1.5
    assert (second.time, nothing.seconds) == (first.time + 1.5, 0.0)
    assert (summary(seen), alarms(seen, address=GPU)) == ("", ())
    assert len(first.functions) == 4


def test_errors_and_xids_are_seen_once_each(bench):
    host, machine = bench.context.host, bench.rig.machine
    window = opened(host, bench.gpu)
    host.clock.sleep(2.0)
    bench.rig.do(machine.site.count_error, 0, "Timeout", 3)
    bench.rig.do(machine.log, FALLEN)
    seen, window = turned(host, window)
    again, _ = turned(host, window)

    assert [str(count) for count in seen.aer] == ["0000:04:00.0 correctable Timeout: 3"]
    assert seen.replays == 3
    assert [xid.number for xid in seen.xids] == [79]
    assert (again.aer, again.xids, again.replays, again.lines) == ((), (), 0, ())
    assert "Timeout: 3" in summary(seen)
    assert "Xid" in summary(seen)


def test_a_card_is_rated_by_what_nvml_tells(bench):
    host = bench.context.host
    geforce = next(gpu for gpu in discover(host).gpus if gpu.id != bench.gpu.id)
    rated = ratings(host, bench.gpu)

    assert rated == Ratings(power_w=320.0, highest_mhz=2520, highest_memory_mhz=10501, base_mhz=2016, slowdown_c=93)
    assert ratings(host, geforce) == replace(rated, base_mhz=None)


def test_a_mac_counts_nothing_and_its_log_is_not_read_around_every_test():
    host = FilesHost(system="Darwin", log=[LogLine(time=0.0, text="tinygpu: hello")])

    seen, follows = turned(host, opened(host, card()))

    assert (follows.functions, follows.logged, follows.replays) == ((), False, None)
    assert (seen.lines, seen.problems) == ((), ())


def test_a_log_that_may_not_be_read_is_a_problem_and_no_end():
    host = FilesHost(log=refused(1))

    seen, follows = turned(host, opened(host, card()))

    assert isinstance(follows, Window)
    assert seen.problems[0].startswith("The kernel log cannot be read")


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (Observations(seconds=1.0), ""),
        (Observations(aer=(counted("BadTLP", 1),), seconds=0.01), ""),
        (Observations(aer=(counted("BadTLP", 2),), seconds=60.0), ""),
        (
            Observations(aer=(counted("BadTLP", 2), counted("RxErr", 1)), seconds=2.0),
            "the GPU's own end of its link (0000:04:00.0) counted 3 corrected errors (BadTLP 2, RxErr 1) in 2 s",
        ),
        (
            Observations(aer=(counted("CmpltTO", 1, severity="nonfatal", address="0000:00:07.0"),), seconds=99.0),
            "bridge 0000:00:07.0 counted 1 uncorrectable error (nonfatal CmpltTO), expected none",
        ),
        (Observations(replays=1, seconds=1.0), ""),
        (Observations(replays=9, seconds=3.0), "NVML counted 9 packets"),
    ],
)
def test_links_alarm_at_a_rate_or_at_what_could_not_be_corrected(seen, says):
    found = link_alarms(seen, address=GPU)

    assert bool(found) == bool(says)
    assert says in "; ".join(found)
    assert alarms(seen, address=GPU) == found


def test_a_drivers_xid_alarms_for_its_own_gpu_only():
    seen = Observations(xids=parse([LogLine(time=1.0, text=FALLEN)]))

    assert "Xid 79" in driver_alarms(seen, address=GPU)[0]
    assert driver_alarms(seen, address="0000:09:00.0") == ()


def said(*texts: str) -> Observations:
    lines = [LogLine(time=1.0, text=text) for text in texts]
    watched = tuple(WatchedLine(time=1.0, text=text, about=subject(text)) for text in texts)
    return Observations(xids=parse(lines), lines=watched)


def xids(*numbers: int) -> Observations:
    return said(*(f"NVRM: Xid (PCI:0000:04:00): {number}, pid=1" for number in numbers))


def test_an_exception_of_the_iommu_alarms():
    seen = said("DART error: translation fault", "DART: initialized", "DART: mapped 4 pages by default")

    assert alarms(seen, address=GPU) == ("the host's IOMMU logged: DART error: translation fault",)


def test_an_exception_of_a_pcs_iommu_alarms_for_the_device_that_it_names():
    assert driver_alarms(said(REMAPPED), address=GPU) == (f"the host's IOMMU logged: {REMAPPED}",)
    assert driver_alarms(said(REMAPPED), address="0000:09:00.0") == ()


def test_a_kernel_that_is_broken_alarms_once_and_says_how_often():
    assert driver_alarms(said(STALL, "usb 1-1: new device", "Oops: 0000 [#1]"), address=GPU) == (
        f"the kernel logged: {STALL} (the first of 2 such lines)",
    )


@pytest.mark.parametrize(
    ("provoked", "left"),
    [
        ([], [13, 45, 48, 62, 79, 119, 154]),
        (["unplug"], [48, 62]),
        (["reset"], [48, 62]),
        (["kill"], [48, 62, 79, 119, 154]),
        (["sleep"], [48, 62, 79, 119, 154]),
        (["unbind", "unplug"], [48, 62]),
    ],
)
def test_what_is_done_to_a_device_explains_some_xids_and_not_others(provoked, left):
    seen = unexplained(xids(13, 45, 48, 62, 79, 119, 154), provoked)

    assert [xid.number for xid in seen.xids] == left


@pytest.mark.parametrize(
    ("provoked", "left"),
    [
        ([], ["BadTLP", "SDES", "CmpltTO", "MalfTLP"]),
        (["unplug"], ["MalfTLP"]),
        (["kill"], ["SDES", "CmpltTO", "MalfTLP"]),
        (["kill", "reset"], ["MalfTLP"]),
    ],
)
def test_what_is_done_to_a_device_explains_some_errors_and_not_others(provoked, left):
    grave = [counted(name, 1, severity="fatal") for name in ("SDES", "CmpltTO", "MalfTLP")]
    seen = unexplained(Observations(aer=(counted("BadTLP", 99), *grave), replays=99, seconds=1.0), provoked)

    assert [count.name for count in seen.aer] == left
    assert seen.replays == (0 if provoked else 99)


def test_nothing_explains_a_broken_kernel_an_exception_of_the_iommu_or_a_narrower_link():
    seen = replace(said(STALL, REMAPPED, FALLEN), narrowed="40 before, 20 now")

    assert len(alarms(unexplained(seen, ["unplug"]), address=GPU)) == 3
    assert driver_alarms(inexcusable(seen), address=GPU) == (f"the kernel logged: {STALL}",)
    assert inexcusable(seen).narrowed == seen.narrowed


def test_an_uncorrectable_error_that_is_only_logged_is_seen_through_a_window(bench):
    host, machine = bench.context.host, bench.rig.machine
    window = opened(host, bench.gpu)
    text = f"nvidia {GPU}: PCIe Bus Error: severity=Uncorrectable (Fatal), type=Transaction Layer, (Receiver ID)"
    bench.rig.do(machine.log, text)
    bench.rig.do(machine.site.count_error, 0, "CmpltTO", 1)
    seen, _ = turned(host, window)

    assert [str(count) for count in seen.aer] == ["0000:00:07.0 nonfatal CmpltTO: 1", f"{GPU} fatal not named: 1"]


def test_a_port_that_contained_an_error_alarms_where_nothing_was_pulled_and_only_on_the_way(bench):
    host, machine = bench.context.host, bench.rig.machine
    window = opened(host, bench.gpu)
    for port in ("0000:00:07.0", "0000:00:1c.0"):
        bench.rig.do(machine.log, f"pcieport {port}: DPC: containment event, status:0x1f01 source:0x0000")
    seen, _ = turned(host, window)

    assert [str(count) for count in seen.aer] == ["0000:00:07.0 fatal DPC: 1"]
    assert link_alarms(seen, address=GPU) == (
        "bridge 0000:00:07.0 counted 1 uncorrectable error (fatal DPC), expected none",
    )
    assert unexplained(seen, ["unplug"]).aer == ()


def test_an_enclosures_link_that_carries_less_than_before_alarms_and_one_that_left_does_not():
    lanes = "/sys/bus/thunderbolt/devices/0-1/rx_lanes"
    host = FilesHost(files={lanes: b"2\n", lanes.replace("lanes", "speed"): b"20.0 Gb/s\n"})
    gpu = replace(card(), enclosure=Router(uid="1", name="0-1", role=RouterRole.ENCLOSURE, domain="domain0"))
    window, told = opened(host, gpu), []
    for now in (b"2\n", b"1\n", b"1\n", b"2\n", None):
        host.files.update({lanes: now}) if now else host.files.pop(lanes)
        seen, window = turned(host, window)
        told.append(link_alarms(seen, address=GPU))

    fell = "the link of its enclosure became narrower: 40 Gb/s (2 × 20) before, 20 Gb/s (1 × 20) now"
    assert told == [(), (fell,), (), (), ()]


def test_a_lane_that_is_back_at_the_windows_end_was_seen_by_a_look_between():
    lanes = "/sys/bus/thunderbolt/devices/0-1/rx_lanes"
    host = FilesHost(files={lanes: b"2\n", lanes.replace("lanes", "speed"): b"20.0 Gb/s\n"})
    gpu = replace(card(), enclosure=Router(uid="1", name="0-1", role=RouterRole.ENCLOSURE, domain="domain0"))
    window, told = opened(host, gpu), []
    for between in ((b"2\n",), (b"1\n", b"2\n"), (None,), (b"1\n", None)):
        for now in between:
            host.files.update({lanes: now}) if now else host.files.pop(lanes)
            window = looked(host, window)
        host.files[lanes] = b"2\n"
        seen, window = turned(host, window)
        told.append(seen.narrowed)

    fell = "40 Gb/s (2 × 20) before, 20 Gb/s (1 × 20) meanwhile"
    assert told == ["", fell, "", fell]


def test_a_mac_is_asked_for_the_lanes_of_one_enclosure_without_the_whole_registry():
    mac = Bench("macbook-pro-usb4")
    host, gpu = mac.context.host, mac.gpu
    window, told = opened(host, gpu), []
    for lanes in (2, 1, 1, 2):
        mac.rig.do(lambda lanes=lanes: mac.rig.machine.site.retrain(0, lanes=lanes))
        seen, window = turned(host, window)
        told.append(seen.narrowed)
    other, _ = turned(host, replace(window, gpu=replace(gpu, enclosure=replace(gpu.enclosure, uid="0"))))
    mac.close()

    assert told == ["", "40 Gb/s (2 × 20) before, 20 Gb/s (1 × 20) now", "", ""]
    assert other.narrowed == ""
