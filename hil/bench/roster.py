"""The devices that a bench file lists, found again in the inventory, and the facts that have to hold of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hil.model import MIB

if TYPE_CHECKING:
    from hil.bench.file import BenchFile, DeviceEntry, Expect
    from hil.model import Gpu, Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One entry of the bench file, and what was found for it."""

    entry: DeviceEntry
    gpu: Gpu | None
    absent: str = ""
    """Why there is no GPU, one sentence."""


def call(file: BenchFile, inventory: Inventory) -> tuple[Listed, ...]:
    """Find each device that `file` lists, in its order."""
    found: list[Listed] = []
    taken: dict[str, str] = {}
    for entry in file.device:
        gpu = _find(entry, inventory)
        absent = "" if gpu else _absence(entry, inventory)
        if gpu is not None and taken.setdefault(gpu.id, entry.alias) != entry.alias:
            absent, gpu = f"its ids are those of {taken[gpu.id]}, another device of the bench file", None
        found.append(Listed(entry=entry, gpu=gpu, absent=absent))
    return tuple(found)


def aliases(file: BenchFile, inventory: Inventory) -> dict[str, str]:
    """Aliases of the devices of `file` that are there, by device id."""
    return {one.gpu.id: one.entry.alias for one in call(file, inventory) if one.gpu}


def left_out(file: BenchFile, inventory: Inventory) -> tuple[Gpu, ...]:
    """GPUs that are there and that `file` does not list."""
    listed = aliases(file, inventory)
    return tuple(gpu for gpu in inventory.gpus if gpu.id not in listed)


def idle_actuators(file: BenchFile, inventory: Inventory) -> tuple[str, ...]:
    """One sentence on each actuator whose enclosure is not there."""
    routers = [enclosure.router for enclosure in inventory.enclosures]
    known = {name for router in routers for name in (router.uid, router.device_name)}
    there = ", ".join(f"{router.device_name} ({router.uid})" for router in routers) or "none"
    return tuple(
        f"actuator {entry.kind} acts on enclosure {entry.enclosure}, which is not there; there are: {there}"
        for entry in file.actuator
        if entry.enclosure not in known
    )


def unmet(expect: Expect, gpu: Gpu, vram_bytes: int | None) -> tuple[str, ...]:
    """What does not hold of `gpu`: fact, expected and found, one sentence each.

    Args:
        expect: of the bench file.
        gpu: as discovered.
        vram_bytes: as its copy engine tells it, for where discovery does not.

    """
    return tuple(
        f"expect.{key} = {wanted}: found {'nothing that tells it' if found is None else found}"
        for key, wanted, found, holds in _facts(expect, gpu, vram_bytes)
        if wanted is not None and not holds
    )


def found_facts(gpu: Gpu) -> dict[str, str | int | float]:
    """What `unmet` would find of `gpu`, by key, without what is not known: expectations that hold now."""
    router = gpu.enclosure
    facts: dict[str, str | int | float | None] = {
        "name": gpu.name,
        "enclosure": router.device_name if router else None,
        "firmware": router.firmware if router else None,
        "link": gpu.link_kind.value if gpu.link_kind.value != "unknown" else None,
        "min_gbps": router.link.gbps if router else None,
        "min_lanes": router.link.lanes if router else None,
        "pcie_width": gpu.function.link.width,
        "min_vram_mib": gpu.vram_bytes // MIB if gpu.vram_bytes else None,
        "driver": gpu.function.driver,
    }
    return {key: value for key, value in facts.items() if value}


def _facts(
    expect: Expect, gpu: Gpu, vram_bytes: int | None
) -> Iterator[tuple[str, object, str | int | float | None, bool]]:
    found = found_facts(gpu)
    if vram_bytes and "min_vram_mib" not in found:
        found["min_vram_mib"] = vram_bytes // MIB
    for key in type(expect).model_fields:
        wanted, has = getattr(expect, key), found.get(key)
        if key.startswith("min_") and isinstance(wanted, (int, float)):
            holds = isinstance(has, (int, float)) and has >= wanted
        else:
            holds = has == wanted
        yield key, wanted, has, holds


def _find(entry: DeviceEntry, inventory: Inventory) -> Gpu | None:
    by_id = inventory.gpu(entry.id) if entry.id else None
    if by_id is not None:
        return by_id
    by_place = inventory.gpu(entry.path_id) if entry.path_id else None
    return None if by_place is None or _is_another(by_place, entry) else by_place


def _is_another(gpu: Gpu, entry: DeviceEntry) -> bool:
    """Whether `gpu` sits where `entry` should and is another card of the same kind: its UUID tells."""
    return bool(gpu.uuid) and entry.id.startswith("GPU-") and gpu.uuid != entry.id


def _absence(entry: DeviceEntry, inventory: Inventory) -> str:
    other = inventory.gpu(entry.path_id) if entry.path_id else None
    if other is not None:
        return f"another card of its kind sits in its place: {other.uuid} instead of {entry.id}"
    there = ", ".join(f"{gpu.name} ({gpu.id})" for gpu in inventory.gpus) or "none"
    because = f"; discovery says: {' '.join(inventory.problems)}" if inventory.problems else ""
    return (
        f"it is not there: no GPU has the id {' or '.join(entry.ids)}; GPUs that are there: {there}{because}. Check "
        "cable and supply, then see `hil doctor`"
    )
