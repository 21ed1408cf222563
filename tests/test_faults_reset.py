"""Faults of resets: how long, what comes back, what is kept that should not be, what only a cold cycle cures."""

from __future__ import annotations

import pytest
from fault_rig import GPU, LINUX, machine_of
from sim_rig import MIB, Rig, rigs

from hil.errors import DeviceGone, DriverError
from hil.model import Gpu, PciFunction
from hil.pci import open_function, restore, snapshot, wait_ready
from hil.sim.machine import RETRY_STATUS, Machine

NAMES = (
    "config-not-restored", "context-survives-reset", "crs-for-ever", "poisoned-second-open", "reset-times-out",
    "vram-survives-reset",
)  # fmt: skip
CONFIG, RESET = f"/sys/bus/pci/devices/{GPU}/config", f"/sys/bus/pci/devices/{GPU}/reset"
CARD = Gpu(
    id="a card",
    name="a card",
    function=PciFunction(address=GPU, vendor_id=0x10DE, device_id=0x26B1, class_code=0x030000),
)


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


def wait(machine: Machine, seconds: float) -> None:
    machine.clock.sleep("hand", seconds)


def reset(machine: Machine, *, restores: bool = True) -> None:
    machine.reset(machine.functions[GPU], "flr", restores_config=restores)
    wait(machine, 1.0)


def cold_cycle(machine: Machine) -> None:
    machine.power(machine.enclosures[0], on=False)
    wait(machine, 5.0)
    machine.power(machine.enclosures[0], on=True)
    wait(machine, 10.0)


def replug(machine: Machine) -> None:
    machine.detach(machine.enclosures[0])
    wait(machine, 1.0)
    machine.attach(machine.enclosures[0])
    wait(machine, 10.0)


# Time -----------------------------------------------------------------------------------------------------------------


def test_a_function_is_silent_for_so_long():
    machine = machine_of(LINUX, "reset-times-out:ms=15000")
    reset(machine)

    wait(machine, 13.9)
    assert not machine.gpus[0].reachable
    wait(machine, 0.2)

    assert machine.gpus[0].reachable


def test_a_function_may_be_silent_for_ever_and_the_kernel_gives_up(switch_on):
    rig = switch_on(LINUX, "reset-times-out")
    host = rig.host()

    with pytest.raises(OSError, match="Inappropriate ioctl"):
        host.write(RESET, b"1")

    assert host.pread(CONFIG, 4, 0) == b"\xff" * 4
    assert any("not ready 65535ms after FLR; giving up" in line.text for line in host.kernel_log())


def test_a_reset_within_what_a_bench_allows_cannot_be_seen():
    machine = machine_of(LINUX, "reset-times-out:ms=9000")
    fault = machine.hooks.faults[0]

    assert "10000 ms" in type(fault).below_sight(fault.parameters)


def test_a_function_that_asks_to_be_tried_again_does_so_until_its_supply_was_off():
    machine = machine_of(LINUX, "crs-for-ever")
    function = machine.functions[GPU]
    reset(machine)
    wait(machine, 1e6)
    assert int.from_bytes(machine.config_read(function, 0, 4), "little") == RETRY_STATUS
    assert machine.bar_read(function, 0, 0, 4) == b"\xff" * 4
    assert not machine.gpus[0].driven

    replug(machine)
    assert GPU not in machine.functions
    cold_cycle(machine)

    assert machine.gpus[0].driven


def test_a_second_reset_does_not_help_against_retry_status():
    machine = machine_of(LINUX, "crs-for-ever:times=1")

    reset(machine)
    reset(machine)

    assert not machine.gpus[0].reachable


def test_retry_status_ends_at_its_time_whoever_looks_first():
    machine = machine_of(LINUX)
    function = machine.functions[GPU]
    function.retrying, function.retry_until = True, 5.0
    assert not machine.gpus[0].reachable

    wait(machine, 5.0)

    assert machine.config_read(function, 0, 2) == b"\xde\x10"
    assert machine.gpus[0].driven


