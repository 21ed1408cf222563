"""From a selection to an open bench with its devices: what to look for, what to fall back to, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hil.bench import file as bench_file
from hil.bench.bench import Bench, Setup
from hil.bench.enlisting import complaints, found_devices
from hil.bench.process import BACKSTOP
from hil.errors import UsageError
from hil.hosts.machine import MachineProcess
from hil.hosts.selection import DEFAULT_PROFILE, BenchKind, Selection
from hil.model import Inventory
from hil.sim import profile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hil.bench.device import DeviceFacts
    from hil.bench.file import BenchFile


class HardwareRequired(UsageError):  # noqa: N818  (says what happened, as the names in hil.errors do)
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
    said: Mapping[str, str] = field(default_factory=dict)
    """Where the user said it, by option (``bench``, ``fault``, …), for messages; default: on the command line."""

    def where(self, option: str) -> str:
        """The place that a message about `option` names."""
        return self.said.get(option, f"--hil-{option}")


def open_bench(wish: Wish) -> Bench:
    """Open the bench that was wished for.

    Raises:
        HardwareRequired: there is none, and nothing simulated was to stand in.
        UsageError: the wish makes no sense (a fault on real hardware, an unknown alias or profile, …).
        BenchFault: it could not be opened.

    """
    kind = wish.selection.kind
    if kind is BenchKind.SIM:
        _refuse_simulation(wish)
        return _simulated(wish, "as asked for")
    if kind is BenchKind.AUTO:
        return _auto(wish)
    file = _file(wish) if kind is BenchKind.FILE else None
    if file is not None and file.host.kind == "simulated":
        _refuse_simulation(wish)
        return _simulated(wish, f"{wish.selection} says so", file)
    _refuse(wish, f"bench {wish.selection} is none")
    host = {"kind": "captured", "address": wish.selection.address} if kind is BenchKind.CAPTURED else {"kind": "local"}
    setup = Setup(
        selection=wish.selection,
        folder=wish.folder,
        backstop=wish.backstop,
        reason=f"{wish.selection} says so" if file else "as asked for",
        host=file.host.spec() if file else host,
        file=file,
    )
    return _with_devices(Bench(setup), wish)


def _file(wish: Wish) -> BenchFile:
    try:
        return bench_file.load(Path(wish.selection.address))
    except UsageError as error:
        raise UsageError(f"{wish.where('bench')}: {error}") from error


def _refuse_simulation(wish: Wish) -> None:
    if wish.require_hardware:
        raise HardwareRequired(
            f"{wish.where('require-hardware')}: hardware is required, but {wish.where('bench')} names bench "
            f"{wish.selection}, which is simulated"
        )


def _auto(wish: Wish) -> Bench:
    if wish.faults:
        if wish.require_hardware:
            raise HardwareRequired(
                f"{wish.where('require-hardware')}: hardware is required, but the faults of {wish.where('fault')} "
                "exist on simulated benches only"
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
        bench.put_right()
        inventory = bench.refresh()
        if inventory.gpus:
            _refuse(wish, "bench auto is none here, where an NVIDIA GPU was found")
            return _with_devices(bench, wish, inventory)
        reason = f"no NVIDIA GPU here: {found_text(inventory)}"
    except BaseException:
        bench.close()
        raise
    bench.close()
    if wish.require_hardware:
        raise HardwareRequired(f"{wish.where('require-hardware')}: hardware is required, but {reason}")
    return _simulated(wish, reason)


def found_text(inventory: Inventory) -> str:
    """What was looked at and how much was found, in one sentence."""
    looked = ", ".join(inventory.looked_at) or "nothing could be looked at"
    counts = f"{len(inventory.enclosures)} Thunderbolt / USB4 devices, {len(inventory.functions)} PCI functions"
    return f"{counts} (looked at {looked})"


def _refuse(wish: Wish, where: str) -> None:
    if wish.faults:
        raise UsageError(
            f"{wish.where('fault')}: {', '.join(wish.faults)} can only act on a simulated machine, and {where}"
        )
    if wish.inline:
        raise UsageError(
            f"{wish.where('inline')}: only for simulated benches, since a driver could take pytest with it, and {where}"
        )


def _simulated(wish: Wish, reason: str, file: BenchFile | None = None) -> Bench:
    selection = wish.selection
    if file is not None:
        selection = Selection(BenchKind.SIM, profile=file.host.profile, address=file.host.address)
    elif selection.kind is not BenchKind.SIM:
        selection = Selection(BenchKind.SIM, profile=DEFAULT_PROFILE)
    machine: MachineProcess | None = None
    address = selection.address
    if address and wish.faults:
        raise UsageError(
            f"{wish.where('fault')}: the machine at {address} runs already; its faults are named where it is started"
        )
    try:
        if not address:
            machine = _start_machine(wish, selection.profile)
            address = machine.address
        bench = Bench(
            Setup(
                selection=selection,
                folder=wish.folder,
                backstop=wish.backstop,
                reason=reason,
                inline=wish.inline,
                machine=machine,
                address=address,
                file=file,
            )
        )
    except BaseException as error:
        if machine is not None:
            machine.close()
        if isinstance(error, UsageError) and selection.address:
            raise UsageError(f"{wish.where('bench')}: {error}") from error
        raise
    return _with_devices(bench, wish)


def _start_machine(wish: Wish, name: str) -> MachineProcess:
    try:
        profile.load(name)
    except UsageError as error:
        raise UsageError(f"{wish.where('bench')}: {error}") from error
    machine = MachineProcess(name, wish.faults)
    try:
        _ = machine.address
    except UsageError as error:  # the profile is in order: it is a fault that is not
        raise UsageError(f"{wish.where('fault')}: {error}") from error
    return machine


def _with_devices(bench: Bench, wish: Wish, inventory: Inventory | None = None) -> Bench:
    try:
        if inventory is None:
            bench.put_right()
            inventory = bench.refresh()
        _adopt(bench, inventory, wish)
    except BaseException:
        bench.close()
        raise
    return bench


def _adopt(bench: Bench, inventory: Inventory, wish: Wish) -> None:
    facts, unusable = found_devices(bench, inventory, wish.selection.kind)
    facts = _choose(bench, facts, inventory, wish)
    chosen = {fact.alias for fact in facts}
    bench.adopt(facts, {alias: reason for alias, reason in unusable.items() if alias in chosen})
    bench.notes += complaints(bench, inventory)


def _choose(bench: Bench, facts: list[DeviceFacts], inventory: Inventory, wish: Wish) -> list[DeviceFacts]:
    if wish.require_hardware and not facts:
        raise HardwareRequired(
            f"{wish.where('require-hardware')}: hardware is required, but bench {bench.name} has no device: "
            f"{found_text(inventory)}"
        )
    unknown = sorted(set(wish.only) - {fact.alias for fact in facts})
    if unknown:
        known = ", ".join(fact.alias for fact in facts) or "none"
        raise UsageError(
            f"{wish.where('device')}: no device {', '.join(unknown)} on bench {bench.name}; known: {known}"
        )
    return [fact for fact in facts if not wish.only or fact.alias in wish.only]
