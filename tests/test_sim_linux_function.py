"""One PCI function's files on the simulated Linux: config space, BARs, resizing, and reset in all its outcomes."""

from __future__ import annotations

import errno

import pytest
from machine_host import refusal, said, slotted, text

from hil.sim import config_space as layout
from hil.sim import profile
from hil.sim.faults.base import Fault, ResetPlan, Trigger
from hil.sim.machine import RESET_SECONDS, Machine

PCI = "/sys/bus/pci/devices"
GPU, AUDIO = "0000:04:00.0", "0000:04:00.1"


class BadReset(Fault):
    """Resets go as the test says."""

    name = "bad-reset"

    def __init__(self, machine: Machine, *, fails: tuple[str, ...] = (), retry: float = 0.0) -> None:
        super().__init__(Trigger(), machine)
        self.fails, self.retry = fails, retry

    def on_reset(self, plan: ResetPlan) -> None:
        plan.succeeds, plan.retry_status_for = plan.kind not in self.fails, self.retry


@pytest.fixture
def machine() -> Machine:
    return Machine(profile.load("linux-two-enclosures"))


# Registers ------------------------------------------------------------------------------------------------------------


def test_config_space_is_read_and_written_in_place(machine):
    path = f"{PCI}/{GPU}/config"
    assert machine.tree.stat(path).size == len(machine.tree.read(path)) == 4096
    assert machine.tree.pread(path, 4, 0) == bytes.fromhex("de10b126")
    assert machine.tree.pread(path, 8, 4094) == bytes(2)
    assert machine.tree.pwrite(path, b"\x00\x00", layout.COMMAND) == 2
    assert machine.tree.pread(path, 2, layout.COMMAND) == bytes(2)
    assert machine.tree.pwrite(path, bytes(8), 4094) == 2
    machine.tree.write(path, bytes(4))
    assert machine.tree.pread(path, 4, 0) == bytes.fromhex("de10b126")


def test_bars_are_reached_until_memory_is_switched_off(machine):
    memory = f"{PCI}/{GPU}/resource1"
    assert machine.tree.pread(f"{PCI}/{GPU}/resource0", 4, 0) == (0x192000A1).to_bytes(4, "little")
    assert machine.tree.pwrite(memory, b"abcd", 0x1000) == 4
    assert machine.tree.pread(memory, 8, 0x0FFE) == b"\0\0abcd\0\0"
    machine.tree.pwrite(f"{PCI}/{GPU}/config", b"\0\0", layout.COMMAND)
    machine.tree.pwrite(memory, b"lost", 0x1000)
    assert machine.tree.pread(memory, 4, 0x1000) == b"\xff" * 4
    machine.tree.pwrite(f"{PCI}/{GPU}/config", b"\6\0", layout.COMMAND)
    assert machine.tree.pread(memory, 4, 0x1000) == b"abcd"


def test_a_bar_has_its_own_size_and_ends_there(machine):
    path = f"{PCI}/{GPU}/resource1"
    size = machine.tree.stat(path).size
    assert size == 256 << 20
    assert machine.tree.pread(path, 8, size - 4) == bytes(4)
    assert machine.tree.pread(path, 8, size) == b""
    with pytest.raises(OSError, match="Invalid argument"):
        machine.tree.pwrite(path, bytes(8), size - 4)
    with pytest.raises(OSError, match="Input/output error"):
        machine.tree.read(path)


def test_registers_of_the_cards_other_bars_are_not_those_of_the_gpu(machine):
    assert machine.tree.pread(f"{PCI}/{AUDIO}/resource0", 4, 0) == bytes(4)
    machine.tree.pwrite(f"{PCI}/{AUDIO}/resource0", b"\xff" * 4, 0)
    assert machine.tree.pread(f"{PCI}/{GPU}/resource3", 4, 0) == bytes(4)
    assert machine.tree.pread(f"{PCI}/{GPU}/resource0", 4, 0) == (0x192000A1).to_bytes(4, "little")


def test_a_cards_memory_bar_in_a_slot_covers_its_memory_and_reads_ones_behind_it():
    machine = slotted()
    path = f"{PCI}/0000:01:00.0/resource1"
    vram = machine.gpus[1].spec.vram_bytes
    assert machine.tree.stat(path).size == 32 << 30
    assert machine.tree.pread(path, 4, vram - 2) == b"\0\0\xff\xff"
    assert "removable" not in machine.tree.list(f"{PCI}/0000:01:00.0")


