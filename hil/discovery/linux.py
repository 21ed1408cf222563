"""Discovery on Linux: Thunderbolt / USB4 routers and PCI functions from sysfs, and their join.

Exactly this is read (a missing file is a missing fact, never an error):

``/sys/bus/thunderbolt/devices`` is listed; its entries are symbolic links into ``/sys/devices``.
    ``domainN``: the link itself, ``…/pci0000:00/0000:00:0d.2/domain0`` (which host controller it belongs
    to), and the files ``security``, ``deauthorization``, ``iommu_dma_protection``.
    Routers and peers ``N-R`` (domain in decimal, route in hexadecimal, a byte a hop, the host's own hop
    lowest: ``0-0`` host, ``0-1``, behind its port 3 ``0-301``): ``uevent`` (``DEVTYPE=thunderbolt_device``
    or ``thunderbolt_xdomain``, ``USB4_VERSION=2.0``), ``vendor``, ``device``, ``vendor_name``,
    ``device_name``, ``unique_id`` (see `hil.discovery.uid` for its byte order), ``generation``,
    ``authorized``, ``nvm_version``, ``rx_speed`` ("20.0 Gb/s", of one lane), ``rx_lanes``, and
    ``tx_speed``, ``tx_lanes`` where those are missing. A peer (another computer) has no ``authorized`` and
    no ``generation``. The host's router has no speed.
    Retimers ``N-R:P.I``: ``vendor``, ``device``, ``nvm_version``. Services ``N-R.I`` and other names are
    passed over.

``/sys/bus/pci/devices`` is listed; its entries are symbolic links.
    ``BDF``: the link itself, ``../../../devices/pci0000:00/0000:00:07.0/0000:03:00.0`` (the bridges above),
    and the files ``vendor``, ``device``, ``subsystem_vendor``, ``subsystem_device``, ``class``,
    ``current_link_speed`` ("16.0 GT/s PCIe"), ``current_link_width``, ``max_link_speed``,
    ``max_link_width``, ``removable`` ("removable" below an external-facing port, since 5.14), ``boot_vga`` (of
    display controllers), and the link ``driver``.
    The folder of each domain's host controller is listed for ``consumer:pci:BDF`` (``consumer:BDF`` before
    5.14): the device links the kernel makes from the tunnels' root ports to their controller
    (`drivers/thunderbolt/acpi.c`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hil.discovery import join, linux_pci, linux_thunderbolt
from hil.discovery.source import Contribution
from hil.discovery.sysfs import Attributes

if TYPE_CHECKING:
    from hil.hosts.base import Host

_CONSUMER = re.compile(rf"consumer:(?:pci:)?({linux_pci.ADDRESS})")


def discover(host: Host) -> Contribution | None:
    """What sysfs of `host` tells, reading only; `None` when it is no Linux host."""
    if host.facts().system != "Linux":
        return None
    sysfs = Attributes(host)
    tree = linux_thunderbolt.read(sysfs)
    functions, unplaced = linux_pci.read(sysfs)
    controllers = tuple(
        join.Controller(domain=domain, address=address, consumers=_consumers(sysfs, address))
        for domain, address in sorted(tree.controllers.items())
    )
    joined = join.by_kernel_topology(functions, tree.routers, controllers, unplaced)
    return Contribution(
        domains=tree.domains,
        routers=tree.routers,
        retimers=tree.retimers,
        functions=joined.functions,
        enclosure_of=joined.enclosure_of,
        unjoined=joined.unjoined,
        looked_at=(linux_thunderbolt.ROOT, linux_pci.ROOT),
        problems=tuple(sysfs.problems),
    )


def _consumers(sysfs: Attributes, address: str) -> tuple[str, ...]:
    names = sysfs.names(f"{linux_pci.ROOT}/{address}")
    return tuple(sorted(match[1] for match in map(_CONSUMER.fullmatch, names) if match))
