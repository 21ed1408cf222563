"""Which devices a bench has: those that its file lists, else every GPU, and which copy engine drives each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hil.bench import roster
from hil.bench.device import DeviceFacts
from hil.bench.limits import over
from hil.bench.offers import ask, engine_names
from hil.errors import HilError
from hil.hosts.selection import BenchKind
from hil.model import Gpu, Inventory, aliases, gpu_aliases, slug

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.bench.bench import Bench
    from hil.bench.file import BenchFile
    from hil.copy import EngineDevice


def found_devices(bench: Bench, inventory: Inventory, kind: BenchKind) -> tuple[list[DeviceFacts], dict[str, str]]:
    """All devices of `bench`, and why some of them cannot be used, by alias.

    Notes of the bench tell what was left out.
    """
    if kind is BenchKind.OPENCL:
        return _opencl_devices(bench), {}
    if bench.file is not None and bench.file.device:
        return _listed_devices(bench, bench.file, inventory)
    return _gpu_devices(bench, inventory), {}


def complaints(bench: Bench, inventory: Inventory) -> list[str]:
    """What of the bench file has no effect on this bench, one sentence each; once its devices are adopted."""
    if bench.file is None:
        return []
    return [*roster.idle_actuators(bench.file, inventory), *_unwatched(bench)]


def _gpu_devices(bench: Bench, inventory: Inventory) -> list[DeviceFacts]:
    names = gpu_aliases(inventory)
    offered = _offers(bench) if inventory.gpus else {}
    return sorted((_join(gpu, names[gpu.id], offered, bench) for gpu in inventory.gpus), key=lambda fact: fact.alias)


def _listed_devices(bench: Bench, file: BenchFile, inventory: Inventory) -> tuple[list[DeviceFacts], dict[str, str]]:
    """The devices of the bench file, in its order, and why some of them cannot be used, by alias."""
    offered = _offers(bench) if inventory.gpus else {}
    facts: list[DeviceFacts] = []
    unusable: dict[str, str] = {}
    for one in roster.call(file, inventory):
        entry = one.entry
        if one.gpu is None:
            name = entry.expect.name or entry.alias
            facts.append(
                DeviceFacts(
                    alias=entry.alias, id=entry.ids[0], name=name, engine="", target="", gpu=None,
                    simulated=bench.simulated,
                )
            )  # fmt: skip
            unusable[entry.alias] = one.absent
            continue
        engines = {entry.engine: offered.get(entry.engine, [])} if entry.engine else offered
        fact = _join(one.gpu, entry.alias, engines, bench)
        facts.append(fact)
        wrong = list(roster.unmet(entry.expect, one.gpu, fact.vram_bytes))
        if entry.engine and not fact.engine:
            wrong.append(f"engine = {entry.engine}: it offers no device at {one.gpu.function.address}")
        if wrong:
            unusable[entry.alias] = f"it is not as the bench file says: {'; '.join(wrong)}"
    bench.notes += (
        f"{gpu.name} ({gpu.id}) is attached and not listed in the bench file: left out"
        for gpu in roster.left_out(file, inventory)
    )
    return facts, unusable


def _unwatched(bench: Bench) -> list[str]:
    """Whether the limits of the bench file cannot be watched: said once, not a silent pass at every test."""
    try:
        for device in bench.devices:
            if not device.quarantine:
                over(device)
    except HilError as error:
        return [f"the bench file's limits cannot be watched: {error}"]
    return []


def _join(gpu: Gpu, alias: str, offered: dict[str, list[EngineDevice]], bench: Bench) -> DeviceFacts:
    facts = DeviceFacts(
        alias=alias,
        id=gpu.id,
        name=gpu.name,
        engine="",
        target="",
        gpu=gpu,
        simulated=bench.simulated,
        vram_bytes=gpu.vram_bytes,
    )
    for name, devices in offered.items():
        here = [device for device in devices if device.pci_address == gpu.function.address]
        if here:
            found = here[0]
            return replace(
                facts, engine=name, target=found.target, vram_bytes=found.vram_bytes, driver=found.driver_version
            )
    return facts


def _offers(bench: Bench) -> dict[str, list[EngineDevice]]:
    if bench.captured:
        return {}
    # What the bench file names comes on top: a third party's engine may drive a simulated machine too.
    named = [entry.engine for entry in bench.file.device if entry.engine] if bench.file else []
    return _ask(bench, list(dict.fromkeys([*engine_names(simulated=bench.simulated), *named])))


def _ask(bench: Bench, names: Sequence[str]) -> dict[str, list[EngineDevice]]:
    offers, problems = ask(names, bench.start_process)
    bench.notes += problems
    return offers


def _opencl_devices(bench: Bench) -> list[DeviceFacts]:
    devices = _ask(bench, ["opencl"])["opencl"]
    names = aliases({device.target: slug(device.name) for device in devices})
    return [
        DeviceFacts(
            alias=names[device.target],
            id=f"opencl/{device.target}",
            name=device.name,
            engine="opencl",
            target=device.target,
            gpu=None,
            simulated=False,
            vram_bytes=device.vram_bytes,
            driver=device.driver_version,
        )
        for device in devices
    ]
