"""The USB devices of a simulated machine: what its enclosures bring along, and the switches that act as actuators.

Each receptacle is a bus, on which an enclosure's first device hangs at port 1 and its others behind that; an enclosure
that is daisy-chained hangs at port 4 of the one in front. Switches hang on a bus of their own, behind those.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hil.sim.machine import Machine
from hil.sim.parts import SimEnclosure
from hil.sim.profile import UsbSpec

Reply = tuple[dict[str, Any], bytes, float]
ONWARD_PORT = 4
HUB, COMMUNICATION = 0x09, 0x02
SWITCH = UsbSpec(
    vendor_id=0x045E, product_id=0x0646, vendor="MCCI", product="USB4 Switch 3141", device_class=COMMUNICATION,
    speed_mbps=12,
)  # fmt: skip
"""MCCI's model 3141; its vendor id is Microsoft's. Source: MCCI's documentation of the model."""
ROOT_HUB = UsbSpec(vendor_id=0x1D6B, product_id=0x0003, vendor="Linux", product="xHCI Host Controller")
_SPEEDS = {12: 2, 480: 3, 5000: 4, 10000: 5}
"""libusb's numbers (enum libusb_speed) by Mb/s."""
_VERSIONS = {12: 0x0110, 480: 0x0200, 5000: 0x0320, 10000: 0x0320}
_GET_DESCRIPTOR, _DEVICE, _STRING, _STANDARD_IN = 6, 1, 3, 0x80
_ENGLISH = 0x0409
_SUPER = 5000
"""Mb/s from which packet sizes are powers of two."""


@dataclass(frozen=True, slots=True)
class UsbDevice:
    """A device as it hangs on a bus now."""

    bus: int
    ports: tuple[int, ...]
    """From the root hub's port to its own; empty = the root hub itself."""
    spec: UsbSpec

    @property
    def place(self) -> str:
        """Bus and ports, as Linux writes them: ``2-1.4``; a root hub ``usb2``."""
        return f"{self.bus}-{'.'.join(map(str, self.ports))}" if self.ports else f"usb{self.bus}"

    @property
    def location(self) -> int:
        """Location id of macOS: the bus in the top byte, a port in each half byte below."""
        digits = "".join(f"{port:x}" for port in self.ports).ljust(6, "0")
        return self.bus << 24 | int(digits, 16)


def devices(machine: Machine) -> list[UsbDevice]:
    """All USB devices that the machine has enumerated, by place; on Linux with their root hubs."""
    linux = machine.profile.host.system == "Linux"
    first = 1 if linux else 0
    found = [
        UsbDevice(first + enclosure.port, ports, spec)
        for enclosure in machine.enclosures
        if enclosure.visible and enclosure.usb_present
        for ports, spec in _inside(machine, enclosure)
    ]
    switches = [entry for entry in machine.profile.actuator if entry.kind == "mcci"]
    own_bus = first + machine.profile.host.ports
    found += [
        UsbDevice(own_bus, (n + 1,), SWITCH.model_copy(update={"serial": f"SIM{n:05d}"})) for n in range(len(switches))
    ]
    if linux:
        buses = range(first, own_bus + bool(switches))
        found += [UsbDevice(bus, (), ROOT_HUB) for bus in buses]
    return sorted(found, key=lambda device: (device.bus, device.ports))


def _inside(machine: Machine, enclosure: SimEnclosure) -> Iterator[tuple[tuple[int, ...], UsbSpec]]:
    fronts = []
    front = machine.enclosure(enclosure.spec.behind) if enclosure.spec.behind else None
    while front is not None:
        fronts.append(front)
        front = machine.enclosure(front.spec.behind) if front.spec.behind else None
    path = (1, *(ONWARD_PORT for front in fronts if front.spec.usb_devices))
    for n, spec in enumerate(enclosure.spec.usb_devices):
        yield ((*path, n) if n else path), spec


