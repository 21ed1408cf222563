"""The bench: a host and what hangs on it, its processes, its consent, and the order it is left in."""

from __future__ import annotations

import getpass
import os
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hil.bench import console, sleeping
from hil.bench.counting import Counting
from hil.bench.deadlines import Deadlines
from hil.bench.device import Device, DeviceFacts
from hil.bench.file import BenchFile, Limits
from hil.bench.inline import InlineProcess
from hil.bench.locks import default_folder
from hil.bench.messages import full_name
from hil.bench.notes import Notes, given_up
from hil.bench.plugs import Plugs
from hil.bench.process import DeviceProcess
from hil.bench.removals import Removals
from hil.bench.supplies import Supplies
from hil.control import capabilities
from hil.errors import BenchFault, HilError, NotPermitted, says_enough
from hil.hosts.bench_sections import ActuatorEntry, Allow
from hil.hosts.machine import ControlLine, MachineProcess
from hil.hosts.selection import BenchKind, Selection
from hil.model import HostFacts, Inventory, Router, from_dict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from hil.bench.calls import Call

__tracebackhide__ = says_enough
HOST = "hil.bench.operations.hosting"
QUIET = frozenset({"bar_write"})
"""What needs consent and yet gives neither link nor driver a reason to complain."""
DISCOVERY_DEADLINE = 60.0
"""Seconds on the host's clock; `system_profiler` may take half a minute on a busy Mac."""


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
    """Of the simulated machine; empty = `host` says where the bench is."""
    host: Mapping[str, Any] = field(default_factory=lambda: {"kind": "local"})
    """What `hil.hosts.opening.open_host` takes, for a bench that is not simulated."""
    file: BenchFile | None = None
    """What consent, actuators and deadlines are taken from; `None` = a simulated machine's profile, or defaults."""


