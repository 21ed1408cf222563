"""The simulated Linux's PCI bus: ``/sys/bus/pci``, drivers, slots, remove and rescan, pciehp's and NVIDIA's log lines.

Formats and error codes: the kernel's drivers/pci/pci-sysfs.c, pci.c, probe.c, pcie/aer.c, hotplug/pciehp_ctrl.c.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from hil.sim import config_space as layout
from hil.sim.linux_attributes import Folder, link, number, refused
from hil.sim.linux_function import show_function
from hil.sim.topology import controller_address, root_address

if TYPE_CHECKING:
    from hil.sim.machine import Function, Machine

BUS = "/sys/bus/pci"
REMOVE_SECONDS, RESCAN_SECONDS = 0.020, 0.024
"""On a real kernel 16–25 ms and 21–28 ms."""
BIND_SECONDS, UNBIND_SECONDS = 0.12, 0.05
FIRST_SLOT = 12
_DRIVERS = {0x0300: "nvidia", 0x0403: "snd_hda_intel", 0x0604: "pcieport", 0x0C03: "thunderbolt"}
_KINDS = {
    layout.ENDPOINT: "PCIe Endpoint",
    layout.LEGACY_ENDPOINT: "PCIe Legacy Endpoint",
    layout.ROOT_PORT: "PCIe Root Port",
    layout.UPSTREAM_PORT: "PCIe Switch Upstream Port",
    layout.DOWNSTREAM_PORT: "PCIe Switch Downstream Port",
    layout.ROOT_COMPLEX_ENDPOINT: "PCIe Root Complex Integrated Endpoint",
}


class LinuxPci:
    """The PCI bus as sysfs shows it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._tree = machine.tree
        self._paths: dict[str, str] = {}
        self._occupied: set[str] = set()
        """Ports below which pciehp knows a card: an orderly removal does not change that."""
        installed = machine.profile.host.driver_version
        self._drivers = [name for name in _DRIVERS.values() if name != "nvidia" or installed]
        bus = Folder(self._tree, BUS)
        bus.take("rescan", self._rescan)
        self._tree.folder(f"{BUS}/devices")
        for name in self._drivers:
            driver = Folder(self._tree, f"{BUS}/drivers/{name}")
            driver.take("bind", partial(self._bind, name))
            driver.take("unbind", partial(self._unbind, name))
        for port in range(machine.profile.host.ports):
            self._slot(port)

    def path(self, address: str) -> str:
        """Real path of a function's folder."""
        return self._paths.get(address, f"/sys/devices/pci{address[:7]}/{address}")

    def attach(self, functions: Sequence[Function], *, event: bool) -> None:
        """Functions were enumerated."""
        machine = self._machine
        for above in _above(functions):
            if machine.booted and above not in self._occupied:
                self._hot_plug(above, "Card present")
                self._hot_plug(above, "Link Up")
            self._occupied.add(above)
        for function in functions:
            address, config = function.address, function.config
            machine.log(
                f"pci {address}: [{config.vendor_id:04x}:{config.device_id:04x}] type {int(config.is_bridge):02x} "
                f"class {config.class_code:#08x} {_KINDS[config.port_type]}"
            )
            above_path = self._paths.get(function.parent or "", f"/sys/devices/pci{address[:7]}")
            folder = Folder(self._tree, f"{above_path}/{address}")
            self._paths[address] = folder.path
            show_function(machine, function, folder)
            folder.take("remove", partial(self._remove, address))
            folder.take("rescan", self._rescan)
            folder.link("subsystem", BUS)
            link(self._tree, f"{BUS}/devices/{address}", folder.path)
            driver = self._match(function)
            function.driver = ""
            if function.role == "vga" and not config.assigned(1):
                driver = self._without_memory(function, driver)
            if driver:
                self._take(function, driver)
                if function.role == "vga" and machine.booted:
                    machine.log(f"nvidia {address}: enabling device (0000 -> 0003)")
        self._link_controllers(functions)
        if event:
            for function in functions:
                machine.tell("add", "pci", function.address)

    def _without_memory(self, function: Function, driver: str) -> str:
        """Who takes a card whose BAR 1 got no address: nobody; NVIDIA's driver says why."""
        log, address = self._machine.log, function.address
        size = function.config.bar_sizes[1]
        log(f"pci {address}: BAR 1 [mem size {size:#010x} 64bit pref]: can't assign; no space")
        if driver:
            log("NVRM: This PCI I/O region assigned to your NVIDIA device is invalid:")
            log(f"NVRM: BAR1 is 0M @ 0x0 (PCI:{address})")
            log(f"nvidia {address}: probe with driver nvidia failed with error -1")
        return ""

    def detach(self, functions: Sequence[Function], *, surprise: bool) -> None:
        """Functions are gone."""
        machine = self._machine
        if surprise:
            for above in _above(functions):
                self.link_down(above)
            for function in functions:
                if function.role == "vga" and not function.fallen:
                    self.lost(function)
        self._unlink_controllers(functions)
        self._occupied.difference_update(function.address for function in functions)
        for function in reversed(functions):
            if function.driver:
                self._tree.remove(f"{BUS}/drivers/{function.driver}/{function.address}")
            self._tree.remove(f"{BUS}/devices/{function.address}")
            self._tree.remove(self._paths.pop(function.address, ""))
            machine.tell("remove", "pci", function.address)

    def lost(self, function: Function) -> None:
        """A GPU does not answer any more; NVIDIA's driver says so, if it has it."""
        if function.driver == "nvidia":
            slot = function.address.split(".")[0]
            self._machine.log(f"NVRM: Xid (PCI:{slot}): 79, GPU has fallen off the bus.")

    def link_down(self, port_address: str) -> None:
        """The link below a port is gone; pciehp says so once."""
        if port_address in self._occupied:
            self._occupied.discard(port_address)
            self._hot_plug(port_address, "Link Down")
            self._hot_plug(port_address, "Card not present")

    # Writes -----------------------------------------------------------------------------------------------

    def _remove(self, address: str, data: bytes) -> float:
        if not number(data):
            return 0.0
        self._machine.remove_function(address)
        return REMOVE_SECONDS

    def _rescan(self, data: bytes) -> float:
        if not number(data):
            return 0.0
        self._machine.rescan()
        return RESCAN_SECONDS

    def _bind(self, driver: str, data: bytes) -> float:
        function = self._machine.functions.get(_name(data))
        if function is None or self._match(function) != driver:
            raise refused(errno.ENODEV)
        if function.driver:
            raise refused(errno.EBUSY)
        self._take(function, driver)
        self._machine.drive(function, driver)
        return BIND_SECONDS

    def _unbind(self, driver: str, data: bytes) -> float:
        function = self._machine.functions.get(_name(data))
        if function is None or function.driver != driver:
            raise refused(errno.ENODEV)
        self._tree.remove(f"{self.path(function.address)}/driver")
        self._tree.remove(f"{BUS}/drivers/{driver}/{function.address}")
        self._machine.drive(function, "")
        return UNBIND_SECONDS

    def _power(self, port: int, data: bytes) -> float:
        value = number(data)
        if value > 1:
            raise refused(errno.EINVAL)
        if value:
            self._machine.rescan()
            return RESCAN_SECONDS
        for function in self._below(port):
            self._machine.remove_function(function.address)
        return REMOVE_SECONDS

    # What is there ----------------------------------------------------------------------------------------

    def _match(self, function: Function) -> str:
        driver = _DRIVERS.get(function.config.class_code >> 8, "")
        return driver if driver in self._drivers else ""

    def _take(self, function: Function, driver: str) -> None:
        function.driver = driver
        path = self.path(function.address)
        link(self._tree, f"{path}/driver", f"{BUS}/drivers/{driver}")
        link(self._tree, f"{BUS}/drivers/{driver}/{function.address}", path)

    def _slot(self, port: int) -> None:
        slot = Folder(self._tree, f"{BUS}/slots/{FIRST_SLOT + port}")
        root = root_address(self._machine, port)

        def address() -> str:
            ports = self._machine.functions.get(root)
            bus = ports.config.read(0x19, 1)[0] if ports else 0
            return f"0000:{bus:02x}:00"

        slot.show("address", address)
        slot.show("power", lambda: str(int(bool(self._below(port)))), partial(self._power, port))
        slot.show("adapter", lambda: str(int(bool(self._below(port)))))

    def _below(self, port: int) -> list[Function]:
        root = root_address(self._machine, port)
        return [function for function in self._machine.functions.values() if function.parent == root]

    def _hot_plug(self, above: str, news: str) -> None:
        self._machine.log(f"pcieport {above}: pciehp: Slot({_slot_number(above)}): {news}")

    def _link_controllers(self, functions: Sequence[Function]) -> None:
        """The device links that the kernel makes from each tunnel's root port to its host controller."""
        came = {function.address for function in functions}
        for port in range(self._machine.profile.host.ports):
            root, controller = root_address(self._machine, port), controller_address(port)
            both_here = root in self._paths and controller in self._paths
            if not both_here or not came & {root, controller}:
                continue
            path = f"/sys/devices/virtual/devlink/pci:{controller}--pci:{root}"
            folder = Folder(self._tree, path)
            folder.link("supplier", self.path(controller))
            folder.link("consumer", self.path(root))
            folder.show("status", "active")
            folder.show("runtime_pm", "1")
            folder.show("sync_state_only", "0")
            folder.show("auto_remove_on", "supplier unbind")
            link(self._tree, f"{self.path(controller)}/consumer:pci:{root}", path)
            link(self._tree, f"{self.path(root)}/supplier:pci:{controller}", path)

    def _unlink_controllers(self, functions: Sequence[Function]) -> None:
        went = {function.address for function in functions}
        for port in range(self._machine.profile.host.ports):
            root, controller = root_address(self._machine, port), controller_address(port)
            if went & {root, controller}:
                self._tree.remove(f"/sys/devices/virtual/devlink/pci:{controller}--pci:{root}")
                self._tree.remove(f"{self.path(controller)}/consumer:pci:{root}")
                self._tree.remove(f"{self.path(root)}/supplier:pci:{controller}")


def _above(functions: Sequence[Function]) -> list[str]:
    """Ports that the topmost of `functions` hang on."""
    here = {function.address for function in functions}
    found = (function.parent for function in functions if function.parent and function.parent not in here)
    return list(dict.fromkeys(found))


def _slot_number(port_address: str) -> int:
    """The number firmware gave the slot below a port: tunnels from `FIRST_SLOT`, cards in slots from 1."""
    bus, device, function = (int(part, 16) for part in port_address[5:].replace(".", ":").split(":"))
    if bus:
        return 32 + bus
    return FIRST_SLOT + function if device == 7 else 1 + function  # noqa: PLR2004  (as in topology)


def _name(data: bytes) -> str:
    return data.decode("ascii", "replace").strip()
