"""Faults of PCI Express: errors that are counted and logged, reads that come back as ones, a card off the bus."""

from __future__ import annotations

import pytest
from fault_rig import GPU, LINUX, MAC, PCI, kind, machine_of, said, seconds, text
from sim_rig import MIB, rigs, there_and_back

from hil.errors import DeviceGone
from hil.hosts.base import LogLine
from hil.hosts.nvml_session import GPU_IS_LOST
from hil.hosts.wires.driver import Call, Status
from hil.model import Direction
from hil.sim import aer
from hil.sim import config_space as layout
from hil.sim.nvml import Nvml
from hil.watch import parse, subject

H2D, D2H = Direction.H2D, Direction.D2H
ROOT = "0000:00:07.0"
NAMES = ("aer-flood", "completion-timeout", "off-the-bus", "small-payload")


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


def counters(machine, address: str, severity: str) -> dict[str, int]:
    lines = machine.tree.read(f"{PCI}/{address}/aer_dev_{severity}").decode().splitlines()
    return {name: int(count) for name, count in map(str.split, lines) if int(count)}


def errors(machine) -> list[str]:
    return [line.text for line in machine.lines if "AER" in line.text or "Bus Error" in line.text]


# Counting errors ------------------------------------------------------------------------------------------------------


def test_a_correctable_error_is_counted_by_the_card_and_logged_as_a_kernel_does():
    machine = machine_of(LINUX)
    before = len(machine.lines)

    machine.site.count_error(0, "BadTLP")

    assert counters(machine, GPU, "correctable") == {"BadTLP": 1, "TOTAL_ERR_COR": 1}
    assert [line.text for line in list(machine.lines)[before:]] == [
        f"pcieport {ROOT}: AER: Correctable error message received from {GPU}",
        f"nvidia {GPU}: PCIe Bus Error: severity=Correctable, type=Data Link Layer, (Receiver ID)",
        f"nvidia {GPU}:   device [10de:26b1] error status/mask=00000040/00002000",
        f"nvidia {GPU}:    [ 6] BadTLP                ",
    ]
    assert counters(machine, ROOT, "correctable") == {}
    assert counters(machine, "0000:24:00.0", "correctable") == {}


def test_an_answer_that_did_not_come_is_counted_by_the_root_port_that_asked():
    machine = machine_of(LINUX)

    machine.site.count_error(0, "CmpltTO", 2)

    assert counters(machine, ROOT, "nonfatal") == {"CmpltTO": 2, "TOTAL_ERR_NONFATAL": 2}
    assert counters(machine, GPU, "nonfatal") == {}
    assert errors(machine) == [
        f"pcieport {ROOT}: AER: Multiple Uncorrectable (Non-Fatal) error message received from {ROOT}",
        f"pcieport {ROOT}: PCIe Bus Error: severity=Uncorrectable (Non-Fatal), type=Transaction Layer, (Requester ID)",
    ]
    assert machine.lines[-1].text.endswith("[14] CmpltTO                (First)")


@pytest.mark.parametrize(
    ("kind_of_error", "severity", "layer", "agent"),
    [
        ("RxErr", "correctable", "Physical", "Receiver"),
        ("Rollover", "correctable", "Data Link", "Transmitter"),
        ("MalfTLP", "fatal", "Transaction", "Receiver"),
        ("DLP", "fatal", "Data Link", "Receiver"),
        ("UnsupReq", "nonfatal", "Transaction", "Receiver"),
    ],
)
def test_each_error_has_its_severity_layer_and_agent(kind_of_error, severity, layer, agent):
    machine = machine_of(LINUX)

    machine.site.count_error(0, kind_of_error)

    assert counters(machine, GPU, severity)[kind_of_error] == 1
    assert f"type={layer} Layer, ({agent} ID)" in errors(machine)[1]


