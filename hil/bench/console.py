"""The GPU that drives the console: which it is, and what would take it away. Nothing ever is allowed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hil.bench.bench import Bench
    from hil.bench.device import Device
    from hil.model import Inventory, Router


def untouchable(device: Device, what: str) -> str:
    """Why `what` (``reset``, ``unplug``, …) is never done to `device`, whatever is allowed; empty if it may be."""
    gpu, enclosure = device.facts.gpu, device.facts.enclosure
    if gpu is None:
        return ""
    drives = _functions(device.bench)
    if gpu.function.address in drives:
        return "it drives the console"
    if enclosure is None or what in {"reset", "unbind", "bar_write"}:
        return ""
    along = drives & taken_along(device.bench.inventory, enclosure)
    return f"what drives the console ({', '.join(sorted(along))}) goes with its enclosure" if along else ""


def _functions(bench: Bench) -> frozenset[str]:
    """Addresses of the PCI functions that drive the console: the one that was named, and the firmware's choice."""
    aliased = {d.facts.gpu.function.address for d in bench.devices if d.alias == bench.console_gpu and d.facts.gpu}
    return frozenset({f.address for f in bench.inventory.functions if f.boot_vga} | aliased | {bench.console_gpu})


def taken_along(inventory: Inventory, enclosure: Router) -> frozenset[str]:
    """Addresses of the PCI functions that go when `enclosure` goes: its own, and those daisy-chained behind it."""
    found: set[str] = set()
    away = {enclosure.name}
    above = {router.name: router.parent for router in inventory.routers}
    for one in inventory.enclosures:
        at: str | None = one.router.name
        passed: set[str] = set()
        while at is not None and at not in passed:
            if at in away or one.router.uid == enclosure.uid:
                found.update(one.functions)
                break
            passed.add(at)
            at = above.get(at)
    return frozenset(found)
