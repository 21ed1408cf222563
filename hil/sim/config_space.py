"""A PCI Express function's configuration space, laid out and masked as hardware does it.

Offsets and bits: PCI Express Base Specification 5.0, chapter 7; Resizable BAR: 7.8.6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from hil.sim.registers import Registers

SIZE = 4096
COMMAND, STATUS = 0x04, 0x06
BAR0 = 0x10
SECONDARY_STATUS, BRIDGE_CONTROL = 0x1E, 0x3E
POWER = 0x60
PMCSR = POWER + 4
MSI = 0x68
PCIE = 0x78
DEVICE_CONTROL, DEVICE_STATUS = PCIE + 0x08, PCIE + 0x0A
LINK_CAPABILITIES = PCIE + 0x0C
LINK_STATUS = PCIE + 0x12
AER, AER_BYTES = 0x100, 0x48
SERIAL_NUMBER = 0x150
RESIZABLE_BAR = 0x160
RESIZABLE_INDEX = 1
"""The BAR that can be resized: the card's memory."""

ENDPOINT, LEGACY_ENDPOINT, ROOT_PORT, UPSTREAM_PORT, DOWNSTREAM_PORT, ROOT_COMPLEX_ENDPOINT = 0, 1, 4, 5, 6, 9
"""Device/port types of the PCI Express capability."""

_VGA, _BRIDGE = 0x0300, 0x0604
_MEMORY_AND_MASTER = 0x0006
_INITIATE_FLR = 1 << 15
_RESIZABLE = 0x0015
_LOW_WINDOW, _HIGH_WINDOW = 0x8000_0000, 0x40_0000_0000
_MIB_SHIFT = 20

Snapshot = tuple[bytes, dict[int, int]]


