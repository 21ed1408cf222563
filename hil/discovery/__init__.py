"""Discovery: what hangs on a host. Reads only, never raises for what it finds, invents nothing.

`discover` asks every source registered under the entry-point group ``hil.discovery``. A source is a
callable in a file of its own, ``(host) -> Contribution | None`` (see `hil.discovery.source`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hil import registry
from hil.discovery.inventory import assemble
from hil.discovery.source import Contribution, GpuDetail, Source, merged
from hil.errors import HilError
from hil.model import HostFacts, Inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hil.hosts.base import Host

__all__ = ["BUSES", "GROUP", "Contribution", "GpuDetail", "Source", "discover", "glance"]

GROUP = "hil.discovery"
"""Entry-point group of the sources."""
BUSES = ("linux", "macos")
"""Sources that read what the operating system keeps of its buses, and open no device."""


def discover(host: Host, sources: Mapping[str, Source] | None = None) -> Inventory:
    """What hangs on `host`: routers, enclosures, PCI functions, GPUs, and what could not be found out.

    Safe at any time: it reads and runs nothing that changes the host. Whatever fails is a sentence in
    `Inventory.problems`; the order of everything is independent of enumeration.

    Args:
        host: the host.
        sources: sources by name instead of the registered ones.

    """
    parts: list[Contribution] = []
    try:
        facts = host.facts()
    except (OSError, HilError) as error:
        facts = HostFacts(system="")
        return assemble(facts, Contribution(problems=(f"The host does not tell what it is: {error}.",)))
    for name in sorted(sources) if sources is not None else registry.names(GROUP):
        try:
            source: Source = sources[name] if sources is not None else registry.load(GROUP, name)
            part = source(host)
        except Exception as error:  # noqa: BLE001  (a third party's source must not cost the inventory)
            part = Contribution(problems=(f"Discovery source {name!r} failed: {type(error).__name__}: {error}.",))
        if part is not None:
            parts.append(part)
    if not parts:
        parts = [
            Contribution(problems=(f"No discovery source knows how to look at a {facts.system or 'nameless'} host.",))
        ]
    return assemble(facts, merged(parts))


def glance(host: Host) -> Inventory:
    """As `discover`, by the buses alone: for polling while something comes or goes.

    NVML and USB would open devices that are just leaving: slow at best, and a driver that holds a device open keeps it
    from being removed. GPUs therefore bear their ids by place (`Gpu.path_id`).
    """
    return discover(host, {name: registry.load(GROUP, name) for name in BUSES})
