"""Discovery of USB devices: through the real pyusb on Linux, from ``system_profiler`` on macOS.

On Linux: pyusb enumerates by libusb (or what the host gives in its place). Vendor, product and serial number come from
the files ``manufacturer``, ``product``, ``serial`` in ``/sys/bus/usb/devices/BUS-PORTS``, which the kernel read when
the device came; where they are not there, from hubs, billboards and known actuators alone, which are opened for it:
asking a stranger's keyboard for its name is more than reading. The link ``/sys/bus/usb/devices/usbBUS`` tells the PCI
function of the host controller. A machine without pyusb or libusb has no USB facts, and that is no problem; libusb is
not even looked for where neither an enclosure nor an actuator is attached.

On macOS: ``system_profiler -json SPUSBHostDataType``, which needs no library (``SPUSBDataType`` is empty since
macOS 26). What it does not answer, `hil.discovery.macos` reports already.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from hil.discovery import linux_thunderbolt
from hil.discovery.linux_pci import addresses
from hil.discovery.source import Contribution
from hil.discovery.sysfs import Attributes
from hil.errors import HilError, NotSupported
from hil.model import UsbFunction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hil.hosts.base import Host

ROOT = "/sys/bus/usb/devices"
PROFILER = ("system_profiler", "-json", "SPUSBHostDataType")
DEADLINE = 10.0
"""Seconds; the command needs less than 1 s on a healthy Mac, and the rest of discovery must have its time too."""
HUB, BILLBOARD = 0x09, 0x11
ACTUATORS = {(0x045E, 0x0646)}
"""Vendor and product of USB devices that act as actuators: MCCI 3141."""
_SPEEDS = {1: 1.5, 2: 12.0, 3: 480.0, 4: 5000.0, 5: 10000.0, 6: 20000.0}
"""Mb/s by libusb's number (enum libusb_speed)."""
_SPEED = re.compile(r"([0-9]{1,5}(?:\.[0-9]{1,2})?) ?([MG])b/s")
_ROUTER = re.compile(r"[0-9]+-(?!0$)[0-9a-f]+")
"""Name of a router or peer below the host's own, on Linux."""
_HEX = re.compile(r"0[xX]([0-9a-fA-F]{1,8})")


def discover(host: Host) -> Contribution | None:
    """USB devices of `host`, reading only; `None` where there is no way to them."""
    system = host.facts().system
    if system == "Darwin":
        return _from_profiler(host)
    return _from_backend(host) if system == "Linux" else None


# Linux ----------------------------------------------------------------------------------------------------------------


def _from_backend(host: Host) -> Contribution | None:
    sysfs = Attributes(host)
    try:
        backend = host.usb_backend()
    except NotSupported:
        return None
    if backend is None and not _worth_asking(sysfs):
        return None  # looking for libusb takes longer than all the rest of discovery
    try:
        import usb.core  # noqa: PLC0415  (optional, and only for a host that has something on USB)
    except ImportError:
        return None
    try:
        devices = list(usb.core.find(find_all=True, backend=backend))
    except (usb.core.NoBackendError, HilError):
        return None
    except usb.core.USBError as error:
        return Contribution(problems=(f"USB devices cannot be listed: {error}.",))
    controllers: dict[int, str] = {}
    # A root hub has no port: it is the host's own.
    found = tuple(_device(sysfs, device, controllers) for device in devices if device.port_numbers)
    return Contribution(usb=found, looked_at=("libusb",))


def _worth_asking(sysfs: Attributes) -> bool:
    """Whether there is an enclosure, or an actuator, that USB could say something about."""
    if any(_ROUTER.fullmatch(name) for name in sysfs.names(linux_thunderbolt.ROOT)):
        return True
    folders = [f"{ROOT}/{name}" for name in sysfs.names(ROOT) if "-" in name and ":" not in name]
    ids = (tuple(sysfs.texts(folder, ("idVendor", "idProduct")).values()) for folder in folders)
    return any(pair in {(f"{vendor:04x}", f"{product:04x}") for vendor, product in ACTUATORS} for pair in ids)


def _device(sysfs: Attributes, device: Any, controllers: dict[int, str]) -> UsbFunction:
    location = f"{device.bus}-{'.'.join(map(str, device.port_numbers))}"
    if device.bus not in controllers:
        controllers[device.bus] = next(reversed(addresses(sysfs.target(f"{ROOT}/usb{device.bus}"))), "")
    may_open = device.bDeviceClass in (HUB, BILLBOARD) or (device.idVendor, device.idProduct) in ACTUATORS
    told = sysfs.texts(f"{ROOT}/{location}", ("manufacturer", "product", "serial"))
    names = dict(zip(("vendor_name", "product_name", "serial"), told.values(), strict=True))
    if may_open and not any(names.values()):
        properties = ("manufacturer", "product", "serial_number")
        names = {name: _string(device, wanted) for name, wanted in zip(names, properties, strict=True)}
    return UsbFunction(
        location=location,
        vendor_id=device.idVendor,
        product_id=device.idProduct,
        speed_mbps=_SPEEDS.get(device.speed or 0),
        device_class=device.bDeviceClass,
        controller=controllers[device.bus],
        **{name: text or "" for name, text in names.items()},
    )


def _string(device: Any, name: str) -> str | None:
    """One of pyusb's string properties; `None` where the device, or this user's permissions, do not tell it."""
    try:
        text: str | None = getattr(device, name)
    except (OSError, ValueError, HilError):  # USBError is an OSError; without permission it is a ValueError
        return None
    return text.strip("\0 ") if text else None


# macOS ----------------------------------------------------------------------------------------------------------------


def _from_profiler(host: Host) -> Contribution | None:
    try:
        done = host.run(PROFILER, timeout=DEADLINE)
        document = json.loads(done.stdout)
    except (OSError, HilError, ValueError, RecursionError):
        return None
    buses = document.get("SPUSBHostDataType") if isinstance(document, dict) else None
    if not isinstance(buses, list):
        return None
    return Contribution(usb=tuple(_items(buses)), looked_at=(" ".join(PROFILER),))


def _items(items: list[Any]) -> Iterator[UsbFunction]:
    """The devices among `items` and below them; a bus is none: it has no product."""
    todo = list(items)
    while todo:
        item = todo.pop(0)
        if not isinstance(item, dict):
            continue
        below = item.get("_items")
        todo += below if isinstance(below, list) else []
        vendor, product = (_number(item.get(f"USBDeviceKey{what}ID")) for what in ("Vendor", "Product"))
        location = item.get("USBKeyLocationID")
        if vendor is None or product is None or not isinstance(location, str):
            continue
        serial = _text(item, "USBDeviceKeySerialNumber")
        yield UsbFunction(
            location=location.lower(),
            vendor_id=vendor,
            product_id=product,
            vendor_name=_text(item, "USBDeviceKeyVendorName"),
            product_name=_text(item, "_name"),
            serial="" if serial == "Not Provided" else serial,
            speed_mbps=_speed(_text(item, "USBDeviceKeyLinkSpeed")),
        )


def _text(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    return value.strip() if isinstance(value, str) else ""


def _number(value: Any) -> int | None:
    match = _HEX.fullmatch(value) if isinstance(value, str) else None
    return int(match[1], 16) if match else None


def _speed(text: str) -> float | None:
    match = _SPEED.fullmatch(text)
    return float(match[1]) * (1000 if match[2] == "G" else 1) if match else None
