"""A pyusb backend in the place of libusb: asks the simulated machine. Enumeration, descriptors, control transfers."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

from usb.backend import IBackend
from usb.core import USBError

Ask = Callable[..., tuple[dict[str, Any], bytes]]
"""``ask(what, **request)`` → reply and payload; raises `OSError` as a kernel would."""
CONFIGURATION = 1


class SimulatedUsb(IBackend):  # type: ignore[misc]  # pyusb has no types
    """The devices of one machine. What identifies a device here is all that enumeration told of it, as with libusb.

    Data moves by control transfers only; what is asked of any other endpoint stays pyusb's `NotImplementedError`.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def enumerate_devices(self) -> Iterator[dict[str, Any]]:
        """All devices, by place."""
        found: list[dict[str, Any]] = self._call("enumerate")[0]["devices"]
        return iter(found)

    def get_parent(self, dev: dict[str, Any]) -> dict[str, Any] | None:
        """The hub that `dev` hangs on; `None` for a root hub."""
        return next((other for other in self.enumerate_devices() if other["place"] == dev["parent"]), None)

    def get_device_descriptor(self, dev: dict[str, Any]) -> SimpleNamespace:
        """The device descriptor, with bus, address, ports and speed."""
        facts = dict(dev["device"])
        if facts["port_numbers"] is not None:
            facts["port_numbers"] = tuple(facts["port_numbers"])
        return SimpleNamespace(**facts)

    def get_configuration_descriptor(self, dev: dict[str, Any], config: int) -> SimpleNamespace:
        """The only configuration."""
        return _descriptor(dev["configuration"], config)

    def get_interface_descriptor(self, dev: dict[str, Any], intf: int, alt: int, config: int) -> SimpleNamespace:
        """Its only interface."""
        return _descriptor(dev["interface"], intf, alt, config)

    def get_endpoint_descriptor(
        self, dev: dict[str, Any], ep: int, intf: int, alt: int, config: int
    ) -> SimpleNamespace:
        """A hub's status endpoint; other devices have none."""
        if ep >= len(dev["endpoints"]):
            raise IndexError(f"no endpoint {ep}")
        return _descriptor(dev["endpoints"][ep], intf, alt, config)

    def open_device(self, dev: dict[str, Any]) -> str:
        """A handle."""
        place: str = dev["place"]
        self._call("open", device=place)
        return place

    def close_device(self, dev_handle: str) -> None:
        """Nothing is held."""

    def get_configuration(self, dev_handle: str) -> int:
        """Number of the active configuration."""
        self._call("open", device=dev_handle)
        return CONFIGURATION

    def set_configuration(self, dev_handle: str, config_value: int) -> None:
        """The only one is active already."""
        self._call("open", device=dev_handle)
        if config_value != CONFIGURATION:
            raise USBError(os.strerror(errno.ENOENT), None, errno.ENOENT)

    def claim_interface(self, dev_handle: str, intf: int) -> None:
        """Nobody else has it."""
        self._call("open", device=dev_handle)
        if intf:
            raise USBError(os.strerror(errno.ENOENT), None, errno.ENOENT)

    def release_interface(self, dev_handle: str, intf: int) -> None:
        """Nothing is held."""

    def ctrl_transfer(
        self, dev_handle: str, request_type: int, request: int, value: int, index: int, data: Any, timeout: int
    ) -> int:
        """A control transfer towards the host; bytes that the device gave. It knows none the other way."""
        stage = {"request_type": request_type, "request": request, "value": value, "index": index}
        _, answer = self._call("control", device=dev_handle, **stage, length=len(data), timeout=timeout)
        for at, byte in enumerate(answer):
            data[at] = byte
        return len(answer)

    def _call(self, what: str, **request: Any) -> tuple[dict[str, Any], bytes]:
        try:
            return self._ask(what, **request)
        except OSError as error:
            raise USBError(error.strerror or str(error), None, error.errno) from error


def _descriptor(facts: dict[str, Any], *indices: int) -> SimpleNamespace:
    """There is one of everything: any other index does not exist, which pyusb takes for the end of its iteration."""
    if any(indices):
        raise IndexError(f"no descriptor {indices}")
    return SimpleNamespace(**facts, extra_descriptors=[])