# Config space ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("registers", "lost"), [("command", "COMMAND"), ("bars", "BAR0"), ("both", "BAR0")])
def test_registers_are_lost_and_take_nothing_until_a_replug(switch_on, registers, lost):
    rig = switch_on(LINUX, f"config-not-restored:registers={registers}")
    host = rig.host()
    access = open_function(host, CARD)
    saved = snapshot(access)
    access.reset("flr")
    wait_ready(access, host.clock, 10.0)

    with pytest.raises(DriverError, match=f"did not take.*{lost}"):
        restore(access, saved)
    with rig.machine.clock.lock:
        rig.machine.detach(rig.machine.enclosures[0])
    host.clock.sleep(1.0)
    with rig.machine.clock.lock:
        rig.machine.attach(rig.machine.enclosures[0])
    host.clock.sleep(10.0)

    assert host.pread(CONFIG, 2, 4) == b"\x06\x00"


def test_what_lies_beside_a_lost_register_is_written():
    machine = machine_of(LINUX, "config-not-restored:registers=command")
    function = machine.functions[GPU]
    reset(machine)

    machine.config_write(function, 0, bytes(4) + b"\x06\x00" + bytes(6) + b"\x10")

    assert machine.config_read(function, 4, 2) == bytes(2)
    assert machine.config_read(function, 12, 1) == b"\x10"


# What survives --------------------------------------------------------------------------------------------------------


def upload(rig: Rig, byte: bytes) -> tuple:
    engine = rig.engine()
    there, here = engine.alloc(MIB), engine.host_alloc(MIB)
    here.view[:] = byte * MIB
    engine.upload(there, here, MIB)
    engine.synchronize()
    return engine, there, here


def read(rig: Rig) -> bytes:
    engine = rig.engine()
    there, here = engine.alloc(MIB), engine.host_alloc(MIB)
    engine.download(here, there, MIB)
    engine.synchronize()
    return bytes(here.view)


@pytest.mark.parametrize(("faults", "seen"), [((), b"\0"), (("vram-survives-reset",), b"x")])
def test_the_next_owner_reads_what_the_reset_left(switch_on, faults, seen):
    rig = switch_on(LINUX, *faults)
    _client = upload(rig, b"x")

    rig.host().write(RESET, b"1")

    assert read(rig) == seen * MIB


def test_a_context_that_survives_is_answered_with_other_bytes(switch_on):
    rig = switch_on(LINUX, "context-survives-reset")
    engine, there, here = upload(rig, b"x")

    rig.host().write(RESET, b"1")
    engine.download(here, there, MIB)
    engine.synchronize()

    assert bytes(here.view) == bytes(MIB)


def test_a_context_from_before_a_reset_is_refused_where_nothing_is_wrong(switch_on):
    rig = switch_on(LINUX)
    engine, there, here = upload(rig, b"x")

    rig.host().write(RESET, b"1")

    with pytest.raises(DriverError, match="CONTEXT_LOST"):
        engine.download(here, there, MIB)


# Opening --------------------------------------------------------------------------------------------------------------


def test_the_open_after_the_good_ones_dies_and_so_do_all_later_ones(switch_on):
    rig = switch_on(LINUX, "poisoned-second-open:opens=2,gpu=0,times=1")
    rig.engine().close()
    rig.engine().close()

    for _ in range(2):
        with pytest.raises(DeviceGone, match="driver call open"):
            rig.engine()

    rig.engine("1").close()
    assert rig.machine.hooks.faults[0].struck == 1


@pytest.mark.parametrize(("cure", "helps"), [(reset, False), (replug, False), (cold_cycle, True)])
def test_nothing_but_a_cold_cycle_cures_a_poisoned_card(switch_on, cure, helps):
    rig = switch_on(LINUX, "poisoned-second-open")
    rig.engine().close()
    with pytest.raises(DeviceGone):
        rig.engine()

    cure(rig.machine)

    if helps:
        rig.engine().close()
    else:
        with pytest.raises(DeviceGone):
            rig.engine()
