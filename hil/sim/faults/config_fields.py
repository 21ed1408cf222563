"""Fields of config space within the bytes that somebody reads."""

from __future__ import annotations


def with_field(data: bytes, offset: int, register: int, mask: int, value: int) -> bytes:
    """`data`, read at `offset`, with the bits `mask` of the 16-bit register at `register` showing `value`.

    Untouched where the register lies outside of what was read, and where nobody answered (all ones).
    """
    changed = bytearray(data)
    if set(data) == {0xFF}:
        return data
    for i in range(2):
        at = register + i - offset
        if 0 <= at < len(data):
            bits = mask >> 8 * i & 0xFF
            changed[at] = changed[at] & ~bits | value >> 8 * i & bits
    return bytes(changed)