def test_only_so_many_errors_are_printed_in_a_while_and_all_are_counted():
    machine = machine_of(LINUX)
    for _ in range(25):
        machine.site.count_error(0, "RxErr")
    assert len(errors(machine)) == 2 * 10

    machine.clock.sleep("test", 6.0)
    machine.site.count_error(0, "RxErr")

    assert len(errors(machine)) == 2 * 11
    assert counters(machine, GPU, "correctable")["RxErr"] == 26


def test_linux_clears_the_registers_that_told_of_an_error_and_macos_leaves_them():
    linux, mac = machine_of(LINUX), machine_of(MAC)
    for machine in (linux, mac):
        machine.site.count_error(0, "BadTLP")
    at, size = layout.AER + 0x10, 4
    gpu = mac.gpus[0].function

    assert mac.config_read(gpu, at, size) == (1 << 6).to_bytes(4, "little")
    assert mac.config_read(gpu, layout.DEVICE_STATUS, 2) == b"\1\0"
    assert linux.config_read(linux.gpus[0].function, at, size) == bytes(4)
    assert errors(mac) == []
    mac.config_write(gpu, at, b"\xff" * 4)
    assert mac.config_read(gpu, at, size) == bytes(4)


def test_what_is_not_there_counts_nothing_and_what_there_is_not_is_no_error():
    machine = machine_of(LINUX)
    function = machine.gpus[0].function
    function.ready = False
    machine.site.count_error(0, "BadTLP")
    assert function.aer == {}

    machine.site.remove(0)
    machine.site.count_error(0, "CmpltTO")
    assert machine.functions[ROOT].aer == {}

    with pytest.raises(ValueError, match="no AER error 'BadLuck'; known: RxErr, BadTLP"):
        aer.severity("BadLuck")


# AER flood ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("per_second", "expected"), [(1, 10), (30, 300), (5000, 50_000)])
def test_errors_come_as_often_as_is_said(switch_on, per_second, expected):
    rig = switch_on(LINUX, f"aer-flood:per_second={per_second},kind=RxErr,gpu=0")

    rig.host().clock.sleep(10.01)

    assert counters(rig.machine, GPU, "correctable")["RxErr"] == pytest.approx(expected, abs=1)
    assert counters(rig.machine, "0000:24:00.0", "correctable") == {}
    assert len(errors(rig.machine)) <= 2 * 10 * 3
    assert rig.machine.hooks.faults[0].struck > 0


def test_replays_are_told_by_nvml_too(switch_on):
    rig = switch_on(LINUX, "aer-flood:per_second=10,kind=Timeout,gpu=0")

    rig.host().clock.sleep(2.01)

    assert nvml(rig, "nvmlDeviceGetPcieReplayCounter") == {"value": 20}


def test_a_flood_begins_when_it_is_told_to(switch_on):
    rig = switch_on(LINUX, "aer-flood:per_second=1,at_time=5")
    rig.host().clock.sleep(4.5)
    assert errors(rig.machine) == []

    rig.host().clock.sleep(1.0)

    assert len(errors(rig.machine)) == 4  # two lines a card


def test_less_than_one_error_a_second_is_below_sight():
    fault = kind("aer-flood")
    assert fault.below_sight(fault.Parameters(per_second=1)) == ""
    assert "less than 1 error" in fault.below_sight(fault.Parameters(per_second=0.9))


def nvml(rig, function: str, index: int = 0, **given: object) -> dict[str, object]:
    """What NVML answers of a card, or the code that it refuses with."""
    library = rig.do(Nvml, rig.machine)
    handle = rig.do(library.answer, "nvmlDeviceGetHandleByIndex_v2", {"index": index})["values"].get("device")
    reply, _, _ = rig.do(library.request, {"function": function, "given": {"device": handle, **given}}, b"")
    return reply["values"] or {"code": reply["code"]}


# Completion timeout ---------------------------------------------------------------------------------------------------


