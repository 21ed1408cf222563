"""A PCI function in memory: config space as an array of bytes, with just enough of a layout to walk."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hil.pci import DEFAULT_RESET

if TYPE_CHECKING:
    from collections.abc import Callable

EXPRESS = 0x78


def config_space(*, size: int = 4096) -> bytearray:
    """A GPU's: power management at 0x60, PCI Express at 0x78, AER at 0x100, a resizable BAR at 0x160."""
    space = bytearray(4096)
    struct.pack_into("<HHHH", space, 0x00, 0x10DE, 0x2704, 0x0407, 0x0010)
    struct.pack_into("<BBBB", space, 0x0C, 0x10, 0, 0x80, 0)
    struct.pack_into("<6I", space, 0x10, 0x80000000, 0x0000000C, 0x40, 0x1000000C, 0x40, 0x0000F001)
    space[0x34], space[0x3C] = 0x60, 0x0B
    struct.pack_into("<BB", space, 0x60, 0x01, EXPRESS)
    struct.pack_into("<BBH", space, EXPRESS, 0x10, 0, 0x0002)
    struct.pack_into("<H", space, EXPRESS + 0x08, 0x2936)
    struct.pack_into("<I", space, EXPRESS + 0x0C, 0x00400104)
    struct.pack_into("<HH", space, EXPRESS + 0x10, 0x0040, 0x1041)
    struct.pack_into("<H", space, EXPRESS + 0x30, 0x0004)
    struct.pack_into("<I", space, 0x100, 0x160 << 20 | 2 << 16 | 0x0001)
    struct.pack_into("<III", space, 0x160, 1 << 16 | 0x0015, 0xFFC0, 8 << 8 | 1 << 5 | 1)
    return space[:size]


@dataclass
class MemoryFunction:
    """Implements `FunctionAccess` over `space`; `before_read` may change it, or raise."""

    space: bytearray = field(default_factory=config_space)
    bars: dict[int, bytearray] = field(default_factory=dict)
    before_read: Callable[[MemoryFunction], None] = lambda _: None
    read_only: frozenset[int] = frozenset()
    """Offsets that do not take what is written."""
    writes: list[int] = field(default_factory=list)
    address: str = "0000:04:00.0"

    def config_read(self, offset: int, size: int) -> bytes:
        self.before_read(self)
        return bytes(self.space[offset : offset + size])

    def config_write(self, offset: int, data: bytes) -> None:
        self.writes.append(offset)
        if offset not in self.read_only:
            self.space[offset : offset + len(data)] = data

    def bar_size(self, bar: int) -> int:
        return len(self.bars.get(bar, b""))

    def mmio_read(self, bar: int, offset: int, size: int) -> bytes:
        return bytes(self.bars[bar][offset : offset + size])

    def mmio_write(self, bar: int, offset: int, data: bytes) -> None:
        self.bars[bar][offset : offset + len(data)] = data

    def reset(self, kind: str | None = None) -> None:
        self.space[4:6] = b"\0\0"

    def reset_kinds(self) -> tuple[str, ...]:
        return (DEFAULT_RESET,)

    def close(self) -> None:
        pass
