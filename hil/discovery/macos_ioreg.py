"""The I/O registry as `ioreg -a -l` prints it: a property list of nested entries, read leniently."""

from __future__ import annotations

import plistlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHILDREN = "IORegistryEntryChildren"
# ioreg copies strings as drivers set them; these make the XML invalid.
_CONTROL = bytes(range(9)) + b"\x0b\x0c" + bytes(range(14, 32))


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One entry of the registry."""

    properties: dict[str, Any]
    parent: Entry | None = None

    @property
    def class_name(self) -> str:
        """The entry's class, e.g. ``IOPCIDevice``."""
        return self.text("IOObjectClass")

    @property
    def children(self) -> list[dict[str, Any]]:
        """Properties of the entries directly below."""
        below = self.properties.get(_CHILDREN)
        return [child for child in below if isinstance(child, dict)] if isinstance(below, list) else []

    @property
    def path(self) -> str:
        """Names from the root down, with their locations: the same at every boot."""
        names = (f"{e.text('IORegistryEntryName')}@{e.text('IORegistryEntryLocation')}" for e in self.upwards())
        return "/".join(reversed(list(names)))

    def upwards(self) -> Iterator[Entry]:
        """The entry and those above it, nearest first."""
        entry: Entry | None = self
        while entry is not None:
            yield entry
            entry = entry.parent

    def text(self, key: str) -> str:
        """A property that is text (or data holding text); empty when it is not there."""
        value = self.properties.get(key)
        if isinstance(value, (bytes, bytearray)):
            return bytes(value).rstrip(b"\0").decode("utf-8", errors="replace")
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        """A property that is a number, or data of up to 8 bytes, little endian; `None` when it is neither."""
        value = self.properties.get(key)
        if isinstance(value, (bytes, bytearray)):
            return int.from_bytes(value, "little") if 0 < len(value) <= 8 else None  # noqa: PLR2004  (64 bits)
        return value if isinstance(value, int) and not isinstance(value, bool) else None


def parse(data: bytes) -> list[Entry]:
    """All entries in the property list `data`, each after its parent.

    Raises:
        ValueError: it is no property list, or was cut off; says where.

    """
    try:
        root = plistlib.loads(data.translate(None, _CONTROL), fmt=plistlib.FMT_XML)
    except Exception as error:  # plistlib lets escape whatever its handlers stumble on
        raise ValueError(f"no property list: {error}") from error
    entries: list[Entry] = []
    todo = (
        [Entry(root)]
        if isinstance(root, dict)
        else [Entry(e) for e in root if isinstance(e, dict)][::-1]
        if isinstance(root, list)
        else []
    )
    while todo:
        entry = todo.pop()
        entries.append(entry)
        todo += [Entry(child, entry) for child in reversed(entry.children)]
    return entries
