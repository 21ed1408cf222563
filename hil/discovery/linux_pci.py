"""PCI functions from ``/sys/bus/pci/devices``; the list of files is in `linux`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hil.discovery.sysfs import number
from hil.model import PcieLink, PciFunction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.discovery.sysfs import Attributes

ROOT = "/sys/bus/pci/devices"
ADDRESS = r"[0-9a-f]{4,8}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]"
"""Regular expression of ``domain:bus:device.function``; VMD makes domains of up to eight digits."""

_ADDRESS = re.compile(ADDRESS)
_SPEED = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?) GT/s.*")
_ATTRIBUTES = (
    *("vendor", "device", "subsystem_vendor", "subsystem_device", "class"),
    *("current_link_speed", "current_link_width", "max_link_speed", "max_link_width"),
    *("removable", "boot_vga"),
)
_WIDTHS = {1, 2, 4, 8, 12, 16, 32}  # 0 and 255 mean that there is no link


def read(sysfs: Attributes) -> tuple[tuple[PciFunction, ...], frozenset[str]]:
    """All PCI functions as far as they can be read, sorted by address; `tunnelled` is left open.

    Returns:
        The functions, and the addresses of those whose bridges are not known.

    """
    found: list[PciFunction] = []
    unplaced: set[str] = set()
    for address in sysfs.names(ROOT):
        if not _ADDRESS.fullmatch(address):
            continue
        path = addresses(sysfs.target(f"{ROOT}/{address}"))
        function = _function(sysfs, address, path)
        if function is None:
            sysfs.problems.append(
                f"PCI function {address} is listed but tells no vendor and device; it may just have left."
            )
            continue
        found.append(function)
        if path[-1:] != [address]:
            unplaced.add(address)
            sysfs.problems.append(
                f"PCI function {address}: {ROOT}/{address} is no link to it; its bridges are not known."
            )
    return tuple(found), frozenset(unplaced)


def addresses(target: str | None) -> list[str]:
    """PCI addresses in the path `target`, from the root down."""
    return [part for part in (target or "").split("/") if _ADDRESS.fullmatch(part)]


def _function(sysfs: Attributes, address: str, path: list[str]) -> PciFunction | None:
    folder = f"{ROOT}/{address}"
    told = sysfs.texts(folder, _ATTRIBUTES)
    vendor, device = number(told["vendor"]), number(told["device"])
    if vendor is None or device is None:
        return None
    driver = sysfs.target(f"{folder}/driver")
    return PciFunction(
        address=address,
        vendor_id=vendor,
        device_id=device,
        subsystem_vendor_id=number(told["subsystem_vendor"]),
        subsystem_device_id=number(told["subsystem_device"]),
        class_code=number(told["class"]),
        parent=_parent(path),
        link=_link(told, "current"),
        max_link=_link(told, "max"),
        driver=driver.rstrip("/").rsplit("/", 1)[-1] if driver else "",
        removable=told["removable"] == "removable",
        boot_vga=told["boot_vga"] == "1",
    )


def _parent(path: list[str]) -> str | None:
    """The bridge above; a bridge in another PCI domain (VMD's) is no bridge of this bus."""
    same_bus = len(path) > 1 and path[-2].split(":")[0] == path[-1].split(":")[0]
    return path[-2] if same_bus else None


def _link(told: Mapping[str, str | None], which: str) -> PcieLink:
    speed = _SPEED.fullmatch(told[f"{which}_link_speed"] or "")
    width = number(told[f"{which}_link_width"])
    return PcieLink(gts=float(speed[1]) if speed else None, width=width if width in _WIDTHS else None)
