"""The simulated machine's face when it is a Mac: its commands, and the few lines its log has about a card."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hil.hosts.base import Completed
from hil.sim import macos_profiler, macos_registry, macos_report
from hil.sim.macos_registry import BUNDLE
from hil.sim.macos_sleep import EPOCH, MacSleep

if TYPE_CHECKING:
    from hil.sim.faults.base import Training
    from hil.sim.machine import Function, Machine, SimEnclosure

Ran = tuple[Completed, float]
QUICK = 0.01
"""Seconds that a small command takes."""
_EX_USAGE = 64
ENABLED = "activated enabled"
"""State of an extension that works."""


class MacFace:
    """Implements `hil.sim.machine.Face`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        host = machine.profile.host
        default = "activated enabled" if host.driver_version else ""
        self.extension = default if host.extension is None else host.extension
        """State of TinyGPU's driver extension, as ``systemextensionsctl`` names it; empty = not installed."""
        self._sleep = MacSleep(machine)
        self._commands: dict[str, Callable[[Sequence[str]], Ran]] = {
            "system_profiler": lambda argv: macos_report.run(machine, argv),
            "ioreg": lambda argv: macos_registry.run(machine, argv),
            "systemextensionsctl": self._extensions,
            "sysctl": self._sysctl,
            "pmset": lambda argv: (self._sleep.pmset(argv), QUICK),
            "sw_vers": self._versions,
        }

    def boot(self) -> None:
        """The few files that anybody looks for."""
        self._machine.tree.folder("/Library/Logs/DiagnosticReports")
        if self.extension:
            self._machine.tree.folder("/Applications/TinyGPU.app")
        self._machine.log(f"Darwin Kernel Version {self._kernel_release()}")

    def router_attached(self, enclosure: SimEnclosure) -> None:
        """A router was enumerated."""
        self._tell("add", "thunderbolt", macos_profiler.router_name(self._machine, enclosure))

    def functions_attached(self, functions: Sequence[Function], *, event: bool) -> None:
        """PCI functions were enumerated."""
        for function in functions:
            function.driver = self._driver(function)
            if function.role == "vga" and function.driver:
                self._machine.log(f"TinyGPU: started on {_ids(function)} at {_place(function)}")
        if event:
            for function in functions:
                self._tell("add", "pci", function.address)

    def functions_detached(self, functions: Sequence[Function], *, surprise: bool) -> None:
        """PCI functions are gone."""
        for function in functions:
            if function.role == "vga" and self.extension == "activated enabled":
                how = "terminated without notice" if surprise else "terminated"
                self._machine.log(f"TinyGPU: provider {_ids(function)} at {_place(function)} {how}")
            self._tell("remove", "pci", function.address)

    def router_detached(self, enclosure: SimEnclosure) -> None:
        """A router is gone."""
        self._tell("remove", "thunderbolt", macos_profiler.router_name(self._machine, enclosure))

    def link_retrained(self, enclosure: SimEnclosure, before: Training) -> None:
        """Nothing is said: ``system_profiler`` and ``ioreg`` show the new link to whoever asks."""

    def errors_counted(self, function: Function, kind: str, times: int) -> None:
        """Nothing is said and nobody counts: macOS has no AER counters. The status registers keep it, uncleared."""

    def function_fell(self, function: Function) -> None:
        """Nothing is said: the extension finds out when it reads all ones."""

    def slept(self) -> None:
        """The Mac fell asleep."""
        self._sleep.slept()

    def woke(self) -> None:
        """The Mac is awake again."""
        self._sleep.woke()

    def crashed(self, report: str) -> None:
        """The Mac is up again, and its panic report lies where they all lie."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(EPOCH + self._machine.clock.now()))
        host = self._machine.profile.host
        head = {"bug_type": "210", "timestamp": f"{stamp}.00 +0000", "os_version": f"macOS {host.os_version}"}
        body = {"product": host.model_id, "build": host.os_build, "panicString": report}
        name = f"panic-full-{stamp.replace(' ', '-').replace(':', '')}.0002.panic"
        text = f"{json.dumps(head)}\n{json.dumps(body, indent=2)}\n"
        self._machine.tree.add(f"/Library/Logs/DiagnosticReports/{name}", text)

    def approve(self, state: str) -> None:
        """The user, or an update, changed what the driver extension may do."""
        self.extension = state
        for function in list(self._machine.functions.values()):
            driver = self._driver(function)
            if driver != function.driver:
                self._machine.drive(function, driver)

    def _driver(self, function: Function) -> str:
        """Who takes a function: the extension only where it is enabled and finds the card's memory."""
        if function.role != "vga":
            return function.driver
        return BUNDLE if self.extension == ENABLED and function.config.assigned(1) else ""

    def run(self, argv: Sequence[str]) -> Ran | None:
        """Run one of the commands known here, by name or by path."""
        command = self._commands.get(argv[0].rsplit("/", 1)[-1]) if argv else None
        return command(argv) if command else None

    def _tell(self, action: str, subsystem: str, name: str) -> None:
        if self._machine.booted:
            self._machine.tell(action, subsystem, name)

    # Commands ---------------------------------------------------------------------------------------------

    def _extensions(self, argv: Sequence[str]) -> Ran:
        if list(argv[1:]) != ["list"]:
            usage = "systemextensionsctl: usage:\n\tsystemextensionsctl list\n"
            return _ended(argv, error=usage, code=_EX_USAGE), QUICK
        if not self.extension:
            return _ended(argv, "0 extension(s)\n"), QUICK
        enabled, active = ("*", "*") if self.extension == "activated enabled" else ("", "")
        version = self._machine.profile.host.driver_version
        return _ended(
            argv,
            "1 extension(s)\n"
            "--- com.apple.system_extension.driver_extension (Go to 'System Settings > General > Login Items & "
            "Extensions > Driver Extensions' to modify these system extension(s))\n"
            "enabled\tactive\tteamID\tbundleID (version)\tname\t[state]\n"
            f"{enabled}\t{active}\tSIMULATED0\t{macos_registry.BUNDLE} ({version}/1)\tTinyGPU\t[{self.extension}]\n",
        ), QUICK

    def _sysctl(self, argv: Sequence[str]) -> Ran:
        host = self._machine.profile.host
        known = {
            "hw.model": host.model_id,
            "hw.machine": host.arch,
            "kern.bootsessionuuid": self._machine.boot_id.upper(),
            "kern.hostname": self._machine.facts().hostname,
            "kern.waketime": self._sleep.wake_time(),
            "kern.osproductversion": host.os_version,
            "kern.osrelease": self._kernel_release(),
            "kern.osversion": host.os_build,
            "machdep.cpu.brand_string": host.chip,
        }
        bare = "-n" in argv[1:]
        names = [word for word in argv[1:] if word != "-n"]
        if not names or any(name.startswith("-") for name in names):
            return _ended(argv, error="usage: sysctl [-bdehiNnoqx] name[=value] ...\n", code=1), QUICK
        said = "".join(f"{known[n]}\n" if bare else f"{n}: {known[n]}\n" for n in names if n in known)
        strange = [name for name in names if name not in known]
        error = "".join(f"sysctl: unknown oid '{name}'\n" for name in strange)
        return _ended(argv, said, error=error, code=int(bool(strange))), QUICK

    def _versions(self, argv: Sequence[str]) -> Ran:
        host = self._machine.profile.host
        known = {"productName": "macOS", "productVersion": host.os_version, "buildVersion": host.os_build}
        if len(argv) == 1:
            said = "".join(f"{name[0].upper()}{name[1:]}:\t\t{value}\n" for name, value in known.items())
            return _ended(argv, said), QUICK
        wanted = argv[1].lstrip("-")
        if len(argv) > 2 or wanted not in known:  # noqa: PLR2004  (the command and one flag)
            usage = "Usage: sw_vers [--help|--productName|--productVersion|--buildVersion]\n"
            return _ended(argv, error=usage, code=1), QUICK
        return _ended(argv, f"{known[wanted]}\n"), QUICK

    def _kernel_release(self) -> str:
        return macos_profiler.darwin_release(self._machine.profile.host.os_version)


def _ended(argv: Sequence[str], said: str = "", *, error: str = "", code: int = 0) -> Completed:
    return Completed(argv=tuple(argv), returncode=code, stdout=said.encode(), stderr=error.encode())


def _ids(function: Function) -> str:
    return f"pci{function.config.vendor_id:x},{function.config.device_id:x}"


def _place(function: Function) -> str:
    return ":".join(str(int(part, 16)) for part in function.address[5:].replace(".", ":").split(":"))
