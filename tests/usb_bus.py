"""A small USB bus as a pyusb backend: a hub with an actuator's serial port behind it, and a device nobody may open."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import Any

from usb.backend import IBackend
from usb.core import USBError

SERIAL = "A50285BI"
STRINGS = {1: "Maker", 2: "USB4 switch", 3: SERIAL}


class Bus(IBackend):
    def __init__(self) -> None:
        self.closed = 0

    def enumerate_devices(self) -> Any:
        return iter([1, 2, 3])

    def get_parent(self, dev: int) -> int | None:
        return 1 if dev == 2 else None

    def get_device_descriptor(self, dev: int) -> Any:
        return SimpleNamespace(
            bLength=18, bDescriptorType=1, bcdUSB=0x200, bDeviceClass=9 if dev == 1 else 0, bDeviceSubClass=0,
            bDeviceProtocol=0, bMaxPacketSize0=64, idVendor=0x045E, idProduct=0x0646, bcdDevice=0x100, iManufacturer=1,
            iProduct=2, iSerialNumber=3 if dev == 2 else 0, bNumConfigurations=1, bus=1, address=dev, port_number=dev,
            port_numbers=(1, dev), speed=3,
        )  # fmt: skip

    def get_configuration_descriptor(self, dev: int, config: int) -> Any:
        return SimpleNamespace(
            bLength=9, bDescriptorType=2, wTotalLength=25, bNumInterfaces=1, bConfigurationValue=1, iConfiguration=0,
            bmAttributes=0x80, bMaxPower=50, extra_descriptors=b"\x05\x0b",
        )  # fmt: skip

    def get_interface_descriptor(self, dev: int, intf: int, alt: int, config: int) -> Any:
        if intf or alt:
            raise IndexError(f"no interface {intf}.{alt}")
        return SimpleNamespace(
            bLength=9, bDescriptorType=4, bInterfaceNumber=0, bAlternateSetting=0, bNumEndpoints=1, bInterfaceClass=2,
            bInterfaceSubClass=2, bInterfaceProtocol=1, iInterface=0, extra_descriptors=[],
        )  # fmt: skip

    def get_endpoint_descriptor(self, dev: int, ep: int, intf: int, alt: int, config: int) -> Any:
        return SimpleNamespace(
            bLength=7, bDescriptorType=5, bEndpointAddress=0x81, bmAttributes=3, wMaxPacketSize=16, bInterval=255,
            bRefresh=0, bSynchAddress=0, extra_descriptors=[],
        )  # fmt: skip

    def open_device(self, dev: int) -> int:
        if dev == 3:
            raise USBError("Access denied (insufficient permissions)", -3, errno.EACCES)
        return dev

    def close_device(self, dev_handle: int) -> None:
        self.closed += 1

    def get_configuration(self, dev_handle: int) -> int:
        return 1

    def reset_device(self, dev_handle: int) -> None:
        raise AssertionError("a capture must not reset anything")

    def ctrl_transfer(self, dev_handle, request_type, request, value, index, data, timeout):
        number = value & 0xFF
        text = b"\x09\x04" if number == 0 else STRINGS[number].encode("utf-16-le")
        answer = bytes([len(text) + 2, 3]) + text
        for at, byte in enumerate(answer):
            data[at] = byte
        return len(answer)
