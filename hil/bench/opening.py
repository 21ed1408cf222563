"""From a selection to an open bench with its devices: what to look for, what to fall back to, and why."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hil import registry
from hil.bench.bench import Bench, Setup
from hil.bench.device import OPERATIONS, DeviceFacts
from hil.bench.process import BACKSTOP
from hil.hosts.selection import DEFAULT_PROFILE, BenchKind, Selection
from hil.copy import EngineDevice
from hil.errors import HilError, UsageError
from hil.hosts.machine import MachineProcess
from hil.model import Gpu, Inventory, aliases, from_dict, gpu_aliases, slug

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ENUMERATION_DEADLINE = 60.0
"""Seconds; PoCL compiles its built-in kernels at its very first start."""


class HardwareRequired(UsageError):
    """No real hardware to run on, and the user asked for nothing less."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the user asked for."""

    selection: Selection
    folder: Path
    """Existing; for the processes' output."""
    faults: Sequence[str] = ()
    backstop: float = BACKSTOP
    inline: bool = False
    only: Sequence[str] = ()
    """Aliases to use; empty = all."""
    require_hardware: bool = False


def open_bench(wish: Wish) -> Bench:
    """Open the bench that was wished for.

    Raises:
        HardwareRequired: there is none, and nothing simulated was to stand in.
        UsageError: the wish makes no sense (a fault on real hardware, an unknown alias or profile, …).
        BenchFault: it could not be opened.

    """
    kind = wish.selection.kind
    if kind is not BenchKind.SIM and kind is not BenchKind.AUTO:
        _refuse(wish, f"bench {wish.selection}")
        setup = Setup(
            selection=wish.selection, folder=wish.folder, backstop=wish.backstop, reason="as asked for"
        )
        return _with_devices(Bench(setup), wish)
    if kind is BenchKind.SIM:
        if wish.require_hardware:
            raise HardwareRequired(
                f"bench {wish.selection} is simulated, and --hil-require-hardware was given"
            )
        return _simulated(wish, "as asked for")
    return _auto(wish)


def _auto(wish: Wish) -> Bench:
    if wish.faults:
        if wish.require_hardware:
            raise HardwareRequired(
                "faults run on simulated benches only, and --hil-require-hardware was given"
            )
        return _simulated(wish, "faults were asked for, and they exist on simulated benches only")
    local = Selection(BenchKind.LOCAL)
    bench = Bench(
        Setup(
            selection=local,
            folder=wish.folder,
            backstop=wish.backstop,
            reason="an NVIDIA GPU hangs on this machine",
        )
    )
    try:
        inventory = bench.refresh()
        if inventory.gpus:
            _refuse(wish, "this machine has an NVIDIA GPU, so bench auto is real hardware")
            return _with_devices(bench, wish)
        reason = f"no NVIDIA GPU here: {found_text(inventory)}"
    except BaseException:
        bench.close()
        raise
    bench.close()
    if wish.require_hardware:
        raise HardwareRequired(f"{reason}; --hil-require-hardware was given, so nothing simulated stands in")
    return _simulated(wish, reason)


def found_text(inventory: Inventory) -> str:
    """What was looked at and how much was found, in one sentence."""
    looked = ", ".join(inventory.looked_at) or "nothing could be looked at"
    counts = (
        f"{len(inventory.enclosures)} Thunderbolt / USB4 devices, {len(inventory.functions)} PCI functions"
    )
    return f"{counts} (looked at {looked})"


def _refuse(wish: Wish, where: str) -> None:
    if wish.faults:
        raise UsageError(f"--hil-fault acts on simulated machines only: {where}")
    if wish.inline:
        raise UsageError(
            f"--hil-inline is for simulated benches: {where}, and its driver could take pytest with it"
        )


def _simulated(wish: Wish, reason: str) -> Bench:
    selection = wish.selection
    if selection.kind is not BenchKind.SIM:
        selection = Selection(BenchKind.SIM, profile=DEFAULT_PROFILE)
    machine: MachineProcess | None = None
    address = selection.address
    if address and wish.faults:
        raise UsageError(
            f"--hil-fault: the machine at {address} runs already; give the faults to the one that starts it"
        )
    if not address:
        machine = MachineProcess(selection.profile, wish.faults)
        address = machine.address
    try:
        bench = Bench(
            Setup(
                selection=selection,
                folder=wish.folder,
                backstop=wish.backstop,
                reason=reason,
                inline=wish.inline,
                machine=machine,
                address=address,
            )
        )
    except BaseException:
        if machine is not None:
            machine.close()
        raise
    return _with_devices(bench, wish)


def _with_devices(bench: Bench, wish: Wish) -> Bench:
    try:
        inventory = bench.refresh()
        if wish.selection.kind is BenchKind.OPENCL:
            facts = _opencl_devices(bench)
        else:
            facts = _gpu_devices(bench, inventory)
        unknown = sorted(set(wish.only) - {fact.alias for fact in facts})
        if unknown:
            known = ", ".join(fact.alias for fact in facts) or "none"
            raise UsageError(
                f"--hil-device {', '.join(unknown)}: no such device on bench {bench.name}; known: {known}"
            )
        bench.adopt([fact for fact in facts if not wish.only or fact.alias in wish.only])
    except BaseException:
        bench.close()
        raise
    return bench


def _gpu_devices(bench: Bench, inventory: Inventory) -> list[DeviceFacts]:
    names = gpu_aliases(inventory)
    offered = _offers(bench) if inventory.gpus else {}
    return sorted(
        (_join(gpu, names[gpu.id], offered, bench) for gpu in inventory.gpus), key=lambda fact: fact.alias
    )


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
            return replace(facts, engine=name, target=here[0].target, vram_bytes=here[0].vram_bytes)
    return facts


def _offers(bench: Bench) -> dict[str, list[EngineDevice]]:
    names = (
        ["simulated"]
        if bench.simulated
        else [n for n in registry.names("hil.copy_engines") if n != "simulated"]
    )
    return {name: _enumerate(bench, name) for name in names}


def _enumerate(bench: Bench, name: str) -> list[EngineDevice]:
    # In a process of its own: a driver library may hang or crash as soon as it is loaded.
    process = bench.start_process(f"enumerate-{name}")
    try:
        found: list[Any] = process.call(
            f"{OPERATIONS}.session:devices", deadline=ENUMERATION_DEADLINE, name=name
        )
    except HilError as error:
        bench.notes.append(f"copy engine {name} could not look for devices: {error}")
        return []
    finally:
        process.close()
    return [from_dict(EngineDevice, facts) for facts in found]


def _opencl_devices(bench: Bench) -> list[DeviceFacts]:
    devices = _enumerate(bench, "opencl")
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
        )
        for device in devices
    ]
