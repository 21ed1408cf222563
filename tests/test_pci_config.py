"""Config snapshots, capability walking, readiness and the chip's identity, on a function in memory."""

from __future__ import annotations

import struct

import pytest

from hil.errors import DeviceGone, DeviceHung, DriverError, NotSupported
from hil.model import PcieLink, from_dict, to_dict
from hil.pci import (
    ConfigSnapshot,
    FunctionAccess,
    decode_link,
    differences,
    find_capability,
    identify,
    maximum_link,
    negotiated_link,
    presence,
    restore,
    snapshot,
    wait_ready,
)
from hil.pci.capabilities import find_extended_capability
from tests.files_host import SteppedClock
from tests.pci_device import EXPRESS, MemoryFunction, config_space

POWER_STATE = 0x64
NO_LINK = PcieLink(gts=None, width=None)


def cleared(function: MemoryFunction) -> None:
    """What a reset leaves: no COMMAND, no BARs, power-on values in the PCI Express capability."""
    function.space[0x04:0x06] = bytes(2)
    function.space[0x0C] = 0
    function.space[0x10:0x28] = bytes(24)
    struct.pack_into("<H", function.space, EXPRESS + 0x08, 0x2810)


def test_a_function_in_memory_is_a_function_access() -> None:
    assert isinstance(MemoryFunction(), FunctionAccess)


def test_the_negotiated_and_the_maximum_link_come_from_the_express_capability() -> None:
    function = MemoryFunction()

    assert negotiated_link(function) == PcieLink(gts=2.5, width=4)
    assert maximum_link(function) == PcieLink(gts=16.0, width=16)


@pytest.mark.parametrize(
    ("register", "link"),
    [
        (0x1044, PcieLink(gts=16.0, width=4)),
        (0x0106, PcieLink(gts=64.0, width=16)),
        (0x03FF, NO_LINK),
        (0x0000, NO_LINK),
        (0x0071, PcieLink(gts=2.5, width=None)),
    ],
)
def test_reserved_speeds_and_widths_are_no_link(register: int, link: PcieLink) -> None:
    assert decode_link(register) == link


def test_a_function_without_capabilities_has_no_link() -> None:
    function = MemoryFunction()
    function.space[0x06:0x08] = b"\0\0"

    assert negotiated_link(function) == NO_LINK


def test_a_function_off_the_bus_has_no_capabilities() -> None:
    assert find_capability(MemoryFunction(bytearray(b"\xff" * 4096)), 0x10) is None


def test_a_capability_that_is_not_in_the_list_is_not_found() -> None:
    assert find_capability(MemoryFunction(), 0x11) is None


def test_a_capability_list_that_is_a_ring_ends() -> None:
    function = MemoryFunction()
    function.space[EXPRESS + 1] = 0x60

    assert find_capability(function, 0x11) is None


def test_extended_capabilities_are_found_and_missed() -> None:
    assert find_extended_capability(MemoryFunction(), 0x0015) == 0x160
    assert find_extended_capability(MemoryFunction(), 0x0018) is None


@pytest.mark.parametrize("head", [0x00000000, 0xFFFFFFFF, 0x10010001, 0x02000001])
def test_an_extended_list_that_leads_nowhere_ends(head: int) -> None:
    function = MemoryFunction()
    struct.pack_into("<I", function.space, 0x100, head)

    assert find_extended_capability(function, 0x0018) is None


def test_config_space_of_256_bytes_has_no_extended_capabilities() -> None:
    class Conventional(MemoryFunction):
        def config_read(self, offset: int, size: int) -> bytes:
            if offset >= 0x100:
                raise NotSupported("it has 256 bytes")
            return super().config_read(offset, size)

    assert find_extended_capability(Conventional(), 0x0015) is None


def test_nothing_changed_reads_as_nothing() -> None:
    function = MemoryFunction()

    assert differences(snapshot(function), snapshot(function)) == ()


def test_differences_say_in_words_what_a_reset_cleared() -> None:
    function = MemoryFunction()
    before = snapshot(function)
    cleared(function)

    found = differences(before, snapshot(function))

    assert "COMMAND was 0x0407, is 0x0000" in found
    assert "BAR0 was 0x80000000, is 0x00000000" in found
    assert "device control was 0x2936, is 0x2810" in found
    assert "cache line size was 0x10, is 0x00" in found