def test_resizing_a_bar_is_refused_for_the_reasons_the_kernel_has(machine):
    path = f"{PCI}/{GPU}/resource1_resize"
    assert refusal(machine, path, b"7") == errno.EBUSY
    machine.tree.write("/sys/bus/pci/drivers/nvidia/unbind", GPU.encode())
    assert refusal(machine, path, b"3") == errno.EINVAL
    assert refusal(machine, path, b"99") == errno.EINVAL
    assert refusal(machine, path, b"12") == errno.ENOSPC
    machine.tree.write(path, b"7")
    assert machine.bar_size(machine.functions[GPU], 1) == 128 << 20


# Reset ----------------------------------------------------------------------------------------------------------------


def test_a_reset_takes_its_time_and_puts_the_config_back(machine):
    before = machine.tree.read(f"{PCI}/{GPU}/config")
    machine.tree.pwrite(f"{PCI}/{GPU}/resource1", b"secret", 0)

    seconds = machine.tree.write(f"{PCI}/{GPU}/reset", b"1\n")

    assert seconds == RESET_SECONDS
    assert machine.tree.pread(f"{PCI}/{GPU}/config", 4, 0) == b"\xff" * 4
    assert text(machine, f"{PCI}/{GPU}/current_link_speed") == "Unknown\n"
    machine.clock.sleep("test", seconds)
    assert machine.tree.read(f"{PCI}/{GPU}/config") == before


def test_a_reset_of_the_audio_function_leaves_the_gpu_alone(machine):
    generation = machine.gpus[0].generation
    machine.clock.sleep("test", machine.tree.write(f"{PCI}/{AUDIO}/reset", b"1"))
    assert machine.gpus[0].generation == generation
    assert machine.gpus[0].reachable


def test_the_reset_method_is_chosen_among_those_there_are(machine):
    path = f"{PCI}/{GPU}/reset_method"
    machine.tree.write(path, b"bus\n")
    assert text(machine, path) == "bus\n"
    assert refusal(machine, path, b"acpi") == errno.EINVAL
    assert refusal(machine, path, b"flr flr") == errno.EINVAL
    machine.tree.write(path, b"default")
    assert text(machine, path) == "flr bus\n"
    machine.tree.write(path, b"\n")
    assert refusal(machine, f"{PCI}/{GPU}/reset", b"1") == errno.ENOTTY


@pytest.mark.parametrize("wrong", [b"0", b"2", b"yes", b"", b"-1", b"\xff"])
def test_only_a_one_resets(machine, wrong):
    assert refusal(machine, f"{PCI}/{GPU}/reset", wrong) == errno.EINVAL
    assert machine.gpus[0].reachable


def test_the_kernel_tries_the_next_method_where_one_fails():
    machine = Machine(profile.load("linux-two-enclosures"), lambda m: [BadReset(m, fails=("flr",))])
    seconds = machine.tree.write(f"{PCI}/{GPU}/reset", b"1")
    machine.clock.sleep("test", seconds)
    assert seconds > RESET_SECONDS
    assert machine.gpus[0].reachable
    assert f"nvidia {GPU}: not ready 65535ms after FLR; giving up" in said(machine)


def test_a_card_that_no_method_brings_back_is_enotty():
    machine = Machine(profile.load("linux-two-enclosures"), lambda m: [BadReset(m, fails=("flr", "bus"))])
    assert refusal(machine, f"{PCI}/{GPU}/reset", b"1") == errno.ENOTTY
    assert f"nvidia {GPU}: not ready 65535ms after bus reset; giving up" in said(machine)


@pytest.mark.parametrize(("retry", "spent"), [(0.4, RESET_SECONDS + 0.4), (5.0, RESET_SECONDS + 5.0), (70.0, None)])
def test_the_kernel_waits_while_a_card_asks_to_be_asked_again(retry, spent):
    machine = Machine(profile.load("linux-two-enclosures"), lambda m: [BadReset(m, retry=retry)])
    path = f"{PCI}/{GPU}/reset"
    if spent is None:
        assert refusal(machine, path, b"1") == errno.ENOTTY
        return
    assert machine.tree.write(path, b"1") == pytest.approx(spent)
    assert any("not ready 1023ms after FLR; waiting" in line for line in said(machine)) == (retry > 1)


def test_a_reset_asked_for_in_config_space_clears_it(machine):
    path = f"{PCI}/{GPU}/config"
    control = machine.tree.pread(path, 2, layout.DEVICE_CONTROL)
    machine.tree.pwrite(path, bytes([control[0], control[1] | 0x80]), layout.DEVICE_CONTROL)
    assert not machine.gpus[0].reachable
    machine.clock.sleep("test", 1.0)
    assert machine.tree.pread(path, 2, layout.COMMAND) == bytes(2)
    assert machine.gpus[0].reachable
