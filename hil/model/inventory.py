"""The facts that discovery finds: host, domains, routers, enclosures, PCI functions, GPUs, and their joins."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
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
    """As negotiated now: an idle GPU drops to 2.5 GT/s, a tunnel's root port always says so. No verdict on it."""
    max_link: PcieLink = UNKNOWN_PCIE
    driver: str = ""
    tunnelled: bool | None = None
    """Whether it lies behind a PCIe tunnel; `None` = not known."""
    tunnel_endpoint: str = ""
    """macOS: uid of the router at the tunnel's far end, on the tunnel's root bridge."""
    removable: bool = False
    boot_vga: bool = False
    """Linux: whether the firmware's screens were shown by it, so that it drives the console."""


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
    """`device_id`: stable over re-plugs, ports and boots; the NVML UUID where NVML told it, else `path_id`."""
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
    path_id: str = ""
    """Its id by what it is and where it sits, whether or not NVML told a UUID: what joins the two ids of one card,
    and a night without NVML to the nights before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsbFunction:
    """A USB device on the host: an enclosure's hub or billboard, an actuator, anything else. Root hubs are left out."""

    location: str
    """Where it hangs: bus and ports as Linux writes them (``2-1.4``), or the location id of macOS (``0x02140000``)."""
    vendor_id: int
    product_id: int
    vendor_name: str = ""
    product_name: str = ""
    serial: str = ""
    speed_mbps: float | None = None
    """Mb/s: 1.5, 12, 480, 5000, 10000, 20000; `None` = not told."""
    device_class: int | None = None
    """8 bits (9 = hub, 0x11 = billboard, 0 = each interface has its own); `None` = not told."""
    controller: str = ""
    """BDF of the host controller that it hangs on; empty = not told."""
    enclosure: str = ""
    """uid (or, without one, name) of the router of the enclosure that it hangs on; empty = not known."""


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
    usb: tuple[UsbFunction, ...] = ()
    looked_at: tuple[str, ...] = ()
    """What was read or run to find this, in words for the header, e.g. ``/sys/bus/pci/devices``."""
    problems: tuple[str, ...] = field(default=())
    """What could not be read or joined, one sentence each; discovery never raises for it."""

    def lasting(self) -> Inventory:
        """The same without what changes while nothing happens: the speed of PCIe links, which idle cards lower."""

        def without_speed(function: PciFunction) -> PciFunction:
            return replace(function, link=PcieLink(gts=None, width=function.link.width))

        return replace(
            self,
            functions=tuple(map(without_speed, self.functions)),
            gpus=tuple(replace(gpu, function=without_speed(gpu.function)) for gpu in self.gpus),
        )

    def changes(self, later: Inventory) -> tuple[str, ...]:
        """What came, went or changed until `later`, one sentence each; the speed of PCIe links is left out."""
        found: list[str] = []
        before, after = self.lasting(), later.lasting()
        for kind, name in _NAMED:
            old = {getattr(one, name): one for one in getattr(before, kind)}
            new = {getattr(one, name): one for one in getattr(after, kind)}
            what = kind.removesuffix("s")
            found += [f"{what} {key} is gone" for key in old if key not in new]
            found += [f"{what} {key} came" for key in new if key not in old]
            found += [
                f"{what} {key}: {field_.name} was {getattr(old[key], field_.name)}, is {getattr(new[key], field_.name)}"
                for key in old
                if key in new
                for field_ in fields(old[key])
                if getattr(old[key], field_.name) != getattr(new[key], field_.name)
            ]
        found += [f"said before: {text}" for text in before.problems if text not in after.problems]
        found += [f"said now: {text}" for text in after.problems if text not in before.problems]
        return tuple(found)

    def behind(self, router: Router) -> tuple[Router, ...]:
        """`router` and all that hang on it: what goes when its cable is pulled."""
        below = [one for one in self.routers if one.parent == router.name]
        return (router, *(deeper for one in below for deeper in self.behind(one)))

    def card(self, function: PciFunction) -> tuple[PciFunction, ...]:
        """The functions of the card that `function` belongs to, itself among them if it is there."""
        slot = function.address.rpartition(".")[0]
        return tuple(one for one in self.functions if one.address.rpartition(".")[0] == slot)

    def gpu(self, device: str) -> Gpu | None:
        """The GPU of device id `device`, by either of its ids (`Gpu.id`, `Gpu.path_id`); `None` if there is none."""
        by_id = (gpu for gpu in self.gpus if gpu.id == device)
        by_path = (gpu for gpu in self.gpus if device and gpu.path_id == device)
        return next(by_id, None) or next(by_path, None)


_NAMED = (
    ("routers", "name"),
    ("retimers", "name"),
    ("domains", "name"),
    ("functions", "address"),
    ("gpus", "id"),
    ("usb", "location"),
)
"""What an inventory lists, and what tells one from the other."""
