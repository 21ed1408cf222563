"""Negative controls: what a bench must not take for a fault, and what discovery and bands make of it."""

from __future__ import annotations

import math

import pytest
from fault_rig import GPU, LINUX, MAC, draws, kind, machine_of, seconds
from machine_host import MachineHost
from sim_rig import MIB, rigs

from hil import registry
from hil.discovery import discover
from hil.model import Direction, LinkKind
from hil.sim import config_space as layout
from hil.sim import profile
from hil.sim.faults import choice
from hil.throughput import judge, sample

H2D, D2H, D2D = Direction.H2D, Direction.D2H, Direction.D2D
ROOT = "0000:00:07.0"
NAMES = [name for name in registry.names(choice.GROUP) if name.startswith("control-")]
BENCHES = [name for name in profile.shipped() if profile.load(name).gpu]


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


def test_there_are_five_and_they_say_that_they_are_none():
    assert len(NAMES) == 5
    assert all(kind(name).control for name in NAMES)
    assert not any(kind(name).control for name in registry.names(choice.GROUP) if name not in NAMES)


@pytest.mark.parametrize("bench", BENCHES)
@pytest.mark.parametrize("name", NAMES)
def test_discovery_has_nothing_to_complain_of_and_links_are_what_they_were(name, bench):
    found, well = (discover(MachineHost(machine_of(bench, *faults))) for faults in ([draws(name)[-1]], []))

    assert found.problems == well.problems
    assert [(g.id, g.link_kind, g.enclosure) for g in found.gpus] == [
        (g.id, g.link_kind, g.enclosure) for g in well.gpus
    ]


@pytest.mark.parametrize("bench", BENCHES)
@pytest.mark.parametrize("name", NAMES)
def test_every_path_stays_within_its_band(name, bench):
    for drawn in draws(name)[::-5]:  # the most severe, and some of the others
        machine = machine_of(bench, drawn)
        for gpu in machine.gpus:
            link = gpu.enclosure.spec.link_kind if gpu.enclosure else LinkKind.PCIE
            for direction, rate in ((H2D, gpu.spec.h2d), (D2H, gpu.spec.d2h)):
                carried = machine.hooks.change("bandwidth", gpu.index, direction, value=rate)
                copy_s = 64 * MIB / carried + gpu.spec.latency_us * 1e-6
                assert judge(64 * MIB / copy_s, link).ok, (drawn, gpu.spec.name, direction)
                assert carried < 1.02 * rate or name == "control-improvement"


@pytest.mark.parametrize("name", NAMES)
def test_large_copies_reach_the_band(switch_on, name):
    rig = switch_on(MAC, draws(name)[-1])

    for direction in (H2D, D2H):
        taken = sample(rig.engine(), rig.host().clock, direction, 64 * MIB, rounds=1, warmups=0)
        assert judge(taken.rate, LinkKind.USB4).ok


def status(machine, address: str) -> tuple[int, int]:
    """Generation and width that a function's link status tells."""
    raw = int.from_bytes(machine.config_read(machine.functions[address], layout.LINK_STATUS, 2), "little")
    return raw & 0xF, raw >> 4 & 0x3F


def test_a_tunnels_ports_say_gen1_x1_and_the_card_says_what_it_said():
    machine, well = machine_of(LINUX, "control-tunnel-gen1"), machine_of(LINUX)

    assert (status(machine, ROOT), status(well, ROOT)) == ((1, 1), (1, 4))
    assert status(machine, GPU) == status(well, GPU)
    whole = machine.config_read(machine.functions[ROOT], 0, 256)
    assert sum(a != b for a, b in zip(whole, machine.functions[ROOT].config.read(0, 256), strict=True)) == 1


def test_a_slots_port_keeps_its_own_link():
    machine = machine_of("mac-pro-slot", "control-tunnel-gen1")

    assert status(machine, "0000:00:01.0") == (4, 16)


def test_a_card_idles_at_gen1_and_works_at_full_speed(switch_on):
    rig, well = switch_on(LINUX, "control-idle-gen1:after_s=2"), switch_on(LINUX)
    assert rig.do(status, rig.machine, GPU) == (1, 4)

    assert seconds(rig) == pytest.approx(seconds(well))
    assert rig.do(status, rig.machine, GPU) == (4, 4)
    rig.host().clock.sleep(2.5)

    assert rig.do(status, rig.machine, GPU) == (1, 4)
    assert rig.do(status, rig.machine, ROOT) == (1, 4)
    assert rig.do(rig.machine.config_read, rig.machine.functions[GPU], 0, 4) == bytes.fromhex("de10b126")


@pytest.mark.parametrize(("night", "factor"), [(0, 1.0), (91, 1.01), (274, 0.99)])
def test_the_seasons_change_rates_by_a_hundredth(switch_on, night, factor):
    fault = f"control-seasonal-drift:night={night}"
    rig, well = switch_on(MAC, fault), switch_on(MAC)

    for direction in (H2D, D2H):
        assert seconds(rig, direction) == pytest.approx(seconds(well, direction) / factor, rel=1e-3)
    assert seconds(rig, D2D) == pytest.approx(seconds(well, D2D))


def test_a_slow_night_is_slow_all_night_and_behind_cables_only(switch_on):
    rig, well = switch_on("mac-pro-slot", "control-slow-night"), switch_on("mac-pro-slot")
    ratios = [seconds(rig, target=target, copies=4) / seconds(well, target=target, copies=4) for target in ("0", "1")]

    assert ratios == [pytest.approx(1), pytest.approx(1 / 0.97, rel=1e-3)]


def test_an_improvement_makes_copies_faster(switch_on):
    rig, well = switch_on(MAC, "control-improvement:factor=1.1"), switch_on(MAC)

    assert math.isclose(seconds(rig, D2H), seconds(well, D2H) / 1.1, rel_tol=0.01)
    assert seconds(rig, D2D) == pytest.approx(seconds(well, D2D))
