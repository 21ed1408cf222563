"""The bench: a host and what hangs on it, its processes, its consent, and the order it is left in."""

from __future__ import annotations

import getpass
import os
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.bench.device import Device, DeviceFacts
from hil.bench.inline import InlineProcess
from hil.bench.locks import default_folder
from hil.bench.process import DeviceProcess
from hil.errors import BenchFault, HilError, NotPermitted, NotSupported
from hil.hosts.bench_sections import ActuatorEntry, Allow
from hil.hosts.machine import ControlLine, MachineProcess
from hil.hosts.selection import BenchKind, Selection
from hil.model import HostFacts, Inventory, from_dict, to_dict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOST = "hil.bench.operations.hosting"
DISCOVERY_DEADLINE = 60.0
"""Seconds on the host's clock; `system_profiler` may take half a minute on a busy Mac."""
ATTACH_DEADLINE = 20.0
"""Seconds from the plug to a usable GPU; owners report two to five."""
DETACH_DEADLINE = 5.0
"""Seconds from the pull until the host has noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a bench is opened with."""

    selection: Selection
    folder: Path
    """Existing; for the processes' output."""
    reason: str = ""
    """Why this bench runs, in words."""
    backstop: float = 30.0
    """Real seconds, see `hil.bench.process.BACKSTOP`."""
    inline: bool = False
    machine: MachineProcess | None = None
    """The simulated machine, if this run started one."""
    address: str = ""
    """Of the simulated machine; empty = the bench is this computer."""


