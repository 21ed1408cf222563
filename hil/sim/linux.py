"""The simulated machine's face when it runs Linux: sysfs and procfs, events and kernel log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hil.sim.linux_pci import LinuxPci
from hil.sim.linux_thunderbolt import LinuxThunderbolt
from hil.sim.topology import root_address

if TYPE_CHECKING:
    from hil.hosts.base import Completed
    from hil.sim.machine import Function, Machine, SimEnclosure


class LinuxFace:
    """Implements `hil.sim.machine.Face`. Nothing here needs a command: everything is a file."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._pci = LinuxPci(machine)
        self._thunderbolt = LinuxThunderbolt(machine, self._pci)
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

    def run(self, argv: Sequence[str]) -> tuple[Completed, float] | None:  # noqa: ARG002  (the machine's contract)
        """No command is installed."""
        return None
