"""Faults of links: what trains to less says so everywhere, what is merely slow says nothing."""

from __future__ import annotations

import json
import plistlib

import pytest
from fault_rig import GPU, LINUX, MAC, PCI, kind, machine_of, said, seconds, text
from machine_host import MachineHost
from sim_rig import MIB, rigs, there_and_back

from hil.discovery import discover
from hil.model import Direction

H2D, D2H, D2D = Direction.H2D, Direction.D2H, Direction.D2D
ROUTER = "/sys/bus/thunderbolt/devices/0-1"
NAMES = ("bandwidth-step", "bonding-lost", "crc-retries", "link-downgrade", "one-way-slow", "shared-tunnel")


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


@pytest.mark.parametrize("name", NAMES)
def test_bytes_arrive_whatever_the_link_does(switch_on, name):
    rig = switch_on(None, name)

    assert there_and_back(rig, 4 * MIB) == [b"\1" * 4 * MIB]


# Link downgrade -------------------------------------------------------------------------------------------------------


def links(name: str, *faults: str) -> dict[str, float | None]:
    """Gb/s of every enclosure as discovery has it."""
    found = discover(MachineHost(machine_of(name, *faults)))
    return {e.router.device_name: e.router.link.gbps for e in found.enclosures}


@pytest.mark.parametrize(
    ("parameters", "gbps"), [("lanes=1", 20.0), ("lane_gbps=10,lanes=2", 20.0), ("lane_gbps=10,lanes=1", 10.0)]
)
@pytest.mark.parametrize("bench", [LINUX, MAC])
def test_discovery_sees_what_a_link_trained_to(bench, parameters, gbps):
    assert set(links(bench).values()) == {40.0}
    assert set(links(bench, f"link-downgrade:{parameters}").values()) == {gbps}


def test_only_the_enclosure_of_the_gpu_meant_trains_to_less():
    assert links(LINUX, "link-downgrade:gpu=1") == {"eGPU Node Titan": 40.0, "TH3P4G3": 20.0}


def test_a_link_that_trained_badly_once_trains_well_when_it_is_plugged_in_again(switch_on):
    rig = switch_on(LINUX, "link-downgrade:gpu=0,times=1")
    enclosure = rig.machine.enclosures[0]
    assert text(rig, f"{ROUTER}/rx_lanes") == "1"
    assert seconds(rig) > 1.9 * seconds(switch_on(LINUX))

    rig.do(rig.machine.detach, enclosure)
    rig.host().clock.sleep(1.0)
    rig.do(rig.machine.attach, enclosure)
    rig.host().clock.sleep(5.0)

    assert text(rig, f"{ROUTER}/rx_lanes") == "2"


def test_a_link_that_trains_anew_in_use_shows_it_at_once_and_tells_listeners(switch_on):
    rig = switch_on(LINUX, f"link-downgrade:when=use,lane_gbps=10,lanes=2,gpu=0,at_bytes={32 * MIB}")
    told = []
    rig.machine.listeners.append(told.append)
    assert (text(rig, f"{ROUTER}/rx_speed"), text(rig, f"{ROUTER}/tx_lanes")) == ("20.0 Gb/s", "2")

    slow = seconds(rig, copies=4)

    assert (text(rig, f"{ROUTER}/rx_speed"), text(rig, f"{ROUTER}/tx_lanes")) == ("10.0 Gb/s", "2")
    assert [(event.action, event.subsystem, event.path) for event in told] == [("change", "thunderbolt", "0-1")]
    assert not [line for line in said(rig) if "bonding" in line]
    assert slow == pytest.approx(1.5 * seconds(switch_on(LINUX), copies=4), rel=0.1)
    assert text(rig, "/sys/bus/thunderbolt/devices/1-1/rx_speed") == "20.0 Gb/s"


def test_a_link_is_never_trained_to_more_than_it_can():
    machine = machine_of(LINUX)

    machine.site.retrain(0, lane_gbps=40.0, lanes=4)

    assert machine.site.link_gbps(0) == 40.0
    assert not [line for line in machine.lines if "bonding" in line.text]


def test_a_card_in_a_slot_has_no_link_to_train():
    machine = machine_of("mac-pro-slot")
    slot = next(gpu.index for gpu in machine.gpus if gpu.enclosure is None)

    machine.site.retrain(slot, lanes=1)

    assert machine.site.link_gbps(slot) is None


