"""The window around each test: what moved between two readings, and what of it alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from operations_rig import Bench

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
    link_alarms,
    opened,
    parse,
    ratings,
    summary,
    turned,
)
from tests.files_host import FilesHost, refused

GPU = "0000:04:00.0"
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
    assert ratings(bench.context.host, bench.gpu) == Ratings(power_w=320.0, highest_mhz=2520)


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


def test_an_exception_of_the_iommu_alarms():
    line = WatchedLine(time=1.0, text="DART error: translation fault", about="dart")

    assert alarms(Observations(lines=(line,)), address=GPU) == (
        "the host's IOMMU logged: DART error: translation fault",
    )


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
