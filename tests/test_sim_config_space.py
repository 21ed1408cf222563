"""Config space of simulated functions: layout, masks, BAR sizing, reset, and what a real `lspci` reads from it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from hil.model import GIB, MIB
from hil.sim import config_space as layout
from hil.sim.config_space import ConfigSpace


def card(**changes: object) -> ConfigSpace:
    facts = {
        "vendor_id": 0x10DE, "device_id": 0x2684, "class_code": 0x030000, "subsystem": (0x1043, 0x889B),
        "generation": 4, "width": 4, "max_generation": 4, "max_width": 16,
        "bar_sizes": {0: 16 * MIB, 1: 256 * MIB, 3: 32 * MIB}, "largest_bar": 32 * GIB,
    }  # fmt: skip
    return ConfigSpace(**(facts | changes))  # type: ignore[arg-type]


def bridge(port_type: int = layout.DOWNSTREAM_PORT) -> ConfigSpace:
    return ConfigSpace(
        vendor_id=0x8086, device_id=0x15DA, class_code=0x060400, generation=1, width=4, max_generation=1,
        port_type=port_type,
    )  # fmt: skip


def number(space: ConfigSpace, offset: int, size: int) -> int:
    return int.from_bytes(space.read(offset, size), "little")


def put(space: ConfigSpace, offset: int, size: int, value: int) -> None:
    space.write(offset, value.to_bytes(size, "little"))


def capabilities(space: ConfigSpace) -> list[int]:
    found, at = [], number(space, 0x34, 1)
    while at:
        found.append(number(space, at, 1))
        at = number(space, at + 1, 1)
    return found


def extended_capabilities(space: ConfigSpace) -> list[int]:
    found, at = [], 0x100
    while at:
        found.append(number(space, at, 2))
        at = number(space, at, 4) >> 20
    return found


def dump(space: ConfigSpace, slot: str) -> str:
    content = space.read(0, 4096)
    rows = (f"{at:02x}: {content[at : at + 16].hex(' ')}" for at in range(0, 4096, 16))
    return f"{slot} simulated\n" + "\n".join(rows) + "\n\n"


def test_a_card_is_up_as_firmware_leaves_it():
    space = card()

    assert number(space, 0, 4) == 0x2684_10DE
    assert number(space, 8, 4) >> 8 == 0x030000
    assert number(space, 0x2C, 4) == 0x889B_1043
    assert number(space, layout.COMMAND, 2) == 0x0006
    assert space.memory_enabled
    assert all(space.decodes(bar) for bar in (0, 1, 3))
    assert not space.decodes(2)
    assert space.bar_address(1) % (256 * MIB) == 0
    assert len({space.bar_address(bar) for bar in (0, 1, 3)}) == 3


def test_capabilities_form_lists_that_end():
    assert capabilities(card()) == [0x01, 0x05, 0x10]
    assert extended_capabilities(card()) == [0x0001, 0x0003, 0x0015]
    assert extended_capabilities(bridge()) == [0x0001]


@pytest.mark.parametrize(("bar", "kind"), [(0, 0x0), (1, 0xC), (3, 0xC)])
def test_a_bar_tells_its_size_when_all_ones_are_written(bar, kind):
    space = card()
    width = 8 if bar else 4
    at = layout.BAR0 + 4 * bar

    put(space, at, width, (1 << 8 * width) - 1)

    value = number(space, at, width)
    assert value & 0xF == kind
    assert (1 << 8 * width) - (value & ~0xF) == space.bar_sizes[bar]
    assert not space.decodes(bar)


def test_a_bar_that_is_not_there_reads_zero_whatever_is_written():
    space = card()
    put(space, layout.BAR0 + 4 * 5, 4, 0xFFFFFFFF)
    assert number(space, layout.BAR0 + 4 * 5, 4) == 0


def test_read_only_bits_stay_and_status_bits_clear_by_a_one():
    space = card()
    before = space.read(0, 4)
    put(space, 0, 4, 0)
    put(space, layout.COMMAND, 2, 0xFFFF)
    put(space, layout.STATUS, 2, 0xFFFF)

    assert space.read(0, 4) == before
    assert number(space, layout.COMMAND, 2) == 0x0547
    assert number(space, layout.STATUS, 2) == 0x0010


def test_an_error_status_is_cleared_by_writing_a_one_and_nothing_else():
    space = card()
    saved, sizes = space.snapshot()
    marked = bytearray(saved)
    marked[layout.AER + 0x10] = 0x41
    space.restore((bytes(marked), sizes))

    put(space, layout.AER + 0x10, 4, 0x01)

    assert number(space, layout.AER + 0x10, 4) == 0x40


def test_what_lies_behind_the_end_is_lost_and_reads_short():
    space = card()
    space.write(4094, b"\xff" * 8)
    space.write(5000, b"\xff")
    assert space.read(4090, 100) == bytes(6)


def test_a_reset_clears_what_the_firmware_had_set_and_keeps_what_is_sticky():
    space = card()
    put(space, layout.AER + 0x08, 4, 0x10)
    put(space, layout.DEVICE_CONTROL, 2, 0x5930)

    space.reset()

    assert number(space, layout.COMMAND, 2) == 0
    assert [space.bar_address(bar) for bar in (0, 1, 3)] == [0, 0, 0]
    assert number(space, layout.BAR0 + 4, 4) == 0xC
    assert number(space, layout.DEVICE_CONTROL, 2) == 0x2810
    assert number(space, layout.AER + 0x08, 4) == 0x10
    assert not space.decodes(0)


def test_a_snapshot_puts_everything_back_after_a_reset():
    space = card()
    saved = space.snapshot()
    space.reset()

    space.restore(saved)

    assert space.snapshot() == saved
    assert space.decodes(1)


def test_memory_is_not_decoded_in_low_power_or_when_moved_away():
    space = card()
    put(space, layout.PMCSR, 2, 0x3)
    assert not space.decodes(0)
    put(space, layout.PMCSR, 2, 0x0)
    assert space.decodes(0)
    put(space, layout.BAR0, 4, 0x9000_0000)
    assert not space.decodes(0)
    assert space.placed(0) != space.bar_address(0) == 0x9000_0000


def test_only_a_set_bit_of_a_function_that_can_asks_for_a_reset():
    space = card()
    assert space.asks_for_reset(layout.DEVICE_CONTROL, b"\x10\xa8")
    assert space.asks_for_reset(layout.DEVICE_CONTROL + 1, b"\x80")
    assert not space.asks_for_reset(layout.DEVICE_CONTROL, b"\x10\x28")
    assert not space.asks_for_reset(layout.DEVICE_CONTROL, b"\x10")
    assert not space.asks_for_reset(layout.DEVICE_CONTROL + 2, b"\x80")
    assert not bridge().asks_for_reset(layout.DEVICE_CONTROL, b"\x10\xa8")


def test_the_link_tells_what_was_trained_and_what_could_be():
    space = card()
    assert number(space, layout.LINK_STATUS, 2) == 0x1044
    assert number(space, layout.LINK_CAPABILITIES, 4) & 0x3FF == 16 << 4 | 4
    space.train(1, 1)
    assert number(space, layout.LINK_STATUS, 2) == 0x1011


def test_the_memory_bar_takes_the_sizes_it_offers_and_no_other():
    space = card()
    offered = space.possible_bar_sizes()
    control = layout.RESIZABLE_BAR + 8
    assert [n for n in range(32) if offered >> n & 1] == list(range(6, 16))

    put(space, control, 4, 15 << 8)
    assert space.bar_sizes[1] == 32 * GIB
    put(space, control, 4, 40 << 8)
    assert space.bar_sizes[1] == 32 * GIB
    assert number(space, control, 4) == 15 << 8 | 1 << 5 | 1
    space.reset()
    assert space.bar_sizes[1] == 256 * MIB


def test_a_function_without_memory_bar_cannot_be_resized():
    assert card(bar_sizes={0: 16 * MIB}).possible_bar_sizes() == 0


def test_a_bridge_has_bus_numbers_and_closed_windows():
    space = bridge(layout.ROOT_PORT)
    space.forward(0, 2, 31)

    assert number(space, 0x0E, 1) == 1
    assert space.read(0x18, 3) == bytes((0, 2, 31))
    assert number(space, 0x20, 2) > number(space, 0x22, 2)
    put(space, layout.AER + 0x2C, 4, 0xFF)
    assert number(space, layout.AER + 0x2C, 4) == 0x7


def test_an_integrated_endpoint_has_no_link_and_no_serial_number():
    space = ConfigSpace(
        vendor_id=0x8086, device_id=0xA73E, class_code=0x0C0340, generation=1, width=1, max_generation=1,
        port_type=layout.ROOT_COMPLEX_ENDPOINT,
    )  # fmt: skip
    assert number(space, layout.LINK_STATUS, 2) == 0
    assert extended_capabilities(space) == [0x0001]


def test_cards_of_one_kind_differ_by_their_serial_number():
    assert card(serial=1).read(layout.SERIAL_NUMBER, 12) != card(serial=2).read(layout.SERIAL_NUMBER, 12)
    assert card().read(0, 4096) == card().read(0, 4096)


@pytest.mark.skipif(shutil.which("lspci") is None, reason="pciutils is not installed")
def test_lspci_reads_what_was_laid_out(tmp_path: Path):
    port = bridge(layout.ROOT_PORT)
    port.forward(0, 4, 4)
    dumped = tmp_path / "dump"
    dumped.write_text(dump(port, "00:07.0") + dump(card(serial=0x48B0_2D00_0123_4567), "04:00.0"))

    said = subprocess.run(["lspci", "-n", "-vvv", "-F", dumped], capture_output=True, text=True, check=True).stdout

    for words in (
        "Bus: primary=00, secondary=04, subordinate=04",
        "Express (v2) Root Port",
        "04:00.0 0300: 10de:2684 (rev a1)",
        "Subsystem: 1043:889b",
        "Control: I/O- Mem+ BusMaster+",
        "Region 0: Memory at 80000000 (32-bit, non-prefetchable)",
        "Region 1: Memory at 4000000000 (64-bit, prefetchable)",
        "Power Management version 3",
        "MSI: Enable- Count=1/1 Maskable- 64bit+",
        "Express (v2) Legacy Endpoint",
        "FLReset+",
        "LnkCap:\tPort #0, Speed 16GT/s, Width x16",
        "LnkSta:\tSpeed 16GT/s, Width x4",
        "Advanced Error Reporting",
        "Device Serial Number 48-b0-2d-00-01-23-45-67",
        "Physical Resizable BAR",
        "BAR 1: current size: 256MB, supported: 64MB 128MB 256MB 512MB 1GB 2GB 4GB 8GB 16GB 32GB",
    ):
        assert words in said
