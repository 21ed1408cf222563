"""Faults of the host itself: a Mac that panics, a helper that hangs, an extension that nobody approved."""

from __future__ import annotations

import json
import random

import pytest
from fault_rig import LINUX, MAC, kind, machine_of
from machine_host import MachineHost
from sim_rig import rigs, there_and_back

from hil.bench import Wish, open_bench, parse
from hil.control import cannot_sleep
from hil.discovery import discover
from hil.errors import BenchFault, DeviceCrashed, DeviceGone, DeviceHung, DriverError, UsageError
from hil.model import MIB
from hil.pci import open_tinygpu
from hil.sim.faults import choice
from hil.sim.faults.base import Fault, HelperRequest, Trigger

NAMES = ("extension-not-approved", "helper-wedged", "panic-and-reboot")
REPORTS = "/Library/Logs/DiagnosticReports"
ALIAS = "rtx-4080-ut4g-dock"


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("severity", [0.0, 0.3, 0.7, 1.0])
def test_a_fault_of_the_host_acts_on_macs_alone_and_counts_once_there_is_one(name, severity):

    fault = kind(name)
    drawn = fault.draw(severity, random.Random(3))  # noqa: S311  (reproducible, not secret)
    text = f"{name}:" + ",".join(f"{key}={value}" for key, value in drawn.items())

    assert (fault.domain, fault.unscored) == ("host", "needs the lab Mac")
    assert choice.make(text, machine_of(MAC)).name == name
    with pytest.raises(UsageError, match=f"fault {name} happens on Darwin, and this machine runs Linux"):
        machine_of(LINUX, text)


# Panic ----------------------------------------------------------------------------------------------------------------


def test_who_is_connected_to_a_mac_that_panics_loses_it(switch_on):
    rig = switch_on(MAC, "panic-and-reboot")

    with pytest.raises(DeviceHung, match="hung up"):
        there_and_back(rig)


def test_a_mac_is_up_again_as_another_boot_with_a_report_of_its_panic(switch_on):
    rig = switch_on(MAC, "panic-and-reboot:phase=idle,at_time=2,seconds=45")
    host = rig.host()
    before = host.facts().boot_id
    assert host.list(REPORTS) == []
    with pytest.raises(DeviceHung):
        host.clock.sleep(10.0)

    again = rig.host()

    assert again.facts().boot_id != before
    assert again.clock.now() == pytest.approx(47.0)
    (name,) = again.list(REPORTS)
    head, body = again.read(f"{REPORTS}/{name}").decode().split("\n", 1)
    assert name.endswith(".panic")
    assert json.loads(head)["bug_type"] == "210"
    assert "DART" in json.loads(body)["panicString"]
    assert again.kernel_log()[0].text.startswith("Darwin Kernel Version")
    assert there_and_back(rig) == [b"\1" * 4096]


def test_a_cable_that_was_out_is_out_after_the_boot():
    machine = machine_of(MAC, "panic-and-reboot:phase=idle,at_time=2,seconds=10")
    machine.detach(machine.enclosures[0])

    machine.clock.sleep("hand", 20.0)

    assert not machine.enclosures[0].visible
    assert not machine.gpus[0].reachable


def test_a_card_in_a_slot_is_enumerated_anew_by_the_boot():
    machine = machine_of("mac-pro-slot", "panic-and-reboot:phase=idle,at_time=2,seconds=10")
    before = dict(machine.functions)

    machine.clock.sleep("hand", 20.0)

    assert list(machine.functions) == list(before)
    assert all(gpu.driven for gpu in machine.gpus)
    assert machine.gpus[1].function is not before[machine.gpus[1].function.address]


def test_a_mac_that_is_down_does_not_fall_again():
    machine = machine_of(MAC)
    machine.site.crash(10.0, "first")
    machine.clock.at(5.0, lambda: machine.site.crash(10.0, "second"))

    machine.clock.sleep("hand", 12.0)

    assert not machine.absence.away
    assert len(machine.tree.list(REPORTS)) == 1


def test_linux_keeps_the_last_words_of_a_crash_where_firmware_has_them():
    machine = machine_of(LINUX)

    machine.site.crash(10.0, "BUG: unable to handle page fault")
    machine.clock.sleep("hand", 12.0)

    assert b"unable to handle" in machine.tree.read("/sys/fs/pstore/dmesg-efi-1")
    assert [gpu.driven for gpu in machine.gpus] == [True, True]


