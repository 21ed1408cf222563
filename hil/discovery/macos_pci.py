"""PCI functions on macOS, from the I/O registry and from `system_profiler`: either one suffices.

The registry keys are those of Apple's IOPCIFamily. A function's number comes from ``pcidebug``
("4:0:0(5:10)": bus, device, function in decimal, buses behind a bridge in brackets), else from ``reg``.
Each root complex of an Apple chip counts its buses from 0: where two functions would have one address, the
root complexes are told apart by the domain, in the order of their registry paths.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hil.discovery import uid
from hil.discovery.macos_ioreg import Entry
from hil.model import PcieLink, PciFunction

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_GTS = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0}
_WIDTHS = {1, 2, 4, 8, 12, 16, 32}
_DEBUG = re.compile(r"([0-9]{1,3}):([0-9]{1,2}):([0-7])(?:\(.*)?")
_SLOT = re.compile(r"([^@]*)@([0-9]{1,3}),([0-9]{1,2}),([0-7])")
_SPEED = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) ?GT/s")
_ID = re.compile(r"0[xX]([0-9a-fA-F]{1,8})")
_MOST_BUS, _MOST_DEVICE = 0xFF, 0x1F


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A function as SPPCIDataType tells it."""

    name: str
    vendor_id: int
    device_id: int
    subsystem: tuple[int | None, int | None]
    number: str
    """``bus:device.function``; empty where no slot is told."""
    tunnelled: bool | None
    link: PcieLink


def from_registry(entries: Collection[Entry], known: Collection[str], problems: list[str]) -> tuple[PciFunction, ...]:
    """PCI functions in the registry; `known` are the ids of the host's routers."""
    found: list[tuple[Entry, str]] = []
    for entry in entries:
        if entry.class_name != "IOPCIDevice" and "pcidebug" not in entry.properties:
            continue
        if entry.number("vendor-id") is None or entry.number("device-id") is None:
            continue  # a pure nub
        number = _number(entry)
        if number:
            found.append((entry, number))
        else:
            problems.append(f"ioreg: {entry.path.rsplit('/', 1)[-1]} ({_ids(entry)}) has no number; left out.")
    clash = max(Counter(number for _, number in found).values(), default=1) > 1
    roots = sorted({_root(entry) for entry, _ in found}) if clash else []
    addresses = {id(entry): f"{roots.index(_root(entry)) if clash else 0:04x}:{number}" for entry, number in found}
    functions = [_function(entry, addresses, known) for entry, _ in found]
    return tuple({function.address: function for function in reversed(functions)}.values())


def from_profiler(document: Mapping[str, Any], problems: list[str]) -> tuple[Slot, ...]:
    """Functions in SPPCIDataType of `system_profiler`'s JSON."""
    slots = []
    for item in _items(document.get("SPPCIDataType")):
        vendor, device = _hex(item.get("sppci_vendor-id")), _hex(item.get("sppci_device-id"))
        name = _text(item, "_name")
        if vendor is None or device is None:
            problems.append(f"system_profiler: PCI item {name!r} tells no vendor and device; left out.")
            continue
        match = _SLOT.fullmatch(_text(item, "sppci_slot_name"))
        number = _checked(*(int(part) for part in match.groups()[1:])) if match else ""
        speed = _SPEED.fullmatch(_text(item, "sppci_link-speed"))
        width = re.fullmatch(r"x([0-9]{1,2})", _text(item, "sppci_link-width"))
        slots.append(
            Slot(
                name=name,
                vendor_id=vendor,
                device_id=device,
                subsystem=(_hex(item.get("sppci_subsystem-vendor-id")), _hex(item.get("sppci_subsystem-id"))),
                number=number,
                # "tunnel-compatible" speaks of the driver; the slot's name says where the function is.
                tunnelled=match[1].startswith("Thunderbolt") if match and match[1] else None,
                link=_known(float(speed[1]) if speed else None, int(width[1]) if width else None),
            )
        )
    return tuple(slots)


def united(functions: tuple[PciFunction, ...], slots: tuple[Slot, ...], problems: list[str]) -> tuple[PciFunction, ...]:
    """The registry's `functions`, gaps filled from `slots`, and those that only the profiler knows."""
    found = list(functions)
    for slot in sorted(slots, key=lambda s: (s.number, s.vendor_id, s.device_id, s.name)):
        fits = [
            at
            for at, f in enumerate(found)
            if (f.vendor_id, f.device_id) == (slot.vendor_id, slot.device_id)
            and (not slot.number or f.address.split(":", 1)[1] == slot.number)
        ]
        if len(fits) == 1:
            found[fits[0]] = _filled(found[fits[0]], slot)
        elif slot.number and not fits:
            found.append(
                PciFunction(
                    address=f"0000:{slot.number}",
                    vendor_id=slot.vendor_id,
                    device_id=slot.device_id,
                    subsystem_vendor_id=slot.subsystem[0],
                    subsystem_device_id=slot.subsystem[1],
                    link=slot.link,
                    tunnelled=slot.tunnelled,
                )
            )
        else:
            problems.append(f"system_profiler: PCI item {slot.name!r} cannot be placed: {len(fits)} functions fit it.")
    return tuple({function.address: function for function in reversed(found)}.values())