@pytest.mark.parametrize(
    ("offset", "says"),
    [
        (0x108, "uncorrectable error mask was 0x00000000, is 0x00000010"),
        (0x10C, "uncorrectable error severity was 0x00000000, is 0x00000010"),
        (0x114, "correctable error mask was 0x00000000, is 0x00000010"),
    ],
)
def test_what_counts_as_an_error_is_compared_and_put_back(offset: int, says: str) -> None:
    function = MemoryFunction()
    before = snapshot(function)
    function.space[offset] = 0x10

    assert restore(function, before) == (says,)
    assert snapshot(function) == before


@pytest.mark.parametrize("status", [0x104, 0x110, 0x65])
def test_status_bits_are_not_compared(status: int) -> None:
    function = MemoryFunction()
    before = snapshot(function)
    function.space[status] = 0x80

    assert differences(before, snapshot(function)) == ()


def test_a_function_that_fell_asleep_is_woken_before_anything_else_is_put_back() -> None:
    function = MemoryFunction()
    before = snapshot(function)
    cleared(function)
    function.space[POWER_STATE] = 0x03

    assert "power state was 0x00, is 0x03" in restore(function, before)
    assert function.writes[:2] == [0x04, POWER_STATE]
    assert function.space[POWER_STATE] == 0


def test_a_function_that_was_asleep_is_left_awake() -> None:
    function = MemoryFunction()
    function.space[POWER_STATE] = 0x03
    before = snapshot(function)
    function.space[POWER_STATE] = 0x00

    assert restore(function, before) == ()
    assert function.writes == []


def test_another_device_and_another_layout_are_differences() -> None:
    before = snapshot(MemoryFunction())
    bridge = MemoryFunction()
    bridge.space[0x0E], bridge.space[0x02] = 0x01, 0x99

    found = differences(before, snapshot(bridge))

    assert "vendor and device id was 0x270410de, is 0x279910de" in found
    assert "BAR5 was 0x0000f001, is not there" in found
    assert "bridge control was not there, is 0x0000" in found


def test_a_snapshot_crosses_a_process_boundary() -> None:
    saved = snapshot(MemoryFunction())

    assert from_dict(ConfigSnapshot, to_dict(saved)) == saved


def test_restore_puts_everything_back_command_last_and_says_what_had_changed() -> None:
    function = MemoryFunction()
    saved = snapshot(function)
    before = bytes(function.space)
    cleared(function)

    changed = restore(function, saved)

    assert bytes(function.space) == before
    assert function.writes[-1] == 0x04
    assert "COMMAND was 0x0407, is 0x0000" in changed


def test_restore_leaves_alone_what_stands_right() -> None:
    function = MemoryFunction()

    assert restore(function, snapshot(function)) == ()
    assert function.writes == []


def test_a_bar_is_put_back_with_decoding_off() -> None:
    function = MemoryFunction()
    saved = snapshot(function)
    function.space[0x13] = 0x90

    restore(function, saved)

    assert function.writes == [0x04, 0x10, 0x04]


def test_restore_says_which_register_does_not_take_its_value() -> None:
    function = MemoryFunction(read_only=frozenset({0x10}))
    saved = snapshot(function)
    function.space[0x13] = 0x90

    with pytest.raises(DriverError, match="did not take: BAR0 was 0x80000000, is 0x90000000"):
        restore(function, saved)


def test_restore_refuses_another_device() -> None:
    saved = snapshot(MemoryFunction())
    other = MemoryFunction()
    other.space[0x02] = 0x99

    with pytest.raises(DriverError, match="another device answers: 0x279910de, not 0x270410de"):
        restore(other, saved)
    assert other.writes == []


def test_an_older_express_capability_has_no_second_registers() -> None:
    function = MemoryFunction()
    function.space[EXPRESS + 2] = 1

    names = {register.name for register in snapshot(function).registers}

    assert "link control" in names
    assert "link control 2" not in names


def test_a_function_without_capabilities_still_has_its_header_saved() -> None:
    function = MemoryFunction(config_space())
    function.space[0x06:0x08] = bytes(2)
    function.space[0x100:0x104] = bytes(4)

    names = [register.name for register in snapshot(function).registers]

    assert names[0] == "BAR0"
    assert names[-1] == "COMMAND"
    assert "device control" not in names


