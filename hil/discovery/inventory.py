"""From contributions to the inventory: enclosures with their functions, GPUs with their ids, all in order."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from hil.discovery import pci_ids, usb_join
from hil.discovery.source import Contribution, GpuDetail
from hil.model import (
    Enclosure,
    Gpu,
    HostFacts,
    Inventory,
    LinkKind,
    PciFunction,
    Router,
    RouterRole,
    device_id,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_DISPLAY = {0x0300, 0x0302}  # PCI class VGA compatible and 3D controller
_SLOWEST_FIRST = (LinkKind.THUNDERBOLT3, LinkKind.USB4, LinkKind.THUNDERBOLT5)


def assemble(host: HostFacts, found: Contribution) -> Inventory:
    """The inventory of `host` that follows from `found`."""
    problems = list(found.problems)
    routers = tuple(sorted(found.routers, key=lambda r: natural(r.name)))
    functions = tuple(sorted(found.functions, key=lambda f: f.address))
    by_name = {router.name: router for router in routers}
    return Inventory(
        host=host,
        domains=tuple(sorted(found.domains, key=lambda d: natural(d.name))),
        routers=routers,
        retimers=tuple(sorted(found.retimers, key=lambda r: natural(r.name))),
        enclosures=tuple(
            Enclosure(
                router=router,
                functions=tuple(f.address for f in functions if found.enclosure_of.get(f.address) == router.name),
            )
            for router in routers
            if router.role is RouterRole.ENCLOSURE
        ),
        functions=functions,
        gpus=_gpus(functions, by_name, found, problems),
        usb=tuple(sorted(usb_join.joined(found.usb, routers, found.enclosure_of), key=lambda u: natural(u.location))),
        looked_at=found.looked_at,
        problems=tuple(dict.fromkeys(problems)),
    )


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts ``domain2`` before ``domain10``."""
    parts = re.findall(r"[0-9]{1,18}|[^0-9]+", name)
    return tuple((0, int(part), "") if part[0].isdecimal() else (1, 0, part) for part in parts)


def _gpus(
    functions: tuple[PciFunction, ...],
    routers: Mapping[str, Router],
    found: Contribution,
    problems: list[str],
) -> tuple[Gpu, ...]:
    gpus = []
    seen: Counter[str] = Counter()
    for function in functions:
        if not _is_gpu(function, problems):
            continue
        enclosure = routers.get(found.enclosure_of.get(function.address, ""))
        if enclosure is None and function.address in found.unjoined:
            problems.append(f"GPU {function.address} is joined to no enclosure: {found.unjoined[function.address]}.")
        detail = found.details.get(function.address, GpuDetail())
        if enclosure:
            path = str(seen[enclosure.name])
            seen[enclosure.name] += 1
        else:
            path = function.address.rsplit(".", 1)[0]
        path_id = device_id(
            vendor_id=function.vendor_id,
            device_id=function.device_id,
            subsystem=(function.subsystem_vendor_id, function.subsystem_device_id),
            enclosure_uid=(enclosure.uid or enclosure.name) if enclosure else "",
            path=path,
        )
        gpus.append(
            Gpu(
                id=detail.uuid or path_id,
                name=detail.name or pci_ids.name(function.device_id),
                function=function,
                enclosure=enclosure,
                link_kind=_bounding_kind(function, enclosure, routers),
                uuid=detail.uuid,
                vram_bytes=detail.vram_bytes,
                path_id=path_id,
            )
        )
    return tuple(sorted(gpus, key=lambda gpu: (gpu.path_id, gpu.function.address)))


def _is_gpu(function: PciFunction, problems: list[str]) -> bool:
    if function.vendor_id != pci_ids.NVIDIA:
        return False
    if function.class_code is not None:
        return function.class_code >> 8 in _DISPLAY
    if pci_ids.is_known(function.device_id):
        return True
    if function.address.endswith(".0"):
        problems.append(
            f"NVIDIA function {function.address} (10de:{function.device_id:04x}) tells no class and is in no "
            "table: whether it is a GPU is not known."
        )
    return False


def _bounding_kind(function: PciFunction, enclosure: Router | None, routers: Mapping[str, Router]) -> LinkKind:
    """The slowest kind of router on the way from the host to the enclosure; a slot's is PCIe."""
    if enclosure is None:
        return LinkKind.PCIE if function.tunnelled is False else LinkKind.UNKNOWN
    if enclosure.kind not in _SLOWEST_FIRST:
        return LinkKind.UNKNOWN
    way: list[Router] = [enclosure]
    while (above := routers.get(way[-1].parent or "")) and above not in way:
        way.append(above)
    return min((r.kind for r in way if r.kind in _SLOWEST_FIRST), key=_SLOWEST_FIRST.index)
