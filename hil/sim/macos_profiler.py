"""The simulated Mac's ``system_profiler``: what it knows of Thunderbolt, PCI, USB, hardware and software.

Keys and values follow what real Macs print; names of Thunderbolt buses and order are theirs too.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hil.sim import config_space as layout
from hil.sim.usb import UsbDevice, devices

if TYPE_CHECKING:
    from hil.sim.machine import Function, Machine, SimEnclosure

Item = dict[str, Any]
_IDLE = {"thunderbolt3": "Up to 40 Gb/s", "usb4": "Up to 40 Gb/s", "thunderbolt5": "Up to 120 Gb/s"}
_MODES = {"thunderbolt3": "thunderbolt_three", "usb4": "usb_four", "thunderbolt5": "usb_four_v2"}
_UP, _DOWN = "0x2", "0x100"
_SPEEDS = {1: "2.5", 2: "5.0", 3: "8.0", 4: "16.0", 5: "32.0", 6: "64.0"}
_FIRST_NAMED_BY_YEAR = 26


def router_name(machine: Machine, enclosure: SimEnclosure) -> str:
    """Bus and route of an enclosure: ``thunderboltusb4_bus_0-1``."""
    return f"{_bus_name(machine, enclosure.port)}-{route(machine, enclosure):x}"


def route(machine: Machine, enclosure: SimEnclosure) -> int:
    """Route string of an enclosure: 1 at the host, behind another enclosure 3 in the next byte."""
    front = machine.enclosure(enclosure.spec.behind) if enclosure.spec.behind else None
    if front is None:
        return 1
    above = route(machine, front)
    return 3 << (above.bit_length() + 7) // 8 * 8 | above


def host_uid(port: int) -> int:
    """The 64-bit id of the host's own router at a receptacle."""
    return 0x05AC_51D0_7E43_C0A0 + port


# Thunderbolt ----------------------------------------------------------------------------------------------


def _thunderbolt(machine: Machine) -> list[Item]:
    ports = range(machine.profile.host.ports)
    return [_bus(machine, port) for port in reversed(ports)]


def _bus(machine: Machine, port: int) -> Item:
    host = machine.profile.host
    here = [e for e in machine.enclosures if e.visible and e.port == port and not e.spec.behind]
    receptacle = {"receptacle_id_key": str(port + 1)}
    if here:
        receptacle |= {
            "current_speed_key": _speed(here[0]),
            "link_status_key": _UP,
            "micro_version_key": "0.0.0",
            "receptacle_status_key": "receptacle_connected",
        }
    else:
        receptacle |= {
            "current_speed_key": _IDLE[host.port_kind],
            "link_status_key": _DOWN,
            "receptacle_status_key": "receptacle_no_devices_connected",
        }
    bus: Item = {
        "_name": _bus_name(machine, port),
        "device_name_key": host.model,
        "domain_uuid_key": str(uuid.uuid5(uuid.UUID(machine.boot_id), f"domain {port}")).upper(),
        "receptacle_1_tag": receptacle,
        "route_string_key": "0",
        "switch_uid_key": f"0x{host_uid(port):016X}",
        "vendor_name_key": "Apple Inc.",
    }
    if here:
        bus["_items"] = [_router(machine, enclosure) for enclosure in here]
    return bus


def _router(machine: Machine, enclosure: SimEnclosure) -> Item:
    spec = enclosure.spec
    behind = [e for e in machine.enclosures if e.visible and e.spec.behind == spec.name]
    item: Item = {
        "_name": spec.name,
        "device_id_key": f"0x{spec.device_id:X}",
        "device_name_key": spec.name,
        "device_revision_key": "0x1",
        "mode_key": _MODES[spec.kind],
        "receptacle_upstream_ambiguous_tag": {
            "current_speed_key": _speed(enclosure),
            "link_status_key": _UP,
            "micro_version_key": "1.3.0",
            "receptacle_status_key": "receptacle_connected",
        },
        "route_string_key": f"{route(machine, enclosure):x}",
        "switch_uid_key": f"0x{int(enclosure.uid, 16):016X}",
        "switch_version_key": spec.firmware,
        "vendor_id_key": f"0x{spec.vendor_id:04X}",
        "vendor_name_key": spec.vendor,
    }
    if behind:
        item["receptacle_3_tag"] = {
            "current_speed_key": _speed(behind[0]),
            "link_status_key": _UP,
            "micro_version_key": "1.3.0",
            "receptacle_id_key": "2",
            "receptacle_status_key": "receptacle_connected",
        }
        item["_items"] = [_router(machine, other) for other in behind]
    return item


def _bus_name(machine: Machine, port: int) -> str:
    return f"thunderbolt{'' if machine.profile.host.arch == 'x86_64' else 'usb4'}_bus_{port}"


def _speed(enclosure: SimEnclosure) -> str:
    training = enclosure.training
    return f"{training.lane_gbps * training.lanes if training else 0:g} Gb/s"


# PCI, USB, hardware, software -----------------------------------------------------------------------------


def _pci(machine: Machine) -> list[Item]:
    functions = sorted(machine.functions.values(), key=lambda function: function.address)
    return [_card(machine, function) for function in functions if not function.config.is_bridge]


