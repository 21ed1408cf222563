"""USB as a capture holds it: enumeration, descriptors and string descriptors, on both ends a pyusb backend."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from usb.backend import IBackend
from usb.core import NoBackendError

from hil.hosts.captures.journal import Journal, refused

_COMMON = ("bLength", "bDescriptorType", "extra_descriptors")
DESCRIPTORS: dict[str, tuple[str, ...]] = {
    "get_device_descriptor": (
        *_COMMON,
        *("bcdUSB", "bDeviceClass", "bDeviceSubClass", "bDeviceProtocol", "bMaxPacketSize0", "idVendor", "idProduct"),
        *("bcdDevice", "iManufacturer", "iProduct", "iSerialNumber", "bNumConfigurations"),
        *("bus", "address", "port_number", "port_numbers", "speed"),
    ),
    "get_configuration_descriptor": (
        *_COMMON,
        *("wTotalLength", "bNumInterfaces", "bConfigurationValue", "iConfiguration", "bmAttributes", "bMaxPower"),
    ),
    "get_interface_descriptor": (
        *_COMMON,
        *("bInterfaceNumber", "bAlternateSetting", "bNumEndpoints", "bInterfaceClass", "bInterfaceSubClass"),
        *("bInterfaceProtocol", "iInterface"),
    ),
    "get_endpoint_descriptor": (
        *_COMMON,
        *("bEndpointAddress", "bmAttributes", "wMaxPacketSize", "bInterval", "bRefresh", "bSynchAddress"),
    ),
}
"""Fields of each descriptor: USB 2.0 specification, section 9.6, and what pyusb's backends add."""
_GET_DESCRIPTOR, _STRING, _IN, _STANDARD_DEVICE = 6, 3, 0x80, 0x80


class _Device:
    """A device, or an open handle to it, by its number in the capture."""

    def __init__(self, number: int, real: Any = None) -> None:
        self.number = number
        self.real = real