def test_a_cable_that_is_out_trains_to_nothing(switch_on):
    rig = switch_on(LINUX)
    rig.do(rig.machine.site.remove, 0)

    rig.do(rig.machine.site.retrain, 0)

    assert rig.machine.site.link_gbps(0) == 40.0


def test_a_mac_shows_a_retrained_link_in_both_its_reports():
    machine = machine_of(MAC)
    machine.site.retrain(0, lanes=1)

    profiler = json.loads(machine.face.run(["system_profiler", "SPThunderboltDataType", "-json"])[0].stdout)
    registry = plistlib.loads(machine.face.run(["ioreg", "-a", "-l", "-r", "-c", "IOThunderboltPort"])[0].stdout)

    speeds = [bus["receptacle_1_tag"]["current_speed_key"] for bus in profiler["SPThunderboltDataType"]]
    assert min(speeds) == "20 Gb/s"
    assert {(port["Current Link Speed"], port["Current Link Width"]) for port in registry} == {(4, 1), (0, 0)}


def test_no_lane_runs_at_a_speed_that_there_is_not():
    with pytest.raises(ValueError, match="10, 20 or 40"):
        kind("link-downgrade").Parameters(lane_gbps=30)


def test_a_downgrade_to_all_there_is_cannot_be_seen():
    parameters = kind("link-downgrade").Parameters(lane_gbps=40, lanes=2)
    assert "no enclosure links at more" in kind("link-downgrade").below_sight(parameters)


# Bonding --------------------------------------------------------------------------------------------------------------


def test_bonding_is_lost_in_the_middle_of_a_copy_and_comes_back(switch_on):
    rig = switch_on(LINUX, f"bonding-lost:gpu=0,at_bytes={8 * MIB},recovery_s=3")
    host, told = rig.host(), []
    rig.machine.listeners.append(told.append)

    there_and_back(rig, 16 * MIB)

    assert text(rig, f"{ROUTER}/rx_lanes") == "1"
    assert [line for line in said(rig) if "bonding" in line] == [
        "thunderbolt 0000:00:0d.2: 0:1: timeout enabling lane bonding"
    ]
    host.clock.sleep(4.0)
    assert text(rig, f"{ROUTER}/rx_lanes") == "2"
    assert [(event.action, event.path) for event in told] == [("change", "0-1")] * 2
    assert seconds(rig) == pytest.approx(seconds(switch_on(LINUX)), rel=1e-3)


def test_bonding_lost_behind_another_enclosure_is_logged_with_its_own_route(switch_on):
    rig = switch_on("linux-daisy-chain")
    rig.do(lambda: rig.machine.site.retrain(1, lanes=1))

    assert said(rig)[-1] == "thunderbolt 0000:00:0d.2: 1:3: timeout enabling lane bonding"


def test_an_enclosure_is_no_faster_than_the_one_in_front_of_it(switch_on):
    rig = switch_on("linux-daisy-chain")
    before = seconds(rig, target="1")

    rig.do(lambda: rig.machine.site.retrain(0, lanes=1))

    assert seconds(rig, target="1") == pytest.approx(2 * before, rel=0.01)


def test_bonding_is_not_lost_for_good_where_nobody_says_so():
    fault = kind("bonding-lost")
    assert fault.below_sight(fault.Parameters()) == ""
    assert "over in less than" in fault.below_sight(fault.Parameters(recovery_s=0.01))


# Rates ----------------------------------------------------------------------------------------------------------------


def ratio(switch_on, fault: str, direction: Direction, *, bench: str | None = None, target: str = "0") -> float:
    """By how much longer a copy takes."""
    return seconds(switch_on(bench, fault), direction, target=target, copies=4) / seconds(
        switch_on(bench), direction, target=target, copies=4
    )


