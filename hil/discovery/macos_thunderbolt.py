"""Buses, routers and peers from `system_profiler`; the lanes of links from the I/O registry where it tells.

Buses come in descending order and their index is not the receptacle's: nothing here depends on either.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hil.discovery import uid
from hil.model import Domain, LaneLink, LinkKind, Router, RouterRole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hil.discovery.macos_ioreg import Entry

_KINDS = {
    "thunderbolt_three": LinkKind.THUNDERBOLT3,
    "usb_four": LinkKind.USB4,
    "usb_four_v2": LinkKind.THUNDERBOLT5,
}
_LANE_GBPS = {8: 10.0, 4: 20.0, 2: 40.0}  # IOThunderboltPort's `Current Link Speed`
_WIDTHS = {1, 2}
# What can only be one split: two lanes at the fastest the mode has.
_SPLITS = {(LinkKind.THUNDERBOLT3, 40.0): 2, (LinkKind.USB4, 40.0): 2, (LinkKind.THUNDERBOLT5, 80.0): 2}
_SPEED = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?) ?Gb/s")
_HEX = re.compile(r"0[xX]([0-9a-fA-F]{1,8})")
_ROUTE = re.compile(r"[0-9a-fA-F]{1,16}")


def read(
    document: Mapping[str, Any], entries: Iterable[Entry], problems: list[str]
) -> tuple[tuple[Domain, ...], tuple[Router, ...]]:
    """Domains and routers in `document`; `entries` of the registry tell the lanes of links."""
    known = lanes(entries)
    domains: list[Domain] = []
    routers: list[Router] = []
    names: set[str] = set()
    buses = document.get("SPThunderboltDataType")
    todo: list[tuple[dict[str, Any], str, str | None]] = []
    for bus in sorted(_dicts(buses), key=_order):
        name = _text(bus, "_name")
        if not name:
            problems.append("system_profiler: a Thunderbolt bus has no name; left out.")
            continue
        domains.append(Domain(name=name, uuid=_text(bus, "domain_uuid_key").lower()))
        todo.append((bus, name, None))
    while todo:
        item, domain, parent = todo.pop(0)
        router = _router(item, domain, parent)
        if router.role is RouterRole.ENCLOSURE and not router.uid:
            problems.append(
                f"system_profiler: {router.device_name or 'a device'!r} on {domain} tells no switch_uid_key."
            )
        router = replace(router, name=_unique(router.name, names))
        if router.link.gbps is not None and router.uid in known and known[router.uid].gbps == router.link.gbps:
            router = replace(router, link=known[router.uid])
        routers.append(router)
        todo += [(below, domain, router.name) for below in sorted(_dicts(item.get("_items")), key=_order)]
    return tuple(domains), tuple(routers)


def _router(item: Mapping[str, Any], domain: str, parent: str | None) -> Router:
    own_uid = uid.from_switch_uid(item.get("switch_uid_key"))
    if parent is None:
        role = RouterRole.HOST
    elif not own_uid and "domain_uuid_key" in item:
        role = RouterRole.PEER
    else:
        role = RouterRole.ENCLOSURE
    route = _text(item, "route_string_key")
    tag = route.lower() if _ROUTE.fullmatch(route) else "0" if parent is None else own_uid or role.value
    kind = _KINDS.get(_text(item, "mode_key"), LinkKind.UNKNOWN)
    return Router(
        uid=own_uid,
        name=f"{domain}-{tag}",
        role=role,
        domain=domain,
        parent=parent,
        vendor_name=_text(item, "vendor_name_key"),
        device_name=_text(item, "device_name_key") or _text(item, "_name"),
        vendor_id=_hex(item.get("vendor_id_key")),
        device_id=_hex(item.get("device_id_key")),
        kind=kind,
        link=_link(item.get("receptacle_upstream_ambiguous_tag"), kind)
        if parent
        else LaneLink(lane_gbps=None, lanes=None),
        firmware=_text(item, "switch_version_key"),
    )


def _link(tag: Any, kind: LinkKind) -> LaneLink:
    """The upstream link. "Up to 40 Gb/s" is what an idle port could do, no link."""
    match = _SPEED.fullmatch(_text(tag, "current_speed_key")) if isinstance(tag, dict) else None
    if not match or not float(match[1]):
        return LaneLink(lane_gbps=None, lanes=None)
    total = float(match[1])
    count = _SPLITS.get((kind, total))
    if count:
        return LaneLink(lane_gbps=total / count, lanes=count)
    return LaneLink(lane_gbps=None, lanes=None, total_gbps=total)


def lanes(entries: Iterable[Entry]) -> dict[str, LaneLink]:
    """Router id → link of its upstream port: in the registry a router hangs on that port."""
    found: dict[str, LaneLink] = {}
    for entry in entries:
        own_uid = uid.from_switch_uid(entry.properties.get("UID"))
        if not entry.class_name.startswith("IOThunderboltSwitch") or not own_uid:
            continue
        port = next((e for e in entry.upwards() if e.class_name == "IOThunderboltPort"), None)
        speed = _LANE_GBPS.get(port.number("Current Link Speed") or 0) if port else None
        width = port.number("Current Link Width") if port else None
        if speed and width in _WIDTHS:
            found[own_uid] = LaneLink(lane_gbps=speed, lanes=width)
    return found


def _unique(name: str, names: set[str]) -> str:
    """`name`, with a number where it is taken: names identify routers on a host."""
    wished, n = name, 1
    while name in names:
        n += 1
        name = f"{wished}#{n}"
    names.add(name)
    return name


def _order(item: Mapping[str, Any]) -> tuple[Any, ...]:
    name = _text(item, "_name")
    number = re.search(r"([0-9]{1,9})$", name)
    return (
        re.sub(r"[0-9]+$", "", name) if number else name,
        int(number[1]) if number else -1,
        _text(item, "route_string_key").rjust(16, "0"),
        _text(item, "switch_uid_key"),
        _text(item, "domain_uuid_key"),
    )


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""


def _hex(value: Any) -> int | None:
    match = _HEX.fullmatch(value) if isinstance(value, str) else None
    return int(match[1], 16) if match else None
