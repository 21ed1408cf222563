"""The host that a command looks at: opened from what ``--bench`` names, closed behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hil.bench import roster
from hil.bench.file import BenchFile, load
from hil.bench.locks import default_folder
from hil.discovery import discover
from hil.errors import NotSupported
from hil.hosts.base import Host
from hil.hosts.machine import MachineProcess
from hil.hosts.opening import open_host
from hil.hosts.selection import BenchKind, Selection
from hil.model import Inventory


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An open host."""

    selection: Selection
    """As it was named; `BenchKind.AUTO` has become this machine."""
    spec: dict[str, Any]
    """What opens the same host in another process."""
    host: Host
    file: BenchFile | None = None
    """The bench file, if one was named."""

    @property
    def simulated(self) -> bool:
        """Whether it is a simulated machine."""
        return bool(self.spec["kind"] == "simulated")

    @property
    def lock_folder(self) -> Path:
        """Where the locks of its devices lie: in a simulated machine's own folder, or the one of this machine."""
        return Path(self.spec["address"]).parent if self.simulated else default_folder()


def look_by_file(selection: Selection) -> tuple[Inventory, dict[str, str]]:
    """What hangs on the host of the bench file that `selection` names, and the aliases it gives, by device id."""
    with opened(selection) as target:
        inventory = discover(target.host)
    return inventory, {} if target.file is None else roster.aliases(target.file, inventory)


@contextmanager
def opened(selection: Selection) -> Iterator[Target]:
    """Open the host that `selection` names; a simulated machine that is started for it is switched off at the end.

    ``auto`` is this machine, never the simulated one in its place: who looks for what is wrong, or writes down what
    is there, means this one.

    Raises:
        UsageError: a profile, bench file or capture cannot be used.
        BenchFault: the host cannot be opened.

    """
    file: BenchFile | None = None
    machine: MachineProcess | None = None
    spec: dict[str, Any] = {"kind": "local"}
    match selection.kind:
        case BenchKind.OPENCL:
            raise NotSupported("bench opencl has no topology to look at; give local, sim, sim:PROFILE or a bench file")
        case BenchKind.AUTO:
            selection = Selection(BenchKind.LOCAL)
        case BenchKind.FILE:
            file = load(Path(selection.address))
            spec = file.host.spec()
        case BenchKind.CAPTURED:
            spec = {"kind": "captured", "address": selection.address}
        case BenchKind.SIM:
            spec = {"kind": "simulated", "address": selection.address, "profile": selection.profile}
    try:
        if spec["kind"] == "simulated":
            profile = spec.pop("profile")
            if not spec["address"]:
                machine = MachineProcess(profile)
                spec["address"] = machine.address
        host = open_host(spec)
        try:
            yield Target(selection=selection, spec=spec, host=host, file=file)
        finally:
            host.close()
    finally:
        if machine is not None:
            machine.close()