@pytest.mark.parametrize(
    ("vendor_and_device", "state"),
    [
        (b"\xde\x10\x04\x27", "ready"),
        (b"\x01\x00\xff\xff", "retry"),
        (b"\xff\xff\xff\xff", "gone"),
        (b"\0\0\0\0", "gone"),
    ],
)
def test_presence_tells_ready_from_later_from_gone(vendor_and_device: bytes, state: str) -> None:
    function = MemoryFunction()
    function.space[0:4] = vendor_and_device

    assert presence(function) == state


def test_a_way_that_is_cut_is_gone_too() -> None:
    def cut(_: MemoryFunction) -> None:
        raise DeviceGone("hung up")

    assert presence(MemoryFunction(before_read=cut)) == "gone"


@pytest.mark.parametrize(
    ("vendor_and_device", "error", "words"),
    [
        (b"\xff\xff\xff\xff", DeviceGone, "nobody answers"),
        (b"\x01\x00\xff\xff", DriverError, "retry status"),
    ],
)
def test_a_function_that_is_not_ready_is_not_saved(
    vendor_and_device: bytes, error: type[Exception], words: str
) -> None:
    function = MemoryFunction()
    function.space[0:4] = vendor_and_device

    with pytest.raises(error, match=words):
        snapshot(function)


def test_a_function_that_leaves_while_it_is_saved_is_gone() -> None:
    reads = []

    def leave(function: MemoryFunction) -> None:
        reads.append(1)
        if len(reads) == 5:
            function.space[:] = b"\xff" * 4096

    with pytest.raises(DeviceGone, match="left meanwhile"):
        snapshot(MemoryFunction(before_read=leave))


def test_wait_ready_takes_as_long_as_the_function_does() -> None:
    clock, function = SteppedClock(), MemoryFunction()
    answer = bytes(function.space[0:4])
    function.space[0:4] = b"\x01\x00\xff\xff"
    begin = clock.now()

    def answer_later(now: float) -> None:
        if now - begin >= 0.1:
            function.space[0:4] = answer

    clock.on_step = answer_later

    assert wait_ready(function, clock, 1.0) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("vendor_and_device", "error", "last"),
    [
        (b"\x01\x00\xff\xff", DeviceHung, "0xffff0001"),
        (b"\xff\xff\xff\xff", DeviceGone, "0xffffffff"),
    ],
)
def test_wait_ready_names_the_last_value_at_its_deadline(
    vendor_and_device: bytes, error: type[Exception], last: str
) -> None:
    function = MemoryFunction()
    function.space[0:4] = vendor_and_device

    with pytest.raises(error, match=rf"0000:04:00.0 .* 0.5 s .*{last}"):
        wait_ready(function, SteppedClock(), 0.5)


def registers(boot_0: int, boot_42: int) -> dict[int, bytearray]:
    bar = bytearray(0x1000)
    struct.pack_into("<I", bar, 0x0, boot_0)
    struct.pack_into("<I", bar, 0xA00, boot_42)
    return {0: bar}


def test_the_chip_is_identified_by_its_two_boot_registers() -> None:
    chip = identify(MemoryFunction(bars=registers(0x192000A1, 0x19200000)))

    assert (chip.boot_0, chip.boot_42, chip.chip_id) == (0x192000A1, 0x19200000, 0x192)


@pytest.mark.parametrize("boots", [(0xFFFFFFFF, 0xFFFFFFFF), (0x192000A1, 0xFFFFFFFF)])
def test_all_ones_in_a_boot_register_are_no_chip(boots: tuple[int, int]) -> None:
    with pytest.raises(DeviceGone, match="off the bus"):
        identify(MemoryFunction(bars=registers(*boots)))


def test_all_ones_in_config_space_are_off_the_bus() -> None:
    with pytest.raises(DeviceGone, match="config space reads all ones: off the bus"):
        identify(MemoryFunction(bytearray(b"\xff" * 4096)))


def test_a_chip_whose_decoding_is_off_is_not_called_gone() -> None:
    function = MemoryFunction(bars=registers(0xFFFFFFFF, 0xFFFFFFFF))
    function.reset()

    with pytest.raises(DriverError, match="memory decoding is off"):
        identify(function)