def _filled(function: PciFunction, slot: Slot) -> PciFunction:
    return replace(
        function,
        link=slot.link if function.link.gts is None else function.link,
        tunnelled=slot.tunnelled or function.tunnelled,
        subsystem_vendor_id=slot.subsystem[0] if function.subsystem_vendor_id is None else function.subsystem_vendor_id,
        subsystem_device_id=slot.subsystem[1] if function.subsystem_device_id is None else function.subsystem_device_id,
    )


def _function(entry: Entry, addresses: Mapping[int, str], known: Collection[str]) -> PciFunction:
    above = list(entry.upwards())
    endpoint = uid.from_endpoint_guid(entry.properties.get("Tunnel Endpoint GUID"), known)
    subsystem_vendor, subsystem_device = entry.number("subsystem-vendor-id"), entry.number("subsystem-id")
    class_code = entry.number("class-code")
    return PciFunction(
        address=addresses[id(entry)],
        vendor_id=(entry.number("vendor-id") or 0) & 0xFFFF,
        device_id=(entry.number("device-id") or 0) & 0xFFFF,
        subsystem_vendor_id=None if subsystem_vendor is None else subsystem_vendor & 0xFFFF,
        subsystem_device_id=None if subsystem_device is None else subsystem_device & 0xFFFF,
        class_code=None if class_code is None else class_code & 0xFFFFFF,
        parent=next((addresses[id(e)] for e in above[1:] if id(e) in addresses), None),
        link=_express(entry.number("IOPCIExpressLinkStatus")),
        max_link=_express(entry.number("IOPCIExpressLinkCapabilities")),
        driver=_driver(entry),
        # The kernel marks one function of the chain; what hangs below it is tunnelled with it.
        tunnelled=any(
            e.properties.get("IOPCITunnelled") is True or "Tunnel Endpoint GUID" in e.properties for e in above
        ),
        tunnel_endpoint=endpoint,
    )


def _ids(entry: Entry) -> str:
    return f"{(entry.number('vendor-id') or 0) & 0xFFFF:04x}:{(entry.number('device-id') or 0) & 0xFFFF:04x}"


def _driver(entry: Entry) -> str:
    """What matched the function: a driver extension's server, or a kernel extension's bundle."""
    for child in map(Entry, entry.children):
        if name := child.text("IOUserServerName") or child.text("CFBundleIdentifier"):
            return name
    return ""


def _root(entry: Entry) -> str:
    """Path of the entry above the topmost PCI function: its root complex."""
    topmost = [e for e in entry.upwards() if e.class_name == "IOPCIDevice" or "pcidebug" in e.properties][-1]
    return topmost.parent.path if topmost.parent else ""


def _number(entry: Entry) -> str:
    match = _DEBUG.fullmatch(entry.text("pcidebug"))
    if match:
        return _checked(int(match[1]), int(match[2]), int(match[3]))
    reg = entry.properties.get("reg")
    if isinstance(reg, (bytes, bytearray)) and len(reg) >= 4:  # noqa: PLR2004  (the first cell)
        cell = int.from_bytes(reg[:4], "little")  # Open Firmware's phys.hi: bus 23:16, device 15:11, function 10:8
        return _checked(cell >> 16 & 0xFF, cell >> 11 & 0x1F, cell >> 8 & 7)
    return ""


def _checked(bus: int, device: int, function: int) -> str:
    return f"{bus:02x}:{device:02x}.{function}" if bus <= _MOST_BUS and device <= _MOST_DEVICE else ""


def _express(register: int | None) -> PcieLink:
    """Bits 3:0 are the generation, 9:4 the width, alike in link status and link capabilities."""
    return (
        PcieLink(gts=None, width=None) if register is None else _known(_GTS.get(register & 0xF), register >> 4 & 0x3F)
    )


def _known(gts: float | None, width: int | None) -> PcieLink:
    """The link, or none where one half is no value of a link (all ones: the function does not answer)."""
    return PcieLink(gts=gts, width=width) if gts and width in _WIDTHS else PcieLink(gts=None, width=None)


def _items(value: Any) -> Iterator[dict[str, Any]]:
    todo = list(value) if isinstance(value, list) else []
    while todo:
        item = todo.pop(0)
        if isinstance(item, dict):
            yield item
            below = item.get("_items")
            todo += below if isinstance(below, list) else []


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _hex(value: Any) -> int | None:
    match = _ID.fullmatch(value) if isinstance(value, str) else None
    return int(match[1], 16) & 0xFFFF if match else None
