"""A block of registers as a bus sees it: each bit read-only, writable, or cleared by writing a one to it."""

from __future__ import annotations


class Registers:
    """`size` bytes, all zero and read-only until they are laid out. Numbers are little endian."""

    def __init__(self, size: int) -> None:
        self.content = bytearray(size)
        self._writable = bytearray(size)
        self._write_one_clears = bytearray(size)

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes at `offset`; fewer at the end of the block."""
        return bytes(self.content[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        """Write as the bus does: read-only bits stay, ones clear what they clear, what lies behind the end is lost."""
        for at, byte in enumerate(data[: max(len(self.content) - offset, 0)], start=offset):
            old, mask = self.content[at], self._writable[at]
            self.content[at] = (old & ~mask & ~(byte & self._write_one_clears[at])) | (byte & mask)

    def get(self, offset: int, size: int) -> int:
        """The number at `offset`."""
        return int.from_bytes(self.content[offset : offset + size], "little")

    def put(self, offset: int, size: int, value: int) -> None:
        """Set the number at `offset`, writable or not."""
        self.content[offset : offset + size] = value.to_bytes(size, "little")

    def lay_out(self, offset: int, size: int, value: int = 0, *, writable: int = 0, clears: int = 0) -> None:
        """Define the register at `offset`: its value, its writable bits, its bits that writing a one clears."""
        self.put(offset, size, value)
        self.allow(offset, size, writable)
        self._write_one_clears[offset : offset + size] = clears.to_bytes(size, "little")

    def allow(self, offset: int, size: int, writable: int) -> None:
        """Define which bits of the register at `offset` are writable."""
        self._writable[offset : offset + size] = writable.to_bytes(size, "little")
