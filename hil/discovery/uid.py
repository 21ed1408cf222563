"""Router ids: one 64-bit id, 16 lower-case hexadecimal digits, the same for an enclosure on Linux and macOS.

The id of a router is two words, high and low (USB4 specification, ROUTER_CS_7 and ROUTER_CS_8). macOS
prints it as it is: ``0x80878DFABA68F800``, vendor first. Linux builds a UUID of it in three ways
(`drivers/thunderbolt/switch.c`, `usb4.c`, `icm.c`) and prints the UUID's bytes in memory order:

* Thunderbolt 3 (generation 3 and less): the 64-bit number of the DROM, little endian, then ones.
  ``00ed190d-2ada-8680-ffff-ffffffffffff`` is ``8086da2a0d19ed00``.
* USB4 (generation 4), connection managed by the kernel: each word little endian, the **high word first**,
  then ones. ``c4148780-00a9-7ce8-ffff-ffffffffffff`` is ``808714c4e87ca900``.
* USB4 behind a host whose firmware manages the connections: as Thunderbolt 3.
  ``00cca024-31a9-8780-ffff-ffffffffffff`` is ``8087a93124a0cc00``; the vendor in the upper 16 bits tells it
  apart.

A UUID that does not end in ones is fused into the router (or belongs to another computer) and no 64-bit id
follows from it: it is kept whole, as 32 digits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

_INTEL = ("8086", "8087")
_USB4 = 4
_TAIL = "f" * 16
_MASK = (1 << 64) - 1


def from_unique_id(text: str, generation: int | None) -> str:
    """The id in Linux' ``unique_id``; empty when `text` is no UUID.

    Args:
        text: the attribute, ``c4148780-00a9-7ce8-ffff-ffffffffffff``.
        generation: the router's ``generation``; `None` = not reported.

    """
    digits = text.strip().lower().replace("-", "")
    if not re.fullmatch(r"[0-9a-f]{32}", digits):
        return ""
    if not digits.endswith(_TAIL):
        return digits
    first, second = (bytes.fromhex(digits[at : at + 8])[::-1].hex() for at in (0, 8))
    words_in_order, number = first + second, second + first
    by_firmware = number.startswith(_INTEL) and not words_in_order.startswith(_INTEL)
    return words_in_order if generation is not None and generation >= _USB4 and not by_firmware else number


def from_switch_uid(value: object) -> str:
    """The id in macOS' ``switch_uid_key`` (``0x80878DFABA68F800``) or ``UID`` (signed); empty if none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value & _MASK:016x}"
    match = re.fullmatch(r"\s*(?:0[xX])?([0-9a-fA-F]{1,16})\s*", value) if isinstance(value, str) else None
    return match[1].lower().zfill(16) if match else ""


def from_endpoint_guid(value: object, known: Collection[str]) -> str:
    """The id in macOS' ``Tunnel Endpoint GUID``: data with the bytes reversed, or a number.

    Args:
        value: the property; empty text comes back when it holds no id.
        known: ids of the routers on this host. Which way round a release writes the property is decided by
            the one that names a router.

    """
    if isinstance(value, (bytes, bytearray)):
        if len(value) != 8:  # noqa: PLR2004  (64 bits)
            return ""
        readings = [bytes(value)[::-1].hex(), bytes(value).hex()]
    else:
        straight = from_switch_uid(value)
        if not straight:
            return ""
        readings = [straight, bytes.fromhex(straight)[::-1].hex()]
    return next((reading for reading in readings if reading in known), readings[0])
