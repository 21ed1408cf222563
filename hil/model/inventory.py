"""The facts that discovery finds: host, domains, routers, enclosures, PCI functions, GPUs, and their joins."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hil.model.links import UNKNOWN_LANES, UNKNOWN_PCIE, LaneLink, LinkKind, PcieLink


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The machine that the bench hangs on. Empty text = not reported."""

    system: str
    """``Linux`` or ``Darwin``."""
    arch: str = ""
    """``arm64``, ``x86_64``, …"""
    model: str = ""
    """Name of the machine, e.g. ``MacBook Pro``."""
    os_version: str = ""
    hostname: str = ""
    boot_id: str = ""
    """Changes with every boot."""
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A Thunderbolt domain: one host controller and the tree of routers below it (macOS: a bus)."""

    name: str
    """``domain0`` on Linux, ``thunderboltusb4_bus_0`` on macOS."""
    uuid: str = ""
    security: str = ""
    """Linux: ``none``, ``user``, ``secure``, …"""
    deauthorization: bool | None = None
    """Whether the host allows to revoke an authorization (Linux); `None` = not reported."""
    iommu_dma_protection: bool | None = None


class RouterRole(StrEnum):
    """What a router is to the bench."""

    HOST = "host"
    ENCLOSURE = "enclosure"
    """Any device router: an enclosure, a dock, a disk. Only the PCI join tells whether a GPU is behind it."""
    PEER = "peer"
    """Another computer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """A Thunderbolt / USB4 router (macOS says switch). Ids are lower-case hexadecimal text."""

    uid: str
    """Unique id, 16 hexadecimal digits that are the same on Linux and on macOS (see hil.discovery.uid). Empty = not
    reported (a peer)."""
    name: str
    """``N-R`` on Linux (``0-1``), domain and route on macOS (``thunderboltusb4_bus_0-1``); unique on a host."""
    role: RouterRole
    domain: str
    parent: str | None = None
    """`name` of the router it hangs on; `None` for the host's own."""
    vendor_name: str = ""
    device_name: str = ""
    vendor_id: int | None = None
    device_id: int | None = None
    kind: LinkKind = LinkKind.UNKNOWN
    """Generation of the device's own router: this decides the expected band."""
    link: LaneLink = UNKNOWN_LANES
    """Negotiated upstream link."""
    authorized: int | None = None
    """Linux: 0 no, 1 yes, 2 by key; `None` where the host has no such notion."""
    firmware: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retimer:
    """A retimer on a router's port; Linux only (``1-0:1.1``)."""

    name: str
    vendor_id: int | None = None
    device_id: int | None = None
    firmware: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PciFunction:
    """One PCI function. `address` is ``domain:bus:device.function`` in lower-case hexadecimal (``0000:04:00.0``)."""

    address: str
    vendor_id: int
    device_id: int
    subsystem_vendor_id: int | None = None
    subsystem_device_id: int | None = None
    class_code: int | None = None
    """24 bits: class, subclass, interface."""
    parent: str | None = None
    """`address` of the bridge above; `None` at a root port or where not reported."""
    link: PcieLink = UNKNOWN_PCIE
    """As negotiated now: an idle NVIDIA GPU drops to 2.5 GT/s, a tunnel's root port always says so. No verdict on it."""
    max_link: PcieLink = UNKNOWN_PCIE
    driver: str = ""
    tunnelled: bool | None = None
    """Whether it lies behind a PCIe tunnel; `None` = not known."""
    tunnel_endpoint: str = ""
    """macOS: uid of the router at the tunnel's far end, on the tunnel's root bridge."""
    removable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosure:
    """A device router with what hangs below it."""

    router: Router
    functions: tuple[str, ...] = ()
    """Addresses of all PCI functions tunnelled through it (not those of an enclosure daisy-chained behind)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """An NVIDIA GPU, joined to its enclosure where it has one."""

    id: str
    """`device_id`: stable over re-plugs, ports and boots."""
    name: str
    """Marketing name where known, else ``NVIDIA 10de:2704``."""
    function: PciFunction
    enclosure: Router | None = None
    """Router of the enclosure that holds it; `None` = in an internal slot, or the join failed (see problems)."""
    link_kind: LinkKind = LinkKind.UNKNOWN
    """The kind of hop that bounds its bandwidth."""
    uuid: str = ""
    """NVML UUID; empty where no NVML told it."""
    vram_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """All that discovery found on one host at one moment, in an order that does not depend on enumeration."""

    host: HostFacts
    domains: tuple[Domain, ...] = ()
    routers: tuple[Router, ...] = ()
    retimers: tuple[Retimer, ...] = ()
    enclosures: tuple[Enclosure, ...] = ()
    functions: tuple[PciFunction, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    looked_at: tuple[str, ...] = ()
    """What was read or run to find this, in words for the header, e.g. ``/sys/bus/pci/devices``."""
    problems: tuple[str, ...] = field(default=())
    """What could not be read or joined, one sentence each; discovery never raises for it."""

    def gpu(self, device: str) -> Gpu | None:
        """The GPU of device id `device`, or `None`."""
        return next((gpu for gpu in self.gpus if gpu.id == device), None)
