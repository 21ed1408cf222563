"""The simulated Linux's Thunderbolt bus: domains, routers, retimers, authorization, and what the kernel logs of them.

Formats and error codes: the kernel's drivers/thunderbolt/{domain,switch,retimer,usb4_port}.c. Each receptacle has a
host controller and so a domain of its own.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING

from hil.sim.linux_attributes import Folder, link, number, refused
from hil.sim.topology import controller_address

if TYPE_CHECKING:
    from hil.sim.faults.base import Training
    from hil.sim.linux_pci import LinuxPci
    from hil.sim.machine import Machine, SimEnclosure

BUS = "/sys/bus/thunderbolt"
AUTHORIZE_SECONDS = 0.05
"""Setting up or tearing down a PCIe tunnel; its functions come and go in their own time."""
INTEL = 0x8087
FIRST_ADAPTER, ONWARD_ADAPTER = 1, 3
"""Adapters of the lanes: the host's only receptacle, and an enclosure's second one, which a chain goes on from."""
_GENERATIONS = {"thunderbolt3": 3, "usb4": 4, "thunderbolt5": 4}
_VERSIONS = {"usb4": "1.0", "thunderbolt5": "2.0"}
_MOST_AUTHORIZED = 2


class LinuxThunderbolt:
    """The Thunderbolt bus as sysfs shows it."""

    def __init__(self, machine: Machine, pci: LinuxPci) -> None:
        self._machine = machine
        self._tree = machine.tree
        self._pci = pci
        self._paths: dict[str, str] = {}
        self._shown: dict[SimEnclosure, tuple[str, str]] = {}
        """Names of the router and the retimer of each enclosure that is visible."""
        self._tree.folder(f"{BUS}/devices")

    def boot(self) -> None:
        """Domains and the host's own routers. The controllers' functions must be there."""
        kind = self._machine.profile.host.port_kind
        for port in range(self._machine.profile.host.ports):
            name = f"domain{port}"
            domain = self._enter(name, self._pci.path(controller_address(port)))
            domain.show("security", "user")
            domain.show("iommu_dma_protection", "1")
            domain.show("deauthorization", str(int(self._machine.profile.host.deauthorization)))
            domain.show("uevent", "DEVTYPE=thunderbolt_domain")
            host = self._enter(f"{port}-0", domain.path)
            host.show("authorized", "1")
            host.show("device", "0xa76d")
            host.show("device_name", "Gen13")
            host.show("generation", str(_GENERATIONS[kind]))
            host.show("uevent", _uevent(kind, "host"))
            host.show("unique_id", unique_id(0x8087_A76D_0000_5E00 + port, generation=_GENERATIONS[kind]))
            host.show("vendor", f"{INTEL:#x}")
            host.show("vendor_name", "Intel")
            usb4_port = Folder(self._tree, f"{host.path}/usb4_port{FIRST_ADAPTER}")
            usb4_port.show("connector", str(port))
            usb4_port.show("link", partial(self._port_link, port))

    def attach(self, enclosure: SimEnclosure) -> None:
        """A router was enumerated, and the retimer on the way to it."""
        machine, spec, port = self._machine, enclosure.spec, enclosure.port
        route, above = self._route(enclosure)
        name, retimer = f"{port}-{route:x}", ""
        router = self._enter(name, self._paths.get(above, self._pci.path(controller_address(port))))
        generation = _GENERATIONS[spec.kind]
        router.show("authorized", lambda: str(enclosure.authorized), partial(self._authorize, enclosure))
        router.show("boot", str(int(not machine.booted)))
        router.show("device", f"{spec.device_id:#x}")
        router.show("device_name", spec.name)
        router.show("generation", str(generation))
        router.show("nvm_version", spec.firmware or "0.0")
        for way in ("rx", "tx"):
            router.show(f"{way}_speed", lambda: f"{int(_link(enclosure)[0])}.0 Gb/s")
            router.show(f"{way}_lanes", lambda: str(_link(enclosure)[1]))
        router.show("uevent", _uevent(spec.kind, "hub"))
        router.show("unique_id", lambda: unique_id(int(enclosure.uid, 16), generation=generation))
        router.show("vendor", f"{spec.vendor_id:#x}")
        router.show("vendor_name", spec.vendor)
        machine.log(f"thunderbolt {name}: new device found, vendor={spec.vendor_id:#x} device={spec.device_id:#x}")
        machine.log(f"thunderbolt {name}: {spec.vendor} {spec.name}")
        self._tell("add", name)
        if above == f"{port}-0":
            retimer = f"{above}:{FIRST_ADAPTER}.1"
            self._show_retimer(retimer, f"{self._paths[above]}/usb4_port{FIRST_ADAPTER}")
        self._shown[enclosure] = (name, retimer)

    def detach(self, enclosure: SimEnclosure) -> None:
        """A router is gone."""
        for name in self._shown.pop(enclosure, ()):
            if name:
                self._tree.remove(f"{BUS}/devices/{name}")
                self._tree.remove(self._paths.pop(name))
                kind = "retimer" if ":" in name else "device"
                self._machine.log(f"thunderbolt {name}: {kind} disconnected")
                self._tell("remove", name)

    def retrained(self, enclosure: SimEnclosure, before: Training) -> None:
        """An enclosure's link is another than `before`: the attributes tell, and an event says that they changed.

        The kernel prints no line of a link that got better or slower; only where lanes cannot be bonded again
        (`tb_switch_lane_bonding_enable` in switch.c).
        """
        if enclosure.training is not None and enclosure.training.lanes < before.lanes:
            route, adapter = "0", FIRST_ADAPTER
            if enclosure.spec.behind:
                route, adapter = self._route(enclosure)[1].split("-")[1], ONWARD_ADAPTER
            controller = controller_address(enclosure.port)
            self._machine.log(f"thunderbolt {controller}: {route}:{adapter}: timeout enabling lane bonding")
        self._tell("change", self._shown[enclosure][0])

    def _show_retimer(self, name: str, above: str) -> None:
        folder = self._enter(name, above)
        folder.show("vendor", f"{INTEL:#x}")
        folder.show("device", "0x15ee")
        folder.show("nvm_version", "39.1")
        folder.show("uevent", "DEVTYPE=thunderbolt_retimer")
        self._machine.log(f"thunderbolt {name}: new retimer found, vendor={INTEL:#x} device=0x15ee")
        self._tell("add", name)

    def _authorize(self, enclosure: SimEnclosure, data: bytes) -> float:
        value = number(data)
        if value > _MOST_AUTHORIZED or bool(value) == bool(enclosure.authorized):
            raise refused(errno.EINVAL)
        if not value and not self._machine.profile.host.deauthorization:
            raise refused(errno.EPERM)  # `tb_domain_disapprove_switch` in domain.c
        front = self._machine.enclosure(enclosure.spec.behind)
        # 2 is a challenge with a key; none was ever written to these routers.
        if value and (value == _MOST_AUTHORIZED or (front is not None and not front.authorized)):
            raise refused(errno.EINVAL)
        was = {e: e.authorized for e in self._shown}
        self._machine.authorize(enclosure, granted=bool(value))
        for other, before in was.items():
            if other.authorized != before:
                self._tell("change", self._shown[other][0])
        return AUTHORIZE_SECONDS

    def _route(self, enclosure: SimEnclosure) -> tuple[int, str]:
        """The route to an enclosure, a byte a hop with the first one lowest, and the name of the router above."""
        if not enclosure.spec.behind:
            return FIRST_ADAPTER, f"{enclosure.port}-0"
        front = self._machine.enclosure(enclosure.spec.behind)
        assert front is not None  # noqa: S101  (the profile was checked)
        route, _ = self._route(front)
        return ONWARD_ADAPTER << (route.bit_length() + 7) // 8 * 8 | route, f"{enclosure.port}-{route:x}"

    def _port_link(self, port: int) -> str:
        here = [e for e in self._shown if e.port == port and not e.spec.behind]
        if not here:
            return "none"
        return "tbt" if here[0].spec.kind == "thunderbolt3" else "usb4"

    def _enter(self, name: str, above: str) -> Folder:
        folder = Folder(self._tree, f"{above}/{name}")
        folder.link("subsystem", BUS)
        self._paths[name] = folder.path
        link(self._tree, f"{BUS}/devices/{name}", folder.path)
        return folder

    def _tell(self, action: str, name: str) -> None:
        if self._machine.booted:
            self._machine.tell(action, "thunderbolt", name)


def _link(enclosure: SimEnclosure) -> tuple[float, int]:
    """Gb/s of a lane, and lanes."""
    training = enclosure.training
    return (training.lane_gbps, training.lanes) if training else (0.0, 0)


def _uevent(kind: str, usb4_type: str) -> str:
    usb4 = [f"USB4_VERSION={_VERSIONS[kind]}", f"USB4_TYPE={usb4_type}"] if kind in _VERSIONS else []
    return "\n".join(["DEVTYPE=thunderbolt_device", *usb4])


def unique_id(uid: int, *, generation: int) -> str:
    """The UUID that the kernel makes of a router's 64-bit id, as it prints it.

    USB4 routers give the id as two words, the high one first; the words, or the whole number of an older router, lie
    little endian in memory, ones behind them (`usb4_switch_read_uid`, `tb_switch_set_uuid`).
    """
    words = (uid >> 32, uid & 0xFFFFFFFF) if generation >= _GENERATIONS["usb4"] else (uid & 0xFFFFFFFF, uid >> 32)
    digits = b"".join(word.to_bytes(4, "little") for word in words).hex() + "f" * 16
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