def test_a_register_reads_as_ones_and_the_root_port_says_why():
    machine = machine_of(LINUX, "completion-timeout:space=config,length=4,gpu=0,times=1")
    function, other = machine.functions[GPU], machine.functions["0000:24:00.0"]
    right = machine.config_read(other, 0, 4096)

    seen = machine.config_read(function, 0, 64)

    assert seen[:4] == b"\xff" * 4
    assert seen[4:16] == function.config.read(4, 12)
    assert counters(machine, ROOT, "nonfatal")["CmpltTO"] == 1
    assert machine.config_read(function, 0, 4) == bytes.fromhex("de10b126")
    assert right == other.config.read(0, 4096)


def test_reads_beside_the_range_and_of_bridges_are_answered():
    machine = machine_of(LINUX, "completion-timeout:space=config,start=16,length=8")
    function, bridge = machine.functions[GPU], machine.functions[ROOT]

    assert machine.config_read(function, 0, 16) == function.config.read(0, 16)
    assert machine.config_read(function, 24, 8) == function.config.read(24, 8)
    assert machine.config_read(bridge, 16, 8) == bridge.config.read(16, 8)
    assert machine.config_read(function, 18, 4).count(0xFF) in (2, 4)


def test_an_answer_that_was_all_ones_as_it_is_did_not_get_lost():
    machine = machine_of(LINUX, "completion-timeout:space=config")
    function = machine.functions[GPU]
    machine.site.fall_off(0)

    machine.config_read(function, 0, 4)

    assert machine.hooks.faults[0].struck == 0
    assert counters(machine, ROOT, "nonfatal") == {}


def test_a_piece_of_a_bar_reads_as_ones():
    machine = machine_of(LINUX, "completion-timeout:space=bar,counted=false")
    function = machine.functions[GPU]

    assert machine.bar_read(function, 0, 0, 4) == b"\xff" * 4
    assert machine.bar_read(function, 1, 0, 4096).count(0xFF) == 64
    assert machine.config_read(function, 0, 4) == bytes.fromhex("de10b126")
    assert errors(machine) == []


def test_a_piece_of_memory_reads_as_ones_in_copies_too(switch_on):
    rig = switch_on(None, "completion-timeout:space=vram,times=1")

    first, second = there_and_back(rig, 64 << 10, copies=2)

    assert first.count(0xFF) == 256
    assert second.count(0xFF) == 0


# Off the bus ----------------------------------------------------------------------------------------------------------


def test_a_card_off_the_bus_reads_all_ones_while_its_cable_is_in(switch_on):
    rig = switch_on(LINUX, f"off-the-bus:at_bytes={4 * MIB}")
    handle_answers = nvml(rig, "nvmlDeviceGetName")
    machine = rig.machine

    with pytest.raises(DeviceGone):
        there_and_back(rig, 16 * MIB)

    assert handle_answers == {"text": "NVIDIA RTX 6000 Ada Generation"}
    assert rig.do(machine.tree.pread, f"{PCI}/{GPU}/config", 8, 0) == b"\xff" * 8
    assert rig.do(machine.tree.pread, f"{PCI}/{GPU}/resource0", 4, 0) == b"\xff" * 4
    assert text(rig, f"{PCI}/{GPU}/current_link_speed") == "Unknown"
    assert text(rig, "/sys/bus/thunderbolt/devices/0-1/device_name") == "eGPU Node Titan"
    assert rig.wire().call(Call.OPEN, 0)[0] == Status.NO_DEVICE
    assert len(there_and_back(rig, 4096, target="1")[0]) == 4096
    lines = [LogLine(time=0.0, text=line) for line in said(rig)]
    assert [(xid.number, xid.pci) for xid in parse(lines)] == [(79, "0000:04:00")]


def test_nvml_says_that_a_card_off_the_bus_is_lost(switch_on):
    rig = switch_on(LINUX)
    library = rig.do(Nvml, rig.machine)
    handle = rig.do(library.answer, "nvmlDeviceGetHandleByIndex_v2", {"index": 0})["values"]["device"]

    rig.do(rig.machine.site.fall_off, 0)

    assert rig.do(library.answer, "nvmlDeviceGetPowerUsage", {"device": handle})["code"] == GPU_IS_LOST
    assert rig.do(library.answer, "nvmlDeviceGetCount_v2", {})["values"] == {"value": 1}