class _Descriptor:
    def __init__(self, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            if name.startswith("_"):  # no field of any descriptor; a capture is a stranger's file
                continue
            setattr(self, name, tuple(value) if name == "port_numbers" and value is not None else value)


class _ReadOnly(IBackend):  # type: ignore[misc]  # pyusb has no types
    """Refuses what is no enumeration; pyusb's own base class would say that it is not implemented."""

    def __getattribute__(self, name: str) -> Any:
        if name in _REFUSED:
            raise refused(f"USB {name}")
        return super().__getattribute__(name)

    @abstractmethod
    def _describe(self, method: str, dev: _Device, *place: int) -> _Descriptor: ...

    def get_device_descriptor(self, dev: _Device) -> _Descriptor:
        """The device descriptor, with bus, address and ports."""
        return self._describe("get_device_descriptor", dev)

    def get_configuration_descriptor(self, dev: _Device, config: int) -> _Descriptor:
        """A configuration, by its index."""
        return self._describe("get_configuration_descriptor", dev, config)

    def get_interface_descriptor(self, dev: _Device, intf: int, alt: int, config: int) -> _Descriptor:
        """An interface, by its index."""
        return self._describe("get_interface_descriptor", dev, intf, alt, config)

    def get_endpoint_descriptor(self, dev: _Device, ep: int, intf: int, alt: int, config: int) -> _Descriptor:
        """An endpoint, by its index."""
        return self._describe("get_endpoint_descriptor", dev, ep, intf, alt, config)


_ALLOWED = {*DESCRIPTORS, "enumerate_devices", "get_parent", "get_configuration"}
_ALLOWED |= {"open_device", "close_device", "ctrl_transfer"}
_REFUSED = {name for name in vars(IBackend) if not name.startswith("_")} - _ALLOWED


class RecordingBackend(_ReadOnly):
    """Hands every question on to `backend` and records it in `journal`."""

    def __init__(self, backend: Any, journal: Journal) -> None:
        self._backend = backend
        self._journal = journal
        self._count = 0

    def enumerate_devices(self) -> Iterator[_Device]:
        """All devices."""
        ask = lambda: [self._numbered(real) for real in self._backend.enumerate_devices()]  # noqa: E731
        found: list[_Device] = self._journal.record("usb.enumerate_devices", (), ask, _numbers)
        return iter(found)

    def get_parent(self, dev: _Device) -> _Device | None:
        """The hub that `dev` hangs on."""

        def ask() -> _Device | None:
            real = self._backend.get_parent(dev.real)
            return None if real is None else self._numbered(real)

        found: _Device | None = self._journal.record(
            "usb.get_parent", (dev.number,), ask, lambda parent: None if parent is None else parent.number
        )
        return found

    def open_device(self, dev: _Device) -> _Device:
        """Open `dev`, to read its strings."""
        ask = lambda: _Device(dev.number, self._backend.open_device(dev.real))  # noqa: E731
        handle: _Device = self._journal.record("usb.open_device", (dev.number,), ask, lambda _handle: None)
        return handle

    def close_device(self, dev_handle: _Device) -> None:
        """Close it."""
        self._backend.close_device(dev_handle.real)

    def get_configuration(self, dev_handle: _Device) -> int:
        """Number of the active configuration."""
        ask = lambda: self._backend.get_configuration(dev_handle.real)  # noqa: E731
        return int(self._journal.record("usb.get_configuration", (dev_handle.number,), ask))

    def ctrl_transfer(
        self, dev_handle: _Device, request_type: int, request: int, value: int, index: int, data: Any, timeout: int
    ) -> int:  # fmt: skip
        """Read a string descriptor; nothing else."""
        _only_strings(request_type, request, value)

        def ask() -> bytes:
            count = self._backend.ctrl_transfer(dev_handle.real, request_type, request, value, index, data, timeout)
            return bytes(data[:count])

        question = (dev_handle.number, value, index, len(data))
        return len(self._journal.record("usb.string", question, ask))

    def _describe(self, method: str, dev: _Device, *place: int) -> _Descriptor:
        def ask() -> dict[str, Any]:
            real = getattr(self._backend, method)(dev.real, *place)
            return {name: _plain(getattr(real, name)) for name in DESCRIPTORS[method] if hasattr(real, name)}

        return _Descriptor(self._journal.record(f"usb.{method}", (dev.number, *place), ask))

    def _numbered(self, real: Any) -> _Device:
        self._count += 1
        return _Device(self._count - 1, real)


class ReplayedBackend(_ReadOnly):
    """Answers from `journal`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def enumerate_devices(self) -> Iterator[_Device]:
        """All devices."""
        return iter([_Device(number) for number in self._journal.replay("usb.enumerate_devices", ())])

    def get_parent(self, dev: _Device) -> _Device | None:
        """The hub that `dev` hangs on."""
        number = self._journal.replay("usb.get_parent", (dev.number,))
        return None if number is None else _Device(number)

    def open_device(self, dev: _Device) -> _Device:
        """Whether it could be opened then."""
        self._journal.replay("usb.open_device", (dev.number,))
        return _Device(dev.number)

    def close_device(self, dev_handle: _Device) -> None:
        """Nothing is open."""

    def get_configuration(self, dev_handle: _Device) -> int:
        """Number of the active configuration."""
        return int(self._journal.replay("usb.get_configuration", (dev_handle.number,)))

    def ctrl_transfer(
        self, dev_handle: _Device, request_type: int, request: int, value: int, index: int, data: Any, timeout: int
    ) -> int:  # fmt: skip
        """Read a string descriptor; nothing else."""
        del timeout
        _only_strings(request_type, request, value)
        content: bytes = self._journal.replay("usb.string", (dev_handle.number, value, index, len(data)))
        count = min(len(content), len(data))
        for at in range(count):
            data[at] = content[at]
        return count

    def _describe(self, method: str, dev: _Device, *place: int) -> _Descriptor:
        return _Descriptor(self._journal.replay(f"usb.{method}", (dev.number, *place)))


class NoBackend(IBackend):  # type: ignore[misc]  # pyusb has no types
    """Stands for a host without libusb, so that pyusb does not look for that of the machine that runs."""

    def enumerate_devices(self) -> Iterator[_Device]:
        """What pyusb's own search ends with."""
        raise NoBackendError("No backend available")


def load() -> Any:
    """The backend that `usb.core.find` would choose, or `NoBackend`."""
    from usb.backend import libusb0, libusb1, openusb  # noqa: PLC0415  (each looks for a library)

    return next((found for module in (libusb1, openusb, libusb0) if (found := module.get_backend())), NoBackend())


def _only_strings(request_type: int, request: int, value: int) -> None:
    if (request_type, request, value >> 8) != (_STANDARD_DEVICE, _GET_DESCRIPTOR, _STRING):
        raise refused(f"USB request {request_type:#04x} {request:#04x} {value:#06x}")


def _numbers(devices: list[_Device]) -> list[int]:
    return [device.number for device in devices]


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, bytes)) else [int(item) for item in value]