def _card(machine: Machine, function: Function) -> Item:
    config = function.config
    status = int.from_bytes(machine.config_read(function, layout.LINK_STATUS, 2), "little")
    speed, width = _SPEEDS.get(status & 0xF), status >> 4 & 0x3F
    bus, device, number = (int(part, 16) for part in function.address[5:].replace(".", ":").split(":"))
    tunnelled = function.enclosure is not None
    item: Item = {
        "_name": f"pci{config.vendor_id:x},{config.device_id:x}",
        "sppci_device_type": "sppci_vgacontroller" if function.role == "vga" else "sppci_audio",
        "sppci_device-id": f"0x{config.device_id:04x}",
        "sppci_driver_installed": "Yes" if function.role == "vga" and machine.profile.host.driver_version else "No",
        "sppci_link-status": "Link up" if speed else "Link down",
        "sppci_msi": "Yes",
        "sppci_pause-compatible": "Yes" if tunnelled else "No",
        "sppci_revision-id": f"0x{config.read(8, 1)[0]:04x}",
        "sppci_slot_name": f"Thunderbolt@{bus},{device},{number}" if tunnelled else f"Slot-1@{bus},{device},{number}",
        "sppci_subsystem-id": f"0x{config.subsystem[1]:04x}",
        "sppci_subsystem-vendor-id": f"0x{config.subsystem[0]:04x}",
        "sppci_tunnel-compatible": "Yes" if tunnelled else "No",
        "sppci_vendor-id": f"0x{config.vendor_id:04x}",
    }
    if speed:
        item |= {"sppci_link-speed": f"{speed} GT/s", "sppci_link-width": f"x{width}"}
    return item


def _usb(machine: Machine) -> list[Item]:
    # Tunnelled and native ports alike hang on one controller a receptacle.
    here = devices(machine)
    ports = range(max([machine.profile.host.ports, *(device.bus + 1 for device in here)]))
    return [
        {
            "_name": "USB 3.1 Bus",
            "Driver": "AppleUSBXHCI",
            "USBKeyHardwareType": "Built-in",
            "USBKeyLocationID": f"0x{port << 24:08x}",
            **_usb_items([device for device in here if device.bus == port]),
        }
        for port in reversed(ports)
    ]


def _usb_items(here: list[UsbDevice], above: tuple[int, ...] = ()) -> Item:
    """The devices right below the one at `above`, each with those below it; nothing at all where there are none."""
    below = [device for device in here if device.ports[:-1] == above and device.ports]
    if not below:
        return {}
    return {
        "_items": [
            {
                "_name": device.spec.product,
                "USBDeviceKeyLinkSpeed": _usb_speed(device.spec.speed_mbps),
                "USBDeviceKeyProductID": f"0x{device.spec.product_id:04x}",
                "USBDeviceKeyProductVersion": "0x0100",
                "USBDeviceKeySerialNumber": device.spec.serial or "Not Provided",
                "USBDeviceKeyVendorID": f"0x{device.spec.vendor_id:04x}",
                "USBDeviceKeyVendorName": device.spec.vendor,
                "USBKeyHardwareType": "Removable",
                "USBKeyLocationID": f"0x{device.location:08x}",
                **_usb_items(here, device.ports),
            }
            for device in below
        ]
    }


def _usb_speed(mbps: int) -> str:
    return f"{mbps} Mb/s" if mbps < 1000 else f"{mbps // 1000} Gb/s"  # noqa: PLR2004  (as it is printed)


def _hardware(machine: Machine) -> list[Item]:
    host = machine.profile.host
    return [
        {
            "_name": "hardware_overview",
            "chip_type": host.chip,
            "machine_model": host.model_id,
            "machine_name": host.model,
            "physical_memory": "48 GB",
            "platform_UUID": str(uuid.uuid5(uuid.NAMESPACE_OID, host.model_id)).upper(),
        }
    ]


def _software(machine: Machine) -> list[Item]:
    host = machine.profile.host
    minutes, seconds = divmod(int(machine.clock.now()), 60)
    return [
        {
            "_name": "os_overview",
            "boot_mode": "normal_boot",
            "boot_volume": "Macintosh HD",
            "kernel_version": f"Darwin {darwin_release(host.os_version)}",
            "local_host_name": machine.facts().hostname,
            "os_version": f"macOS {host.os_version} ({host.os_build})",
            "system_integrity": "integrity_enabled",
            "uptime": f"up {minutes // 1440}:{minutes // 60 % 24}:{minutes % 60}:{seconds}",
        }
    ]


def darwin_release(os_version: str) -> str:
    """The kernel's release that belongs to a macOS release: 26.1 has Darwin 25.1.0, 15.2 has 24.2.0."""
    major, _, minor = os_version.partition(".")
    number = int(major) - 1 if int(major) >= _FIRST_NAMED_BY_YEAR else int(major) + 9
    return f"{number}.{minor.split('.')[0] or '0'}.0"


TYPES: dict[str, Callable[[Machine], list[Item]]] = {
    "SPThunderboltDataType": _thunderbolt,
    "SPPCIDataType": _pci,
    "SPUSBHostDataType": _usb,
    # Empty since macOS 26; the devices are in the type above.
    "SPUSBDataType": lambda _: [],
    "SPHardwareDataType": _hardware,
    "SPSoftwareDataType": _software,
}
"""The data types that are known, in the order of the whole report."""