class Bench:
    """An open bench. Close it: that puts back what was unplugged and ends all processes."""

    def __init__(self, setup: Setup) -> None:
        self.name = str(setup.selection)
        self.reason = setup.reason
        self.simulated = bool(setup.address)
        self.faults: tuple[str, ...] = ()
        self.allow = Allow()
        self.actuators: tuple[ActuatorEntry, ...] = ()
        self.inventory = Inventory(host=HostFacts(system="unknown"))
        self.devices: tuple[Device, ...] = ()
        self.notes: list[str] = []
        """What the person should know, one sentence each: put right, left out, busy."""
        self._setup = setup
        self._control: ControlLine | None = None
        self._processes: dict[str, DeviceProcess | InlineProcess] = {}
        self._numbers = 0
        self._detached: dict[str, Device] = {}
        self._guard = threading.Lock()
        self._closed = False
        if setup.address:
            self._control = ControlLine(setup.address, self._notice)
            told = self._control.ask("profile")
            self.allow = Allow(**told["profile"]["allow"])
            self.actuators = tuple(ActuatorEntry(**entry) for entry in told["profile"]["actuator"])
            self.faults = tuple(told["faults"])
        self._host = self.start_process(None)

    @property
    def nature(self) -> str:
        """``simulated``, ``real hardware``, or ``real OpenCL driver``: a figure never appears without it."""
        if self.simulated:
            return "simulated"
        return "real OpenCL driver" if self._setup.selection.kind is BenchKind.OPENCL else "real hardware"

    # Processes --------------------------------------------------------------------------------------------------------

    def start_process(self, alias: str | None) -> DeviceProcess | InlineProcess:
        """A fresh process on the host under test: for the device `alias`, or for the host itself."""
        self._numbers += 1
        name = alias or "host"
        client = f"{os.getpid()}-{name}-{self._numbers}"
        spec: dict[str, Any] = {"kind": "local"}
        if self._setup.address:
            spec = {"kind": "simulated", "address": self._setup.address, "client": client}
        process: DeviceProcess | InlineProcess
        if self._setup.inline:
            process = InlineProcess(name, spec, device=alias, break_off=lambda: self._break_off(client))
        else:
            process = DeviceProcess.start(
                name,
                spec,
                folder=self._setup.folder,
                backstop=self._setup.backstop,
                device=alias,
                simulated=self.simulated,
            )
        with self._guard:
            self._processes[client] = process
        return process

    def host_call(self, operation: str, /, *, deadline: float = DISCOVERY_DEADLINE, **kwargs: Any) -> Any:
        """Do an operation of `hil.bench.operations.hosting` in the host's own process."""
        return self._host_process().call(f"{HOST}:{operation}", deadline=deadline, **kwargs)

    def _host_process(self) -> DeviceProcess | InlineProcess:
        if not self._host.alive:
            self.notes.append(f"the host's own process had to be started again: {self._host.ending}")
            self._host = self.start_process(None)
        return self._host

    def _break_off(self, client: str) -> None:
        if self._control is not None:
            # From the thread that listens to the machine: asking and waiting there would wait for itself.
            threading.Thread(
                target=self._control.ask, args=("break",), kwargs={"client": client}, daemon=True
            ).start()

    def _notice(self, notice: dict[str, Any]) -> None:
        with self._guard:
            process = self._processes.get(notice["client"])
        if process is not None:
            process.expire(
                {key: notice[key] for key in ("operation", "deadline", "now", "blocked_in")}  # type: ignore[arg-type]
            )

    @contextmanager
    def standstill(self) -> Iterator[None]:
        """Begin several operations at one moment: on a simulated bench no time passes within this block."""
        if self._control is None:
            yield
            return
        self._control.ask("hold")
        try:
            yield
        finally:
            self._control.ask("release")

    # Inventory --------------------------------------------------------------------------------------------------------

    def refresh(self) -> Inventory:
        """Look again at what hangs on the host."""
        self.inventory = from_dict(Inventory, self.host_call("inventory"))
        return self.inventory

    def adopt(self, facts: Sequence[DeviceFacts]) -> None:
        """Make devices of `facts`: lock each, put right what a dead run left, quarantine what another run holds."""
        self.devices = tuple(Device(self, fact) for fact in facts)
        for device in self.devices:
            try:
                self._lock(device)
            except BenchFault as error:
                device.quarantine = str(error)
                self.notes.append(f"{device.alias}: {error}")

    def device(self, alias: str) -> Device:
        """The device of that alias.

        Raises:
            BenchFault: there is none.

        """
        for device in self.devices:
            if device.alias == alias:
                return device
        raise BenchFault(f"no device {alias!r} on bench {self.name}; there are: {self.aliases() or 'none'}")

    def aliases(self) -> str:
        """Aliases of all devices, for messages."""
        return ", ".join(device.alias for device in self.devices)

    def _lock(self, device: Device) -> None:
        holder = {
            "pid": os.getpid(),
            "user": _user(),
            "command": " ".join(sys.argv)[:200],
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        left = self.host_call("lock", device=device.facts.id, folder=str(self._lock_folder()), holder=holder)
        for enclosure in left.get("detached", ()):
            self.notes.append(f"{device.alias}: a run that died had unplugged {enclosure}; plugged in again")
            self._detached[enclosure] = device
            self.attach(device)

    def _lock_folder(self) -> Path:
        # On the host under test: a simulated machine's own folder.
        return Path(self._setup.address).parent if self._setup.address else default_folder()

    # Consent and control ----------------------------------------------------------------------------------------------

    def require(self, what: str, device: Device) -> None:
        """Check the bench's consent.

        Raises:
            NotPermitted: ``allow.what`` is not set.

        """
        if not getattr(self.allow, what):
            raise NotPermitted(
                f"bench {self.name} does not allow {what} of {device.alias}: set allow.{what} = true if it may be done",
                device=device.alias,
                operation=what,
            )

    def cannot_unplug(self, device: Device) -> str:
        """Why `device` cannot be unplugged here; empty if it can."""
        if device.facts.enclosure is None:
            return "it sits in no enclosure"
        if not self.allow.unplug:
            return "the bench does not allow unplugging (allow.unplug)"
        if self._actuator(device) is None:
            return f"no actuator of the bench acts on its enclosure {device.facts.enclosure.device_name}"
        return ""

    def detach_call(self, device: Device, *, after: float = 0.0) -> Any:
        """Submit the pulling of `device`'s cable `after` seconds from now; returns the `Call`."""
        entry = self._require_actuator(device)
        enclosure = device.require_enclosure()
        self._remember(enclosure.uid, device)
        return self._host_process().submit(
            f"{HOST}:detach",
            deadline=after + DETACH_DEADLINE,
            enclosure=to_dict(enclosure),
            kind=entry.kind,
            options=entry.options,
            after=after,
        )

    def detach(self, device: Device) -> float:
        """Pull `device`'s cable and wait until the host has noticed; seconds that took."""
        self.detach_call(device).result()
        return self.await_gone(device)

    def await_gone(self, device: Device, *, deadline: float = DETACH_DEADLINE) -> float:
        """Wait until the host no longer shows `device` nor its enclosure; seconds."""
        enclosure = device.require_enclosure()
        seconds = self.host_call(
            "await_gone",
            enclosure=to_dict(enclosure),
            functions=self._functions(enclosure.uid),
            router_too=True,
            within=deadline,
            deadline=deadline + DISCOVERY_DEADLINE,
        )
        return float(seconds)

    def attach(self, device: Device, *, port: int | None = None, deadline: float = ATTACH_DEADLINE) -> float:
        """Plug `device`'s enclosure in and wait until it is usable; seconds that took."""
        entry = self._require_actuator(device)
        enclosure = device.require_enclosure()
        self.host_call(
            "attach",
            deadline=ATTACH_DEADLINE,
            enclosure=to_dict(enclosure),
            kind=entry.kind,
            options=entry.options,
            port=port,
        )
        together = [d for d in self.devices if d.facts.enclosure and d.facts.enclosure.uid == enclosure.uid]
        seconds = self.host_call(
            "await_present",
            enclosure=to_dict(enclosure),
            gpus=len(together),
            within=deadline,
            deadline=deadline + DISCOVERY_DEADLINE,
        )
        self._forget(enclosure.uid)
        inventory = self.refresh()
        for one in together:
            one.relocate(inventory)
            one.renew()
        return float(seconds)

    def replug(self, device: Device) -> None:
        """Detach, if it is attached, and attach."""
        if device.require_enclosure().uid not in self._detached:
            with suppress(HilError):  # half gone already: what counts is whether it comes back
                self.detach(device)
        self.attach(device)

    def _remember(self, enclosure: str, device: Device) -> None:
        self._detached[enclosure] = device
        self.host_call("note", device=device.facts.id, state={"detached": sorted(self._detached)})

    def _forget(self, enclosure: str) -> None:
        device = self._detached.pop(enclosure, None)
        if device is not None:
            self.host_call("note", device=device.facts.id, state={"detached": sorted(self._detached)})

    def _functions(self, enclosure: str) -> list[str]:
        found = (e for e in self.inventory.enclosures if e.router.uid == enclosure)
        return [address for one in found for address in one.functions]

    def _actuator(self, device: Device) -> ActuatorEntry | None:
        enclosure = device.facts.enclosure
        if enclosure is None:
            return None
        names = (enclosure.uid, enclosure.device_name)
        return next((entry for entry in self.actuators if entry.enclosure in names), None)

    def _require_actuator(self, device: Device) -> ActuatorEntry:
        self.require("unplug", device)
        entry = self._actuator(device)
        if entry is None:
            raise NotSupported(
                f"{device.alias} cannot be unplugged: {self.cannot_unplug(device)}", device=device.alias
            )
        return entry

    # The end ----------------------------------------------------------------------------------------------------------

    def close(self) -> list[str]:
        """Plug in what was unplugged, end all processes, switch the simulated machine off.

        Returns:
            What could not be put back, one sentence each.

        """
        if self._closed:
            return []
        self._closed = True
        complaints: list[str] = []
        for device in list(self._detached.values()):
            try:
                self.attach(device)
            except HilError as error:
                complaints.append(f"{device.alias} could not be plugged in again: {error}")
        for device in self.devices:
            with suppress(HilError):
                self.host_call("unlock", device=device.facts.id, deadline=5.0)
        with self._guard:
            processes = list(self._processes.values())
        for process in processes:
            process.close()
        if self._control is not None:
            self._control.close()
        if self._setup.machine is not None:
            self._setup.machine.close()
        return complaints


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