def test_no_reset_and_no_rescan_brings_a_fallen_card_back_but_a_replug_does(switch_on):
    rig = switch_on(LINUX)
    machine, host = rig.machine, rig.host()
    rig.do(machine.site.fall_off, 0)
    rig.do(machine.site.fall_off, 0)

    with pytest.raises(OSError, match="Inappropriate ioctl"):
        host.write(f"{PCI}/{GPU}/reset", b"1")
    host.write(f"{PCI}/{GPU}/remove", b"1")
    host.write("/sys/bus/pci/rescan", b"1")
    assert GPU not in host.list(PCI)
    rig.do(machine.site.fall_off, 0)

    rig.do(machine.detach, machine.enclosures[0])
    host.clock.sleep(1.0)
    rig.do(machine.attach, machine.enclosures[0])
    host.clock.sleep(5.0)

    assert len(there_and_back(rig, 4096)[0]) == 4096
    assert sum("79" in line for line in said(rig) if "Xid" in line) == 1


def test_a_mac_says_nothing_of_a_card_off_the_bus():
    machine = machine_of(MAC)
    before = len(machine.lines)

    machine.site.fall_off(0)

    assert len(machine.lines) == before
    assert machine.config_read(machine.gpus[0].function, 0, 4) == b"\xff" * 4


def test_a_driver_that_has_not_the_card_does_not_miss_it():
    machine = machine_of(LINUX)
    machine.tree.write("/sys/bus/pci/drivers/nvidia/unbind", GPU.encode())

    machine.site.fall_off(0)

    assert not [line for line in machine.lines if subject(line.text) == "xid"]


# Small payload --------------------------------------------------------------------------------------------------------


def sizes(machine, address: str = GPU) -> tuple[int, int]:
    """Maximum read request and payload, bytes."""
    register = int.from_bytes(machine.config_read(machine.functions[address], layout.DEVICE_CONTROL, 2), "little")
    return 128 << (register >> 12 & 7), 128 << (register >> 5 & 7)


@pytest.mark.parametrize(("size", "slower"), [(128, 1 / 0.375), (256, 1 / 0.75)])
def test_small_requests_show_in_config_space_and_slow_down_what_the_card_reads(switch_on, size, slower):
    rig, well = switch_on(LINUX, f"small-payload:bytes={size},gpu=0"), switch_on(LINUX)

    assert sizes(well.machine) == (512, 128)
    assert sizes(rig.machine) == (size, 128)
    assert sizes(rig.machine, "0000:24:00.0") == (512, 128)
    assert seconds(rig, copies=4) == pytest.approx(slower * seconds(well, copies=4), rel=0.01)
    assert seconds(rig, D2H) == pytest.approx(seconds(well, D2H))


def test_requests_stay_small_whatever_software_writes():
    machine = machine_of(LINUX, "small-payload")
    machine.config_write(machine.functions[GPU], layout.DEVICE_CONTROL, (0x5030).to_bytes(2, "little"))

    assert sizes(machine)[0] == 128
    whole = machine.config_read(machine.functions[GPU], 0, 256)
    assert int.from_bytes(whole[layout.DEVICE_CONTROL :][:2], "little") & 0x7000 == 0
    assert whole[: layout.DEVICE_CONTROL] == machine.functions[GPU].config.read(0, layout.DEVICE_CONTROL)


def test_requests_become_small_when_they_are_told_to(switch_on):
    rig = switch_on(LINUX, f"small-payload:at_bytes={8 * MIB},gpu=0")
    assert sizes(rig.machine) == (512, 128)

    there_and_back(rig, 16 * MIB)

    assert sizes(rig.machine) == (128, 128)


def test_a_card_that_does_not_answer_shows_no_size():
    machine = machine_of(LINUX, "small-payload")
    machine.site.fall_off(0)

    assert machine.config_read(machine.functions[GPU], layout.DEVICE_CONTROL, 2) == b"\xff\xff"
