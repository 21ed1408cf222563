"""The reference driver's wire: what `hil.copy.simulated` and the simulated machine's driver say to each other.

It imitates no real driver. One request, one response, little endian; descriptors travel beside the response. A
connection is a context: what it allocated is freed when it closes.
"""

from __future__ import annotations

import struct
from enum import IntEnum

REQUEST = struct.Struct("<II10Q")
"""Call, flags (0), ten arguments."""
RESPONSE = struct.Struct("<iI4Q")
"""Status, length of the text behind it, four results."""


class Call(IntEnum):
    """What the driver can be asked. Arguments → results."""

    OPEN = 1
    """GPU index (by BDF order) → VRAM bytes, index; text: JSON {name, uuid, pci_address, driver_version}."""
    CLOSE = 2
    ALLOC = 3
    """bytes → device address."""
    FREE = 4
    """device address. Waits for copies that use it, as HOST_FREE does."""
    HOST_ALLOC = 5
    """bytes, pinned (0 / 1) → handle; a descriptor of the memory comes with it."""
    HOST_FREE = 6
    """handle."""
    COPY = 7
    """direction (`Way`), stream, source (address or handle), source offset, destination, destination offset,
    row bytes, rows, source pitch, destination pitch (0 = row bytes)."""
    SYNCHRONIZE = 8
    """stream, or ALL_STREAMS."""
    RECORD = 9
    """stream → event."""
    ELAPSED = 10
    """start event, end event → nanoseconds of the device's clock."""
    MEMORY = 11
    """→ free bytes, total bytes."""
    DEVICES = 12
    """→ count; text: JSON list of {target, name, uuid, pci_address, vram_bytes, driver_version}."""


class Way(IntEnum):
    """Direction of a copy on the wire."""

    H2D = 1
    D2H = 2
    D2D = 3


class Status(IntEnum):
    """The driver's error codes."""

    OK = 0
    INVALID_VALUE = 1
    OUT_OF_MEMORY = 2
    INVALID_HANDLE = 3
    INVALID_ADDRESS = 4
    DEVICE_LOST = 5
    NO_DEVICE = 6
    NOT_OPEN = 7
    NOT_READY = 8
    """An event that was not reached yet."""
    CONTEXT_LOST = 9
    """The device was reset: this context's memory is gone; open again."""
    UNKNOWN_CALL = 10
    TRANSFER_FAILED = 11
    BROKEN = 99
    """The machine itself failed, or a fault's code did: no finding about the device. The text says how."""


ALL_STREAMS = (1 << 64) - 1