@pytest.mark.slow
def test_a_bench_ends_what_ran_on_a_host_that_went_down_and_goes_on_when_it_is_up(tmp_path):
    faults = ["panic-and-reboot:phase=copy,at_bytes=33554432,seconds=90"]
    bench = open_bench(Wish(selection=parse("sim"), folder=tmp_path, faults=faults))
    try:
        device = bench.device(ALIAS)
        with pytest.raises(DeviceCrashed, match=r"transfer:repeat on .* was cut off: the host under test went down"):
            device.call("transfer:repeat", nbytes=16 * MIB, copies=8, epoch=1)

        device.ensure_healthy()

        assert device.call("transfer:round_trip", nbytes=4096, epoch=7)["intact"]
        assert any("went down" in note for note in bench.notes)
    finally:
        bench.close()


# The helper -----------------------------------------------------------------------------------------------------------


def test_after_a_removal_nothing_that_looks_at_the_bus_comes_back(switch_on):
    rig = switch_on(MAC, "helper-wedged")
    host = rig.host()
    assert host.run(["ioreg", "-a", "-l"], timeout=5.0).returncode == 0

    rig.do(rig.machine.detach, rig.machine.enclosures[0])

    for command in ("ioreg", "/usr/sbin/system_profiler"):
        assert host.run([command], timeout=5.0).timed_out
    assert host.run(["sw_vers"], timeout=5.0).returncode == 0


def test_a_wedged_server_neither_answers_nor_hangs_up(switch_on):
    rig = switch_on(MAC, "helper-wedged")
    host = rig.host()
    function = open_tinygpu(host, "a card")

    rig.do(rig.machine.detach, rig.machine.enclosures[0])

    with pytest.raises(DeviceGone), host.clock.operation("read", 7.0):
        function.config_read(0, 4)
    assert rig.machine.clock.now() == 7.0  # cut off with its client, at the deadline


def test_a_server_that_is_well_ends_with_its_gpu(switch_on):
    rig = switch_on(MAC)
    function = open_tinygpu(rig.host(), "a card")

    rig.do(rig.machine.detach, rig.machine.enclosures[0])

    with pytest.raises(DeviceGone, match="hung up"):
        function.config_read(0, 4)


def test_a_fault_may_let_the_server_refuse_in_the_middle(switch_on):
    class Refuses(Fault):
        name = "refuses"

        def on_helper(self, request: HelperRequest) -> None:
            request.refused = request.command == "CFG_READ"

    rig = switch_on(MAC, lambda site: Refuses(Trigger(), site))
    function = open_tinygpu(rig.host(), "a card")

    with pytest.raises(DriverError, match="Driver not available"):
        function.config_read(0, 4)


# The extension --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "said"), [("waiting", "activated waiting for user"), ("leaving", "terminated")])
def test_without_approval_the_bus_shows_a_card_that_nothing_opens(switch_on, state, said):
    rig = switch_on(MAC, f"extension-not-approved:state={state}")
    host = rig.host()

    assert said.encode() in host.run(["systemextensionsctl", "list"], timeout=5.0).stdout
    assert len(discover(MachineHost(rig.machine)).gpus) == 1
    assert b"TinyGPUDriver" not in host.run(["ioreg", "-a", "-l"], timeout=5.0).stdout
    with pytest.raises(DeviceGone):
        rig.engine()
    with pytest.raises(BenchFault, match="Driver not available"):
        open_tinygpu(host, "a card")


def test_approval_that_is_taken_away_later_takes_the_device_from_who_has_it(switch_on):
    rig = switch_on(MAC, "extension-not-approved:at_time=5")
    engine = rig.engine()
    engine.memory()

    rig.host().clock.sleep(6.0)

    with pytest.raises(DeviceGone, match="taken from this driver"):
        engine.memory()


def test_approval_that_is_given_brings_the_driver_back():
    machine = machine_of(MAC, "extension-not-approved")
    assert not machine.gpus[0].driven

    machine.site.approve("activated enabled")

    assert machine.gpus[0].driven


def test_linux_knows_no_extensions():
    machine = machine_of(LINUX)

    machine.site.approve("activated waiting for user")

    assert machine.gpus[0].driven
    assert cannot_sleep(MachineHost(machine)) == ""