class Bench:
    """An open bench. Close it: that puts back what was unplugged and ends all processes."""

    def __init__(self, setup: Setup) -> None:
        self.name = setup.file.name if setup.file else str(setup.selection)
        self.reason = setup.reason
        self.simulated = bool(setup.address)
        self.faults: tuple[str, ...] = ()
        self.allow = setup.file.allow if setup.file else Allow()
        self.actuators: tuple[ActuatorEntry, ...] = setup.file.actuator if setup.file else ()
        self.deadlines = setup.file.deadlines if setup.file else Deadlines()
        self.limits = setup.file.limits if setup.file else Limits()
        self.console_gpu = setup.file.console_gpu if setup.file else ""
        """PCI address or alias of a GPU that nothing destructive is ever done to, beside the firmware's own choice."""
        self.inventory = Inventory(host=HostFacts(system="unknown"))
        self.devices: tuple[Device, ...] = ()
        self.struck: tuple[int, ...] = ()
        """How often each of `faults` has acted; known once the bench is closed."""
        self.notes: list[str] = []
        """What the person should know, one sentence each: put right, left out, busy."""
        self._setup = setup
        self._control: ControlLine | None = None
        self._processes: dict[str, DeviceProcess | InlineProcess] = {}
        self._numbers = 0
        self.left = Notes(self)
        self.plugs = Plugs(self)
        self.supplies = Supplies(self)
        self.removals = Removals(self)
        self.counting = Counting(self)
        self._guard = threading.Lock()
        self._closed = False
        if setup.address:
            self._control = ControlLine(setup.address, self._notice)
        try:
            if self._control is not None:
                told = self._control.ask("profile")
                if setup.file is None:
                    self.allow = Allow(**told["profile"]["allow"])
                    self.actuators = tuple(ActuatorEntry(**entry) for entry in told["profile"]["actuator"])
                self.faults = tuple(told["faults"])
            self._host = self.start_process(None)
        except BaseException:
            if self._control is not None:
                self._control.close()
            raise

    @property
    def file(self) -> BenchFile | None:
        """The bench file that it was opened with, if one was named."""
        return self._setup.file

    @property
    def captured(self) -> bool:
        """Whether it only answers what was recorded: nothing can be opened, moved or waited for."""
        return not self.simulated and self._setup.host["kind"] == "captured"

    @property
    def nature(self) -> str:
        """``simulated``, ``captured``, ``real hardware``, ``real OpenCL driver``: a figure never appears without it."""
        if self.simulated:
            return "simulated"
        if self.captured:
            return "captured"
        return "real OpenCL driver" if self._setup.selection.kind is BenchKind.OPENCL else "real hardware"

    # Processes --------------------------------------------------------------------------------------------------------

    def start_process(self, alias: str | None) -> DeviceProcess | InlineProcess:
        """A fresh process on the host under test: for the device `alias`, or for the host itself."""
        self._numbers += 1
        name = alias or "host"
        client = f"{os.getpid()}-{name}-{self._numbers}"
        spec = dict(self._setup.host)
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
        """Do an operation of `hil.bench.operations.hosting`, or a ``module:function``, in the host's own process."""
        return self._host_process().call(_of_host(operation), deadline=deadline, **kwargs)

    def host_submit(self, operation: str, /, *, deadline: float, **kwargs: Any) -> Call:
        """As `host_call`, without waiting."""
        return self._host_process().submit(_of_host(operation), deadline=deadline, **kwargs)

    def _host_process(self) -> DeviceProcess | InlineProcess:
        if not self._host.alive:
            self.notes.append(f"the host's own process had to be started again: {self._host.ending}")
            self._host = self.start_process(None)
            self._lock_devices()  # the locks died with it; what stands beside them did not
        return self._host

    def _break_off(self, client: str) -> None:
        if self._control is not None:
            # From the thread that listens to the machine: asking and waiting there would wait for itself.
            threading.Thread(target=self._control.ask, args=("break",), kwargs={"client": client}, daemon=True).start()

    def _notice(self, notice: dict[str, Any]) -> None:
        with self._guard:
            process = self._processes.get(notice.get("client", ""))
            every = list(self._processes.values())
        if notice["notice"] == "down":
            why = "the host under test went down, and all connections to it with it: it panicked, or lost its power"
            for one in every:
                one.lose(why)
            self.notes.append(f"{why}; see its own report of that")
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

    def now(self) -> float:
        """Seconds on the clock of the host under test."""
        return float(self.host_call("now"))

    def machine_now(self) -> float | None:
        """Seconds on a simulated machine's clock, asked of the machine itself; `None` where there is none to ask."""
        if self._control is not None and not self._closed:
            with suppress(HilError):  # a machine that is gone is the next operation's finding
                return float(self._control.ask("now")["now"])
        return None

    def refresh(self) -> Inventory:
        """Look again at what hangs on the host."""
        self.inventory = from_dict(Inventory, self.host_call("inventory"))
        return self.inventory

    def put_right(self) -> None:
        """Put right what runs that died have left on this bench; to be done before it is looked at."""
        for left in self.host_call("left_behind", **self._lock_place()):
            # An enclosure without supply comes back by no cable, and one without cable by no authorization.
            done = True
            for words in (self.supplies, self.plugs, self.removals):
                said, all_done = words.put_right(left["state"])
                self.notes += said
                done = done and all_done
            self.notes += given_up(left["state"])
            if done:
                self.host_call("unlock", device=left["device"])

    def adopt(self, facts: Sequence[DeviceFacts], unusable: Mapping[str, str] | None = None) -> None:
        """Make devices of `facts` and lock each; quarantine what another run holds.

        Args:
            facts: of each device.
            unusable: why some are to be quarantined at once, by alias.

        """
        self.devices = tuple(Device(self, fact) for fact in facts)
        for alias, reason in (unusable or {}).items():
            self.device(alias).quarantine = reason
            self.notes.append(f"{alias} cannot be used: {reason}")
        self._lock_devices()

    def _lock_devices(self) -> None:
        for device in (device for device in self.devices if not device.quarantine):
            try:
                self.host_call("lock", device=device.facts.id, **self._lock_place())
            except BenchFault as error:
                device.quarantine = str(error)
                self.notes.append(f"{device.alias} cannot be used: {error}")

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

    def _lock_place(self) -> dict[str, Any]:
        # On the host under test: a simulated machine's own folder.
        folder = Path(self._setup.address).parent if self._setup.address else default_folder()
        holder = {
            "pid": os.getpid(),
            "user": _user(),
            "command": " ".join(sys.argv)[:200],
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        return {"folder": str(folder), "holder": holder}

    def actuator(self, enclosure: Router, wanted: frozenset[str]) -> ActuatorEntry | None:
        """The first actuator that acts on `enclosure` and can do one of `wanted` (see `hil.control.CAPABILITIES`)."""
        names = (enclosure.uid, enclosure.device_name)
        fitting = (entry for entry in self.actuators if entry.enclosure in names)
        return next((entry for entry in fitting if capabilities(entry.kind) & wanted), None)

    # Consent ----------------------------------------------------------------------------------------------------------

    def require(self, what: str, device: Device) -> None:
        """Check the bench's consent.

        Raises:
            NotPermitted: ``allow.what`` is not set, or it would take the console away.

        """
        never = console.untouchable(device, what)
        if never:
            raise NotPermitted(
                f"{what} of {device.alias} is never done: {never}, whatever the bench file allows",
                device=device.alias,
                operation=what,
            )
        if not getattr(self.allow, what):
            raise NotPermitted(
                f"bench {self.name} does not allow {what} of {device.alias}: set allow.{what} = true if it may be done",
                device=device.alias,
                operation=what,
            )
        if what not in QUIET:
            self.counting.provoked.append(what)

    def cannot_write_bars(self, device: Device) -> str:
        """Why BARs of `device` must not be written here; empty if they may be."""
        forbidden = "" if self.allow.bar_write else "the bench does not allow writes through BARs (allow.bar_write)"
        return console.untouchable(device, "bar_write") or forbidden

    def cannot_reset(self, device: Device) -> str:
        """Why `device` must not be reset here; empty if it may be."""
        if device.facts.gpu is None:
            return "it is no GPU of the inventory"
        forbidden = "" if self.allow.reset else "the bench does not allow resets (allow.reset)"
        return console.untouchable(device, "reset") or forbidden

    def cannot_sleep(self) -> str:
        """Why the host must not or cannot be put to sleep; empty if it can be."""
        return sleeping.cannot_sleep(self)

    def sleep(self, seconds: int, *, keep: Collection[Device] = ()) -> float:
        """Let the host sleep; see `hil.bench.sleeping.sleep`."""
        return sleeping.sleep(self, seconds, keep)

    # The end ----------------------------------------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Kill the devices' processes as they are: nobody waits any more for what they do."""
        for device in self.devices:
            device.kill()

    def close(self) -> list[str]:
        """Plug in what was unplugged, end all processes, switch the simulated machine off.

        Returns:
            What could not be put back, one sentence each.

        """
        if self._closed:
            return []
        self._closed = True
        complaints = [*self.supplies.restore(), *self.removals.restore(), *self.plugs.restore()]
        for device in self.devices:
            with suppress(HilError):
                self.host_call("unlock", device=device.facts.id, deadline=5.0)
        with self._guard:
            processes = list(self._processes.values())
        for process in processes:
            process.close()
        if self._control is not None:
            with suppress(HilError):
                self.struck = tuple(self._control.ask("struck")["struck"])
            self._control.close()
        if self._setup.machine is not None:
            self._setup.machine.close()
        return complaints


def _of_host(operation: str) -> str:
    return full_name(operation) if ":" in operation else f"{HOST}:{operation}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
