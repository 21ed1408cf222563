"""Domains, routers, peers and retimers from ``/sys/bus/thunderbolt/devices``; `linux` lists the files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.discovery import linux_pci, uid
from hil.discovery.sysfs import Attributes, number
from hil.model import Domain, LaneLink, LinkKind, Retimer, Router, RouterRole

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = "/sys/bus/thunderbolt/devices"

_DOMAIN = re.compile(r"domain[0-9]{1,9}")
_ROUTER = re.compile(r"([0-9]{1,9})-([0-9a-f]{1,16})")
_RETIMER = re.compile(r"[0-9]{1,9}-[0-9a-f]{1,16}:[0-9]{1,3}\.[0-9]{1,3}")
_SPEED = re.compile(r"([0-9]{1,4}(?:\.[0-9]{1,3})?) ?Gb/s")
_LINK_ATTRIBUTES = ("rx_speed", "rx_lanes", "tx_speed", "tx_lanes")
_ATTRIBUTES = (
    *(
        "vendor",
        "device",
        "vendor_name",
        "device_name",
        "unique_id",
        "generation",
        "authorized",
        "nvm_version",
    ),
    *_LINK_ATTRIBUTES,
)
_V2_LANE_GBPS = 40.0
_GENERATION_USB4, _GENERATION_TB3 = 4, 3
_MOST_LANES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """What the Thunderbolt bus holds."""

    domains: tuple[Domain, ...]
    routers: tuple[Router, ...]
    retimers: tuple[Retimer, ...]
    controllers: Mapping[str, str]
    """Domain → PCI address of its host controller (NHI)."""


def read(sysfs: Attributes) -> Tree:
    """All domains, routers, peers and retimers, as far as they can be read."""
    names = sysfs.names(ROOT)
    domains = [name for name in names if _DOMAIN.fullmatch(name)]
    return Tree(
        domains=tuple(_domain(sysfs, name) for name in domains),
        routers=tuple(
            router
            for match in map(_ROUTER.fullmatch, names)
            if match and (router := _router(sysfs, match[0], int(match[1]), int(match[2], 16)))
        ),
        retimers=tuple(_retimer(sysfs, name) for name in names if _RETIMER.fullmatch(name)),
        controllers={
            name: path[-1] for name in domains if (path := linux_pci.addresses(sysfs.target(f"{ROOT}/{name}")))
        },
    )


def link_of(sysfs: Attributes, name: str) -> LaneLink:
    """The upstream link of the router `name` alone: four small files, for whoever asks often."""
    return _link({key: text or "" for key, text in sysfs.texts(f"{ROOT}/{name}", _LINK_ATTRIBUTES).items()})


def _domain(sysfs: Attributes, name: str) -> Domain:
    told = sysfs.texts(f"{ROOT}/{name}", ("security", "deauthorization", "iommu_dma_protection"))
    flags = {"0": False, "1": True}
    return Domain(
        name=name,
        security=told["security"] or "",
        deauthorization=flags.get(told["deauthorization"] or ""),
        iommu_dma_protection=flags.get(told["iommu_dma_protection"] or ""),
    )


def _retimer(sysfs: Attributes, name: str) -> Retimer:
    told = sysfs.texts(f"{ROOT}/{name}", ("vendor", "device", "nvm_version"))
    return Retimer(
        name=name,
        vendor_id=number(told["vendor"]),
        device_id=number(told["device"]),
        firmware=told["nvm_version"] or "",
    )


def _router(sysfs: Attributes, name: str, domain: int, route: int) -> Router | None:
    read_text = sysfs.texts(f"{ROOT}/{name}", (*_ATTRIBUTES, "uevent"))
    if all(read_text[key] is None for key in _ATTRIBUTES):
        sysfs.problems.append(
            f"Thunderbolt device {name} is listed but has no readable attribute; it may just have left."
        )
        return None
    text = {key: value or "" for key, value in read_text.items()}
    uevent = dict(line.split("=", 1) for line in text["uevent"].splitlines() if "=" in line)
    role = _role(route, uevent.get("DEVTYPE", ""), read_text)
    generation = number(text["generation"])
    link = _link(text)
    return Router(
        uid=uid.from_unique_id(text["unique_id"], generation),
        name=name,
        role=role,
        domain=f"domain{domain}",
        parent=f"{domain}-{_route_above(route):x}" if route else None,
        vendor_name=text["vendor_name"],
        device_name=text["device_name"],
        vendor_id=number(text["vendor"]),
        device_id=number(text["device"]),
        kind=_kind(role, generation, uevent.get("USB4_VERSION", ""), link),
        link=link,
        authorized=number(text["authorized"]),
        firmware=text["nvm_version"],
    )


def _role(route: int, device_type: str, read_text: Mapping[str, str | None]) -> RouterRole:
    if route == 0:
        return RouterRole.HOST
    if device_type == "thunderbolt_xdomain":
        return RouterRole.PEER
    if device_type == "thunderbolt_device":
        return RouterRole.ENCLOSURE
    # No uevent was read: only routers have these two.
    told = read_text["authorized"] is not None or read_text["generation"] is not None
    return RouterRole.ENCLOSURE if told else RouterRole.PEER


def _route_above(route: int) -> int:
    """The route without its last hop, which is the highest byte in use."""
    return int(route & ((1 << 8 * ((route.bit_length() - 1) // 8)) - 1))


def _link(text: Mapping[str, str]) -> LaneLink:
    """The upstream link, by the way that carries less, or by the one that is told."""
    speeds, counts = [], []
    for way in ("rx", "tx"):
        match = _SPEED.fullmatch(text[f"{way}_speed"])
        speeds += [float(match[1])] if match and float(match[1]) else []
        count = number(text[f"{way}_lanes"])
        counts += [count] if count and count <= _MOST_LANES else []
    # An asymmetric link of USB4 v2 has three lanes one way and one the other, four in all: it is told as received.
    lanes = counts[:1] if sum(counts) == _MOST_LANES else counts
    return LaneLink(lane_gbps=min(speeds, default=None), lanes=min(lanes, default=None))


def _kind(role: RouterRole, generation: int | None, version: str, link: LaneLink) -> LinkKind:
    """The kernel calls USB4 v1 and v2 both generation 4: version or a lane's speed tells."""
    if role is RouterRole.PEER or generation is None:
        return LinkKind.UNKNOWN
    if generation < _GENERATION_USB4:
        return LinkKind.THUNDERBOLT3 if generation == _GENERATION_TB3 else LinkKind.UNKNOWN
    if version[:1] in tuple("23456789") or (link.lane_gbps or 0) >= _V2_LANE_GBPS:
        return LinkKind.THUNDERBOLT5
    # Without a version a host's own router may be either; of a device the link it made is all that is known.
    return LinkKind.USB4 if version or role is RouterRole.ENCLOSURE else LinkKind.UNKNOWN