def test_a_step_slows_down_both_directions_from_its_byte_on_and_nothing_says_so(switch_on):
    rig, well = switch_on(LINUX, f"bandwidth-step:factor=0.5,gpu=0,at_bytes={64 * MIB}"), switch_on(LINUX)
    before = said(rig)

    assert seconds(rig, copies=4) == pytest.approx(seconds(well, copies=4))
    assert seconds(rig, D2H, copies=4) == pytest.approx(2 * seconds(well, D2H, copies=4), rel=0.01)
    assert seconds(rig, copies=4) == pytest.approx(2 * seconds(well, copies=4), rel=0.01)
    assert seconds(rig, D2D) == pytest.approx(seconds(well, D2D))
    assert seconds(rig, target="1") == pytest.approx(seconds(well, target="1"))
    assert said(rig) == before
    assert text(rig, f"{ROUTER}/rx_lanes") == "2"


@pytest.mark.parametrize(("slow", "well"), [(H2D, D2H), (D2H, H2D)])
def test_one_way_is_slow_and_the_other_is_not(switch_on, slow, well):
    fault = f"one-way-slow:direction={slow},factor=0.25"

    assert ratio(switch_on, fault, slow) == pytest.approx(4, rel=0.01)
    assert ratio(switch_on, fault, well) == pytest.approx(1)
    assert ratio(switch_on, fault, D2D) == pytest.approx(1)


def test_what_nobody_used_of_a_tunnel_costs_nothing_when_it_is_taken(switch_on):
    assert ratio(switch_on, "shared-tunnel:stolen_gbps=8", H2D, bench=LINUX) == pytest.approx(1)


def test_pcie_gets_what_the_others_leave_it_and_never_nothing(switch_on):
    left = 15e9 / 8 * 128 / 152
    assert ratio(switch_on, "shared-tunnel:stolen_gbps=25", H2D) == pytest.approx(2e9 / left, rel=0.01)
    assert ratio(switch_on, "shared-tunnel:stolen_gbps=120", H2D) < 20


def test_a_tunnel_is_shared_some_of_the_time(switch_on):
    always = ratio(switch_on, "shared-tunnel:stolen_gbps=35", H2D)
    at_times = ratio(switch_on, "shared-tunnel:stolen_gbps=35,duty=0.5", H2D)

    assert 1.2 < at_times < 0.8 * always


def test_a_display_takes_what_goes_to_the_enclosure_only(switch_on):
    fault = "shared-tunnel:stolen_gbps=30,direction=H2D"

    assert ratio(switch_on, fault, H2D) > 1.5
    assert ratio(switch_on, fault, D2H) == pytest.approx(1)


def test_retries_cost_as_much_time_as_they_say_and_count_nowhere(switch_on):
    rig, well = switch_on(LINUX, "crc-retries:errors_per_gb=50000,retry_us=10,gpu=0"), switch_on(LINUX)
    before = said(rig)

    more = seconds(rig, copies=16) - seconds(well, copies=16)

    assert more == pytest.approx(16 * 16 * MIB / 1e9 * 0.5, rel=0.1)
    assert seconds(rig, D2D) == pytest.approx(seconds(well, D2D))
    assert "BadTLP 0" in text(rig, f"{PCI}/{GPU}/aer_dev_correctable")
    assert said(rig) == before


@pytest.mark.parametrize("fault", ["crc-retries", "shared-tunnel", "bonding-lost", "link-downgrade:when=use"])
def test_a_card_in_a_slot_has_no_cable_to_suffer_from(switch_on, fault):
    assert ratio(switch_on, fault, H2D, bench="mac-pro-slot") == pytest.approx(1)


# What can be seen -----------------------------------------------------------------------------------------------------


def test_a_step_is_seen_by_the_history_of_nights_unless_nights_differ_by_as_much():
    fault = kind("bandwidth-step")

    assert fault.below_sight(fault.Parameters(factor=0.9)) == ""
    assert "nights differ" in fault.below_sight(fault.Parameters(factor=0.98))
    assert not fault.unscored


@pytest.mark.parametrize(
    ("name", "seen", "unseen"),
    [
        ("one-way-slow", {"factor": 0.94}, {"factor": 0.95}),
        ("crc-retries", {"errors_per_gb": 2100}, {"errors_per_gb": 2000}),
        ("shared-tunnel", {"stolen_gbps": 13}, {"stolen_gbps": 13, "duty": 0.5}),
    ],
)
def test_a_rate_is_below_sight_where_nights_differ_by_as_much(name, seen, unseen):
    fault = kind(name)

    assert fault.below_sight(fault.Parameters(**seen)) == ""
    assert "nights differ" in fault.below_sight(fault.Parameters(**unseen))
