"""The simulated machine's face when it runs Linux: sysfs and procfs, events, kernel log, and its way to sleep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hil.sim.linux_aer import LinuxAer
from hil.sim.linux_pci import LinuxPci
from hil.sim.linux_sleep import LinuxSleep
from hil.sim.linux_thunderbolt import LinuxThunderbolt
from hil.sim.topology import root_address

if TYPE_CHECKING:
    from hil.hosts.base import Completed
    from hil.sim.faults.base import Training
    from hil.sim.machine import Function, Machine, SimEnclosure


class LinuxFace:
    """Implements `hil.sim.machine.Face`. Nothing but sleep needs a command: everything else is a file."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._pci = LinuxPci(machine)
        self._thunderbolt = LinuxThunderbolt(machine, self._pci)
        self._aer = LinuxAer(machine)
        self._sleep = LinuxSleep(machine)
        self._domains_up = False

    def boot(self) -> None:
        """The files that are there whatever is plugged in."""
        machine, host = self._machine, self._machine.profile.host
        for path, text in {
            "/proc/sys/kernel/random/boot_id": machine.boot_id,
            "/proc/sys/kernel/osrelease": host.os_version,
            "/proc/sys/kernel/hostname": machine.facts().hostname,
            "/proc/sys/kernel/ostype": "Linux",
            "/sys/class/dmi/id/product_name": host.model,
            "/sys/class/dmi/id/sys_vendor": host.model.split(" ", 1)[0],
        }.items():
            machine.tree.add(path, f"{text}\n")
        self._sleep.boot()
        machine.log(f"Linux version {host.os_version} ({host.arch})")
        if host.driver_version:
            machine.tree.add("/sys/module/nvidia/version", f"{host.driver_version}\n")
            version = f"NVRM version: NVIDIA UNIX Open Kernel Module for {host.arch}  {host.driver_version}"
            machine.tree.add("/proc/driver/nvidia/version", f"{version}  Release Build\n")
            machine.log(f"NVRM: loading NVIDIA UNIX Open Kernel Module for {host.arch}  {host.driver_version}")

    def router_attached(self, enclosure: SimEnclosure) -> None:
        """A router was enumerated."""
        self._thunderbolt.attach(enclosure)

    def functions_attached(self, functions: Sequence[Function], *, event: bool) -> None:
        """PCI functions were enumerated."""
        self._pci.attach(functions, event=event)
        if not self._domains_up:
            # The controllers come with the first functions; their driver then brings up the domains.
            self._domains_up = True
            self._thunderbolt.boot()

    def functions_detached(self, functions: Sequence[Function], *, surprise: bool) -> None:
        """PCI functions are gone."""
        self._pci.detach(functions, surprise=surprise)

    def router_detached(self, enclosure: SimEnclosure) -> None:
        """A router is gone."""
        if not enclosure.spec.behind:
            # Where its functions had been removed in good order, only pciehp is left to notice.
            self._pci.link_down(root_address(self._machine, enclosure.port))
        self._thunderbolt.detach(enclosure)

    def link_retrained(self, enclosure: SimEnclosure, before: Training) -> None:
        """The link of an enclosure is another than `before`."""
        self._thunderbolt.retrained(enclosure, before)

    def errors_counted(self, function: Function, kind: str, times: int) -> None:
        """A function noticed an error of the bus."""
        self._aer.report(function, kind, times)

    def function_fell(self, function: Function) -> None:
        """A function stopped answering."""
        self._pci.lost(function)

    def slept(self) -> None:
        """The host fell asleep."""
        self._sleep.slept()

    def woke(self) -> None:
        """The host is awake again."""
        self._sleep.woke()

    def crashed(self, report: str) -> None:
        """The host is up again; firmware kept the last lines of the log that it died with."""
        self._machine.tree.add("/sys/fs/pstore/dmesg-efi-1", f"Panic#1 Part1\n{report}\n")

    def approve(self, state: str) -> None:
        """Nothing: Linux knows no driver extensions."""

    def run(self, argv: Sequence[str]) -> tuple[Completed, float] | None:
        """Run ``rtcwake``; nothing else is installed."""
        return self._sleep.run(argv)
