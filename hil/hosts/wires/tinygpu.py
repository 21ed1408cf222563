"""TinyGPU's socket protocol, as tinygrad 0.14.0 speaks it: the subset that probing, registers and reset need.

Source: tinygrad's `APLRemotePCIDevice` and its server; request and response are packed little endian.
"""

from __future__ import annotations

import struct
from enum import IntEnum

REQUEST = struct.Struct("<BIIQQQ")
"""Command, device, BAR, three arguments."""
RESPONSE = struct.Struct("<BQQ")
"""Status (0 or 1), two results. Status 1: the first result is the length of an error text that follows."""


class Command(IntEnum):
    """Command numbers."""

    PROBE = 0
    """→ nothing; status 1 with text when no driver matched. Sent first."""
    MAP_BAR = 1
    """bar → where the server mapped it (its own address), size of the BAR; no descriptor comes with it."""
    MAP_SYSMEM_FD = 2
    CFG_READ = 3
    """offset, size (1, 2, 4) → value."""
    CFG_WRITE = 4
    """offset, size, value."""
    RESET = 5
    MMIO_READ = 6
    """bar; offset, size → the bytes follow the response (first result: their number)."""
    MMIO_WRITE = 7
    """bar; offset, size; the bytes follow the request. Posted: no response, failures are dropped silently."""
    MAP_SYSMEM = 8
    SYSMEM_READ = 9
    SYSMEM_WRITE = 10
    RESIZE_BAR = 11
    PING = 12


MMIO_BURST_LIMIT = 64 << 20
"""Bytes; the largest MMIO burst the server takes."""
BOOT_0 = 0x0
"""NV_PMC_BOOT_0 in BAR0: chip identification; all ones = off the bus."""
BOOT_42 = 0xA00
"""NV_PMC_BOOT_42 in BAR0."""
WPR2_ADDR_HI = 0x1FA828
"""In BAR0; not zero = GSP firmware was booted before: the next open resets first."""
