"""Kinds of identifiers, how they are written, and the set of those found in a capture."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

SHORTEST = 3
"""Characters of a serial number or name below which it tells nothing."""
_FEW = 2
DASHED = re.compile(rb"(?<![0-9A-Fa-f])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Fa-f])")
"""A UUID as text."""
SEPARATED = re.compile(rb"(?<![0-9A-Za-z:-])[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?![0-9A-Za-z:-])")
"""A hardware address as text; group 1 is what separates its bytes."""
_PLACEHOLDERS = {
    *("not provided", "not available", "none", "unknown", "default string", "to be filled by o.e.m.", "n/a", "[n/a]"),
    *("system serial number", "(none)", "local", "localdomain", "lan", "home", "fritz.box", "internal", "localhost"),
    *("root", "shared", "runner", "true", "false", "yes", "no"),
}


class Kind(StrEnum):
    """Kinds of identifiers, in the words of the summary."""

    ROUTER = "router id"
    UUID = "UUID"
    ADDRESS = "hardware address"
    DATA = "id in binary"
    SERIAL = "serial number"
    NAME = "name of a host or user"


@dataclass(slots=True)
class Identifiers:
    """What was found. The first four kinds are bytes in hexadecimal, lower case; the others are text."""

    found: dict[Kind, set[str]] = field(default_factory=lambda: {kind: set() for kind in Kind})
    words: set[str] = field(default_factory=set)
    """Words that stand in questions and in the inventory: as a name they identify nobody."""

    def add(self, kind: Kind, value: str) -> None:
        """Add one, unless it says nothing (all zeros, a placeholder)."""
        if kind in (Kind.SERIAL, Kind.NAME):
            value = value.strip("\0 \t\r\n")
            dull = value.lower() in _PLACEHOLDERS or len(set(re.sub(r"[^0-9A-Za-z]", "", value))) < _FEW
            wordy = kind is Kind.SERIAL and " " in value and not re.search("[0-9]", value)
            if dull or wordy or len(value) < SHORTEST:
                return
        elif len(set(value)) < _FEW:
            return
        self.found[kind].add(value)


def orders(raw: bytes) -> list[bytes]:
    """The 8 bytes of a router id in all orders in which hosts write them (see `hil.discovery.uid`); the id first.

    As it is; reversed; each word reversed; the words swapped.
    """
    return [raw, raw[::-1], raw[3::-1] + raw[:3:-1], raw[4:] + raw[:4]]