class Usb:
    """Answers a client's pyusb backend; called with the machine's lock held."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def request(self, request: dict[str, Any], _payload: bytes) -> Reply:
        """Answer ``{what: enumerate}``, ``{what: open, device}`` or ``{what: control, device, …}``.

        Raises:
            OSError: ENODEV, the device is gone; EPIPE, it stalls a request that it does not know.

        """
        what = request["what"]
        if what == "enumerate":
            return {"devices": self._enumerate()}, b"", 0.0
        device = next((d for d in devices(self._machine) if d.place == request["device"]), None)
        if device is None:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if what == "open":
            return {}, b"", 0.0
        return {}, _control(device, request)[: request["length"]], 0.0

    def _enumerate(self) -> list[dict[str, Any]]:
        here = devices(self._machine)
        places = {(device.bus, device.ports): device.place for device in here}
        found = []
        for device in here:
            address = [d for d in here if d.bus == device.bus].index(device) + 1
            ways = [device.ports[:n] for n in reversed(range(len(device.ports)))]
            above = next((places[device.bus, way] for way in ways if (device.bus, way) in places), None)
            found.append(
                {
                    "place": device.place,
                    "parent": above,
                    "device": _descriptor(device, address),
                    **_configuration(device),
                }
            )
        return found


def _descriptor(device: UsbDevice, address: int) -> dict[str, Any]:
    spec = device.spec
    return {
        "bLength": 18,
        "bDescriptorType": _DEVICE,
        "bcdUSB": _VERSIONS[spec.speed_mbps],
        "bDeviceClass": spec.device_class,
        "bDeviceSubClass": 0,
        "bDeviceProtocol": 3 if spec.device_class == HUB else 0,
        "bMaxPacketSize0": 9 if spec.speed_mbps >= _SUPER else 64,
        "idVendor": spec.vendor_id,
        "idProduct": spec.product_id,
        "bcdDevice": 0x0100,
        "iManufacturer": 1 if spec.vendor else 0,
        "iProduct": 2 if spec.product else 0,
        "iSerialNumber": 3 if spec.serial else 0,
        "bNumConfigurations": 1,
        "bus": device.bus,
        "address": address,
        "port_number": device.ports[-1] if device.ports else 0,
        "port_numbers": list(device.ports) or None,
        "speed": _SPEEDS[spec.speed_mbps],
    }


def _configuration(device: UsbDevice) -> dict[str, Any]:
    """One configuration with one interface of the device's class; a hub's has its status endpoint."""
    is_hub = device.spec.device_class == HUB
    interface = {
        "bLength": 9, "bDescriptorType": 4, "bInterfaceNumber": 0, "bAlternateSetting": 0, "bNumEndpoints": int(is_hub),
        "bInterfaceClass": device.spec.device_class, "bInterfaceSubClass": 0, "bInterfaceProtocol": 0, "iInterface": 0,
    }  # fmt: skip
    endpoint = {
        "bLength": 7, "bDescriptorType": 5, "bEndpointAddress": 0x81, "bmAttributes": 3, "wMaxPacketSize": 2,
        "bInterval": 12, "bRefresh": 0, "bSynchAddress": 0,
    }  # fmt: skip
    configuration = {
        "bLength": 9, "bDescriptorType": 2, "wTotalLength": 18 + 7 * is_hub, "bNumInterfaces": 1,
        "bConfigurationValue": 1, "iConfiguration": 0, "bmAttributes": 0xE0, "bMaxPower": 0,
    }  # fmt: skip
    return {"configuration": configuration, "interface": interface, "endpoints": [endpoint] if is_hub else []}


def _control(device: UsbDevice, request: dict[str, Any]) -> bytes:
    """The data stage of a control transfer: string descriptors are known, everything else is stalled."""
    kind, index = request["value"] >> 8, request["value"] & 0xFF
    if (request["request_type"], request["request"], kind) != (_STANDARD_IN, _GET_DESCRIPTOR, _STRING):
        raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
    texts = {1: device.spec.vendor, 2: device.spec.product, 3: device.spec.serial}
    if index and not texts.get(index):
        raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
    data = texts[index].encode("utf-16-le") if index else struct.pack("<H", _ENGLISH)
    return bytes([len(data) + 2, _STRING]) + data
