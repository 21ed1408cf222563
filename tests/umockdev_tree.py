"""A simulated Linux machine's device tree in umockdev's format, so that other programs can read it as ``/sys``."""

from __future__ import annotations

import posixpath
import struct
from collections.abc import Iterator
from typing import Any

from hil.hosts import Host
from hil.sim.machine import Machine
from hil.sim.usb import Usb, devices
from tests.machine_host import MachineHost

BINARY = ("config", "rom", "vpd")
UNREADABLE = ("remove", "rescan", "reset", "bind", "unbind", "uevent")


def description(machine: Machine) -> str:
    """All devices, parents first: ``P:`` path, ``N:`` node, ``E:`` properties, ``A:``, ``H:`` and ``L:`` attributes."""
    host = MachineHost(machine)
    blocks = []
    for subsystem in ("pci", "thunderbolt"):
        folder = f"/sys/bus/{subsystem}/devices"
        for name in host.list(folder):
            path = posixpath.normpath(posixpath.join(folder, host.readlink(f"{folder}/{name}")))
            blocks.append((path, "\n".join(_block(host, subsystem, path))))
    return "\n\n".join([*(text for _, text in sorted(blocks)), *_usb(machine)]) + "\n"


def _block(host: Host, subsystem: str, path: str) -> Iterator[str]:
    yield f"P: {path.removeprefix('/sys')}"
    yield f"E: SUBSYSTEM={subsystem}"
    for line in host.read(f"{path}/uevent").decode().splitlines():
        yield f"E: {line}"
    for name in host.list(path):
        at = f"{path}/{name}"
        try:
            content = host.read(at)
        except OSError:
            content = None
        if content is None:
            try:
                target = host.readlink(at)
            except OSError:
                continue
            if name != "subsystem":
                yield f"L: {name}={target}"
        elif name in BINARY:
            yield f"H: {name}={content.hex().upper()}"
        elif name not in UNREADABLE:
            text = content.decode().replace("\\", "\\\\").replace("\n", "\\n")
            yield f"A: {name}={text}"


def _usb(machine: Machine) -> Iterator[str]:
    """The USB devices with their descriptors as ``/dev/bus/usb`` has them, for libusb."""
    reply, _, _ = Usb(machine).request({"what": "enumerate"}, b"")
    paths: dict[str, str] = {}
    for device, told in zip(devices(machine), reply["devices"], strict=True):
        above = paths.get(told["parent"] or "", "/devices/pci0000:00/0000:00:0d.0")
        paths[device.place] = path = f"{above}/{device.place}"
        facts, bus, address = told["device"], device.bus, told["device"]["address"]
        descriptors = _descriptors(told).hex().upper()
        lines = [
            f"P: {path}",
            f"N: bus/usb/{bus:03}/{address:03}={descriptors}",
            "E: SUBSYSTEM=usb",
            "E: DEVTYPE=usb_device",
            f"E: DEVNAME=/dev/bus/usb/{bus:03}/{address:03}",
            f"E: BUSNUM={bus:03}",
            f"E: DEVNUM={address:03}",
            f"A: busnum={bus}\\n",
            f"A: devnum={address}\\n",
            f"A: speed={device.spec.speed_mbps}\\n",
            f"A: idVendor={facts['idVendor']:04x}\\n",
            f"A: idProduct={facts['idProduct']:04x}\\n",
            f"A: manufacturer={device.spec.vendor}\\n",
            f"A: product={device.spec.product}\\n",
            "A: bConfigurationValue=1\\n",
            f"A: devpath={'.'.join(map(str, device.ports)) or 0}\\n",
            f"H: descriptors={descriptors}",
        ]
        if device.spec.serial:
            lines.append(f"A: serial={device.spec.serial}\\n")
        yield "\n".join(lines)


def _descriptors(told: dict[str, Any]) -> bytes:
    """Device, configuration, interface and endpoint descriptors one after the other (USB 2.0, 9.6)."""
    d, c, i = told["device"], told["configuration"], told["interface"]
    data = struct.pack(
        "<BBHBBBBHHHBBBB",
        *(d[key] for key in ("bLength", "bDescriptorType", "bcdUSB", "bDeviceClass", "bDeviceSubClass")),
        *(d[key] for key in ("bDeviceProtocol", "bMaxPacketSize0", "idVendor", "idProduct", "bcdDevice")),
        *(d[key] for key in ("iManufacturer", "iProduct", "iSerialNumber", "bNumConfigurations")),
    )
    data += struct.pack("<BBHBBBBB", *c.values())
    data += bytes(i.values())
    for e in told["endpoints"]:
        data += struct.pack("<BBBBHB", *list(e.values())[:6])
    return data