class ConfigSpace:
    """4096 bytes of registers. A new one is as the firmware leaves it: BARs placed, memory and bus mastering enabled.

    Args:
        vendor_id, device_id: 16 bits each.
        class_code: 24 bits; ``0x0604xx`` makes a bridge (header type 1), ``0x0300xx`` gets a resizable BAR 1.
        subsystem: vendor and device, 16 bits each; bridges have none.
        generation, width: the link as negotiated (1 = 2.5 GT/s …, lanes).
        max_generation, max_width: the best the function can; the width defaults to `width`.
        bar_sizes: bytes by index, powers of two. BAR 1 and BAR 3 are 64-bit and prefetchable, as on NVIDIA cards.
        largest_bar: bytes that BAR 1 can be resized to; default: its size.
        port_type: device/port type; default: a legacy endpoint for VGA, an endpoint, or a downstream port.
        serial: 64-bit device serial number of an endpoint; default: made from the other ids.

    """

    def __init__(
        self,
        *,
        vendor_id: int,
        device_id: int,
        class_code: int,
        subsystem: tuple[int, int] = (0, 0),
        generation: int,
        width: int,
        max_generation: int,
        max_width: int | None = None,
        bar_sizes: Mapping[int, int] | None = None,
        largest_bar: int = 0,
        port_type: int | None = None,
        serial: int | None = None,
    ) -> None:
        self.vendor_id, self.device_id, self.class_code, self.subsystem = (
            vendor_id,
            device_id,
            class_code,
            subsystem,
        )
        self.is_bridge = class_code >> 8 == _BRIDGE
        is_vga = class_code >> 8 == _VGA
        if port_type is None:
            port_type = DOWNSTREAM_PORT if self.is_bridge else LEGACY_ENDPOINT if is_vga else ENDPOINT
        self.port_type = port_type
        self._bars = dict(bar_sizes or {})
        self._powers_up_with = dict(self._bars)
        self._placed: dict[int, int] = {}
        self._unassigned: set[int] = set()
        self._registers = Registers(SIZE)
        self._lay_out_header()
        self._lay_out_power_and_msi()
        self._lay_out_pcie(generation, width, max_generation, max_width or width)
        self._lay_out_aer()
        if not self.is_bridge and port_type != ROOT_COMPLEX_ENDPOINT:
            if serial is None:
                ids = f"{vendor_id:04x}{device_id:04x}{subsystem}".encode()
                serial = int.from_bytes(hashlib.sha256(ids).digest()[:8], "little")
            self._extend(SERIAL_NUMBER, 0x0003, 1)
            self._registers.put(SERIAL_NUMBER + 4, 8, serial)
        if is_vga and RESIZABLE_INDEX in self._bars:
            self._lay_out_resizable_bar(max(largest_bar, self._bars[RESIZABLE_INDEX]))
        self._default = bytes(self._registers.content)
        self.place()

    # Access --------------------------------------------------------------------------------------------

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; fewer at the end of the space."""
        return self._registers.read(offset, size)

    def write(self, offset: int, data: bytes) -> None:
        """Write as the bus does: read-only bits stay, what lies behind the end is lost."""
        self._registers.write(offset, data)
        if RESIZABLE_INDEX in self._bars and offset <= RESIZABLE_BAR + 9 < offset + len(data):
            self._resize()

    def asks_for_reset(self, offset: int, data: bytes) -> bool:
        """Whether this write sets *Initiate Function Level Reset* on a function that can do it."""
        at = DEVICE_CONTROL + 1 - offset
        return self.can_flr and 0 <= at < len(data) and bool(data[at] << 8 & _INITIATE_FLR)

    def reset(self) -> None:
        """Forget everything that a function-level reset forgets: COMMAND, BARs, payload sizes; AER bits are sticky."""
        sticky = self.read(AER, AER_BYTES)
        self._registers.content[:] = self._default
        self._registers.content[AER : AER + AER_BYTES] = sticky
        self._bars = dict(self._powers_up_with)
        self._mask_bars()

    def snapshot(self) -> Snapshot:
        """All that software can change, for `restore`."""
        return bytes(self._registers.content), dict(self._bars)

    def restore(self, saved: Snapshot) -> None:
        """Put back what `snapshot` gave."""
        self._registers.content[:] = saved[0]
        self._bars = dict(saved[1])
        self._mask_bars()

    # What the registers mean ---------------------------------------------------------------------------

    @property
    def memory_enabled(self) -> bool:
        """COMMAND's memory space enable bit."""
        return bool(self._registers.content[COMMAND] & 2)

    @property
    def bar_sizes(self) -> dict[int, int]:
        """Bytes by BAR index, as they are sized now."""
        return dict(self._bars)

    @property
    def can_flr(self) -> bool:
        """Whether the function has a function-level reset."""
        return self.port_type in (ENDPOINT, LEGACY_ENDPOINT)

    def bar_address(self, bar: int) -> int:
        """The bus address that a BAR holds now."""
        return self._registers.get(BAR0 + 4 * bar, 8 if is_wide(bar) else 4) & ~0xF

    def placed(self, bar: int) -> int:
        """The bus address where the operating system put a BAR, whatever the register holds now."""
        return self._placed[bar]

    def decodes(self, bar: int) -> bool:
        """Whether an access to where the operating system knows the BAR reaches it: enabled, in D0, not moved away."""
        awake = self._registers.content[PMCSR] & 3 == 0
        here = self.bar_address(bar) == self._placed[bar] if self.assigned(bar) else False
        return self.memory_enabled and awake and here

    def assigned(self, bar: int) -> bool:
        """Whether there is a BAR `bar` and the operating system found an address for it."""
        return bar in self._bars and bar not in self._unassigned

    def possible_bar_sizes(self) -> int:
        """Sizes that BAR 1 can take: bit n = 2^n MiB; 0 where nothing can be resized."""
        return (
            self._registers.get(RESIZABLE_BAR + 4, 4) >> 4 if self._registers.get(RESIZABLE_BAR, 2) == _RESIZABLE else 0
        )

    # What firmware, operating system and link do -------------------------------------------------------

    def place(self, low: int = _LOW_WINDOW, high: int = _HIGH_WINDOW) -> None:
        """Assign BARs from `low` (32-bit) and `high` (64-bit, prefetchable) upwards and enable the function."""
        for bar, size in self._bars.items():
            start = high if is_wide(bar) else low
            start = -(-start // size) * size
            self._placed[bar] = start
            self._registers.put(BAR0 + 4 * bar, 8 if is_wide(bar) else 4, start | (0xC if is_wide(bar) else 0))
            if is_wide(bar):
                high = start + size
            else:
                low = start + size
        self._registers.put(COMMAND, 2, _MEMORY_AND_MASTER)
        # Error reporting on. The payload stays at 128 bytes: a Thunderbolt tunnel's bridges agree on no more.
        self._registers.put(DEVICE_CONTROL, 2, self._registers.get(DEVICE_CONTROL, 2) | 0x000F)

    def unassign(self, bar: int) -> None:
        """Leave a BAR without an address: the bridges above have no room for it."""
        self._unassigned.add(bar)
        self._placed[bar] = 0
        self._registers.put(BAR0 + 4 * bar, 8 if is_wide(bar) else 4, 0xC if is_wide(bar) else 0)

    def overwrite(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`, as nobody could who had to go over the bus: read-only bits too."""
        self._registers.content[offset : offset + len(data)] = data[: SIZE - offset]

    def forward(self, primary: int, secondary: int, subordinate: int) -> None:
        """Set a bridge's bus numbers."""
        self._registers.content[0x18:0x1B] = bytes((primary, secondary, subordinate))

    def note_error(self, severity: str, bit: int) -> None:
        """Let the AER and device status registers tell of an error until `clear_errors`, or whoever writes ones."""
        at = AER + (0x10 if severity == "correctable" else 0x04)
        self._registers.put(at, 4, self._registers.get(at, 4) | 1 << bit)
        told = {"correctable": 1, "nonfatal": 2, "fatal": 4}[severity]
        self._registers.put(DEVICE_STATUS, 2, self._registers.get(DEVICE_STATUS, 2) | told)

    def clear_errors(self) -> None:
        """Clear what `note_error` set, as an operating system that handles errors does."""
        for at, size in ((AER + 0x10, 4), (AER + 0x04, 4), (DEVICE_STATUS, 2)):
            self.write(at, b"\xff" * size)

    def train(self, generation: int, width: int) -> None:
        """Let the link status tell of a newly trained link."""
        # Bit 12: the slot's reference clock is used, as on every card in a slot.
        self._registers.put(LINK_STATUS, 2, 0x1000 | width << 4 | generation)

    # Layout --------------------------------------------------------------------------------------------

    def _lay_out_header(self) -> None:
        self._registers.put(0x00, 2, self.vendor_id)
        self._registers.put(0x02, 2, self.device_id)
        self._registers.lay_out(COMMAND, 2, writable=0x0547)
        self._registers.lay_out(STATUS, 2, 0x0010, clears=0xF900)
        self._registers.put(0x08, 4, self.class_code << 8 | (0xA1 if self.class_code >> 16 in (3, 4) else 0))
        self._registers.lay_out(0x0C, 1, writable=0xFF)
        several = 0x80 if self.class_code >> 8 == _VGA else 0
        self._registers.put(0x0E, 1, several | self.is_bridge)
        self._registers.put(0x34, 1, POWER)
        self._registers.lay_out(0x3C, 1, 0xFF, writable=0xFF)
        self._registers.put(0x3D, 1, 1)
        if self.is_bridge:
            self._registers.lay_out(0x18, 4, writable=0x00FFFFFF)
            self._registers.lay_out(SECONDARY_STATUS, 2, clears=0xF900)
            # Base above limit: the window is closed. Bit 0 of the prefetchable one: 64-bit addresses.
            self._registers.lay_out(0x20, 4, 0x0000FFF0, writable=0xFFF0FFF0)
            self._registers.lay_out(0x24, 4, 0x0001FFF1, writable=0xFFF0FFF0)
            self._registers.lay_out(0x28, 8, writable=(1 << 64) - 1)
            self._registers.lay_out(BRIDGE_CONTROL, 2, writable=0x007B)
        else:
            self._registers.put(0x2C, 2, self.subsystem[0])
            self._registers.put(0x2E, 2, self.subsystem[1])
            for bar in self._bars:
                self._registers.put(BAR0 + 4 * bar, 1, 0xC if is_wide(bar) else 0)
            self._mask_bars()

    def _lay_out_power_and_msi(self) -> None:
        self._registers.put(POWER, 4, 0x4803 << 16 | MSI << 8 | 0x01)
        # No soft reset (bit 3): registers survive D3hot.
        self._registers.lay_out(PMCSR, 2, 0x0008, writable=0x0103, clears=0x8000)
        self._registers.lay_out(MSI, 4, 0x0080 << 16 | PCIE << 8 | 0x05, writable=0x00710000)
        self._registers.lay_out(MSI + 4, 8, writable=0xFFFFFFFF_FFFFFFFC)
        self._registers.lay_out(MSI + 12, 2, writable=0xFFFF)

    def _lay_out_pcie(self, generation: int, width: int, max_generation: int, max_width: int) -> None:
        self._registers.put(PCIE, 4, (self.port_type << 4 | 2) << 16 | 0x10)
        # 256-byte payload, extended tags, role-based error reporting; bit 28: function-level reset.
        self._registers.put(PCIE + 0x04, 4, 0x8021 | (1 << 28 if self.can_flr else 0))
        # Power-on values: 128-byte payload, 512-byte read requests, relaxed ordering, no snoop.
        self._registers.lay_out(DEVICE_CONTROL, 2, 0x2810, writable=0x7FFF)
        self._registers.lay_out(DEVICE_STATUS, 2, clears=0x000F)
        if self.port_type == ROOT_COMPLEX_ENDPOINT:
            return  # it has no link
        self._registers.put(LINK_CAPABILITIES, 4, 0x0040_0000 | max_width << 4 | max_generation)
        self._registers.lay_out(PCIE + 0x10, 2, 0x0040, writable=0x0FDB)
        self.train(generation, width)
        self._registers.put(PCIE + 0x24, 4, 0x0000_0013)
        self._registers.lay_out(PCIE + 0x28, 2, writable=0xFFFF)
        self._registers.put(PCIE + 0x2C, 4, ((1 << max_generation) - 1) << 1)
        self._registers.lay_out(PCIE + 0x30, 2, max_generation, writable=0x1FFF)

    def _lay_out_aer(self) -> None:
        self._registers.put(AER, 4, 2 << 16 | 0x0001)
        self._registers.lay_out(AER + 0x04, 4, clears=0x07FFF030)
        self._registers.lay_out(AER + 0x08, 4, writable=0x07FFF030)
        self._registers.lay_out(AER + 0x0C, 4, 0x00462030, writable=0x07FFF030)
        self._registers.lay_out(AER + 0x10, 4, clears=0x0000F1C1)
        self._registers.lay_out(AER + 0x14, 4, 0x00002000, writable=0x0000F1C1)
        self._registers.lay_out(AER + 0x18, 4, 0x000000A0, writable=0x00000140)
        if self.port_type == ROOT_PORT:
            self._registers.lay_out(AER + 0x2C, 4, writable=0x7)
            self._registers.lay_out(AER + 0x30, 4, clears=0x7F)

    def _lay_out_resizable_bar(self, largest: int) -> None:
        self._extend(RESIZABLE_BAR, _RESIZABLE, 1)
        first, last = 6, largest.bit_length() - 1 - _MIB_SHIFT  # NVIDIA cards offer 64 MiB and up
        self._registers.put(RESIZABLE_BAR + 4, 4, ((1 << last + 1) - (1 << first)) << 4)
        size = self._bars[RESIZABLE_INDEX].bit_length() - 1 - _MIB_SHIFT
        self._registers.lay_out(RESIZABLE_BAR + 8, 4, size << 8 | 1 << 5 | RESIZABLE_INDEX, writable=0x3F00)

    def _extend(self, offset: int, capability: int, version: int) -> None:
        """Append an extended capability to the list that begins with AER."""
        at = AER
        while after := self._registers.get(at, 4) >> 20:
            at = after
        self._registers.put(at, 4, self._registers.get(at, 4) | offset << 20)
        self._registers.put(offset, 4, version << 16 | capability)

    def _resize(self) -> None:
        wanted = self._registers.content[RESIZABLE_BAR + 9] & 0x3F
        if not self.possible_bar_sizes() >> wanted & 1:
            # An unsupported size leaves the BAR as it was; the field reads as what is in force.
            self._registers.content[RESIZABLE_BAR + 9] = self._bars[RESIZABLE_INDEX].bit_length() - 1 - _MIB_SHIFT
            return
        self._bars[RESIZABLE_INDEX] = 1 << wanted + _MIB_SHIFT
        self._mask_bars()
        at = BAR0 + 4 * RESIZABLE_INDEX
        self._registers.put(at, 8, self._registers.get(at, 8) & ~(self._bars[RESIZABLE_INDEX] - 1) | 0xC)

    def _mask_bars(self) -> None:
        for bar, size in self._bars.items():
            width = 8 if is_wide(bar) else 4
            self._registers.allow(BAR0 + 4 * bar, width, ~(size - 1) & ((1 << 8 * width) - 1) & ~0xF)


def is_wide(bar: int) -> bool:
    """Whether BAR `bar` is a 64-bit prefetchable one, which takes the next BAR's place too."""
    return bar in (1, 3)
