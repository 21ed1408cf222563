"""The simulated Mac's I/O registry as ``ioreg -a`` prints it: Thunderbolt routers and ports, PCI bridges and cards.

Property names are Apple's (IOPCIFamily, IOThunderboltFamily); no capture of a Mac with an NVIDIA card is public, so
which properties a release really shows on it is not known in every detail.
"""

from __future__ import annotations

import plistlib
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hil.hosts.base import Completed
from hil.sim import config_space as layout
from hil.sim.macos_profiler import host_uid, route

if TYPE_CHECKING:
    from hil.sim.machine import Function, Machine, SimEnclosure

Entry = dict[str, Any]
SECONDS = 0.05
CHILDREN = "IORegistryEntryChildren"
BUNDLE = "org.tinygrad.tinygpu.driver2"
_LINK_SPEEDS = {10.0: 8, 20.0: 4, 40.0: 2}
"""`Current Link Speed` of a port by Gb/s of a lane."""
_ALWAYS = {"IOObjectClass", "IORegistryEntryName", "IORegistryEntryID", "IORegistryEntryLocation", CHILDREN}
_USAGE = (
    "usage: ioreg [-abfilrtxy] [-c class] [-d depth] [-k key] [-n name] [-p plane] [-w width]\n"
    "where options are:\n\t-a archive output\n\t-c list properties of objects with the given class\n"
    "\t-l list properties of all objects\n\t-n list properties of objects with the given name\n"
    "\t-r show subtrees rooted by the given criteria\n"
)


def run(machine: Machine, argv: Sequence[str]) -> tuple[Completed, float]:
    """What ``ioreg`` prints, and the seconds it takes."""
    flags, criteria = set(), {"c": "", "n": "", "w": "", "p": "", "d": "", "k": ""}
    words = list(argv[1:])
    while words:
        word = words.pop(0)
        if not word.startswith("-") or len(word) == 1:
            return _refused(argv)
        for at, flag in enumerate(word[1:], start=1):
            if flag in criteria:
                value = word[at + 1 :] or (words.pop(0) if words else "")
                if not value:
                    return _refused(argv)
                criteria[flag] = value
                break
            if flag not in "abfilrtxy":
                return _refused(argv)
            flags.add(flag)
    root = registry(machine)
    found = [root]
    if "r" in flags:
        found = _subtrees(root, criteria["c"], criteria["n"])
    shown = [_shown(entry, criteria["c"], criteria["n"], everything="l" in flags) for entry in found]
    if "a" in flags:
        archive: Any = shown if "r" in flags else shown[0]
        text = plistlib.dumps(archive).decode() if shown else ""
    else:
        text = "".join(_drawn(entry, 0) for entry in shown)
    return Completed(argv=tuple(argv), returncode=0, stdout=text.encode(), stderr=b""), SECONDS


def registry(machine: Machine) -> Entry:
    """The whole registry, from its root."""
    io = _entry("arm-io", "AppleARMIODevice", "10f00000")
    io[CHILDREN] = [_thunderbolt(machine, port) for port in range(machine.profile.host.ports)]
    tops = [function for function in machine.functions.values() if function.parent is None]
    for number, function in enumerate(sorted(tops, key=lambda f: f.address)):
        complex_ = _entry(f"apciec{number}", "AppleARMIODevice", f"{0x30000000 + number:x}")
        complex_[CHILDREN] = [_pci(machine, function, f"pcic{number}-bridge")]
        io[CHILDREN].append(complex_)
    platform = _entry(machine.profile.host.model_id or "Mac", "IOPlatformExpertDevice")
    platform |= {"model": _text(machine.profile.host.model_id), "manufacturer": _text("Apple Inc.")}
    platform[CHILDREN] = [io]
    root = _entry("Root", "IORegistryEntry")
    root["IOKitBuildVersion"] = f"Darwin Kernel ({machine.profile.host.os_build})"
    root[CHILDREN] = [platform]
    _number_entries(root, "")
    return root


# PCI ------------------------------------------------------------------------------------------------------


def _pci(machine: Machine, function: Function, name: str) -> Entry:
    config = function.config
    bus, device, number = (int(part, 16) for part in function.address[5:].replace(".", ":").split(":"))
    location = f"{device:x}" if number == 0 else f"{device:x},{number:x}"
    entry = _entry(name, "IOPCIDevice", location)
    debug = f"{bus}:{device}:{number}"
    if config.is_bridge:
        _, secondary, subordinate = config.read(0x18, 3)
        debug += f"({secondary}:{subordinate})"
    ids = f"pci{config.vendor_id:x},{config.device_id:x}"
    entry |= {
        "IOName": name if config.is_bridge else ids,
        "compatible": _text(ids, f"pciclass,{config.class_code:06x}"),
        "name": _text(name),
        "pcidebug": debug,
        # Open Firmware's phys.hi of the config space, then size and address, all zero.
        "reg": (bus << 16 | device << 11 | number << 8).to_bytes(4, "little") + bytes(16),
        "vendor-id": _cell(config.vendor_id),
        "device-id": _cell(config.device_id),
        "class-code": _cell(config.class_code),
        "revision-id": _cell(config.read(8, 1)[0]),
        "subsystem-vendor-id": _cell(config.subsystem[0]),
        "subsystem-id": _cell(config.subsystem[1]),
        "IOPCIExpressCapabilities": int.from_bytes(config.read(layout.PCIE + 2, 2), "little"),
        "IOPCIExpressLinkCapabilities": _register(machine, function, layout.LINK_CAPABILITIES, 4),
        "IOPCIExpressLinkStatus": _register(machine, function, layout.LINK_STATUS, 2),
        "IOPCIMSIMode": not config.is_bridge,
        "IOPCIResourced": True,
    }
    if function.enclosure is not None:
        entry |= {"IOPCITunnelled": True, "IOPCITunnelCompatible": True}
    below = sorted((f for f in machine.functions.values() if f.parent == function.address), key=lambda f: f.address)
    endpoint = next((f.enclosure for f in below if f.role == "upstream" and f.enclosure), None)
    if endpoint is not None:
        entry["Tunnel Endpoint GUID"] = int(endpoint.uid, 16).to_bytes(8, "little")
    if config.is_bridge:
        driver = _entry("IOPP", "IOPCI2PCIBridge")
        driver["CFBundleIdentifier"] = "com.apple.iokit.IOPCIFamily"
        driver[CHILDREN] = [_pci(machine, f, _name(f)) for f in below]
        entry[CHILDREN] = [driver]
    elif function.role == "vga" and function.driver:
        driver = _entry("tinygpu", "IOUserService")
        driver |= {"IOUserServerName": BUNDLE, "CFBundleIdentifier": BUNDLE, "IOUserClass": "TinyGPUDriver"}
        entry[CHILDREN] = [driver]
    return entry


def _name(function: Function) -> str:
    if function.config.is_bridge:
        return "pci-bridge"
    ids = f"pci{function.config.vendor_id:x},{function.config.device_id:x}"
    return "display" if function.role == "vga" else ids


def _register(machine: Machine, function: Function, offset: int, size: int) -> int:
    return int.from_bytes(machine.config_read(function, offset, size), "little")


# Thunderbolt ----------------------------------------------------------------------------------------------


def _thunderbolt(machine: Machine, port: int) -> Entry:
    here = [e for e in machine.enclosures if e.visible and e.port == port and not e.spec.behind]
    switch = _switch("IOThunderboltSwitchType5", host_uid(port), 0, "Apple Inc.", machine.profile.host.model)
    switch[CHILDREN] = [_port(machine, 1, str(port + 1), here)]
    controller = _entry("IOThunderboltController", "IOThunderboltController")
    controller[CHILDREN] = [switch]
    native = _entry(f"acio{port}", "AppleARMIODevice", f"{0x70000000 + (port << 28):x}")
    native[CHILDREN] = [controller]
    return native


def _port(machine: Machine, number: int, socket: str, connected: list[SimEnclosure]) -> Entry:
    training = connected[0].training if connected else None
    port = _entry("IOThunderboltPort", "IOThunderboltPort", f"{number:x}")
    port |= {
        "Adapter Type": 1,
        "Description": "Thunderbolt Port",
        "Port Number": number,
        "Socket ID": socket,
        "Current Link Speed": _LINK_SPEEDS.get(training.lane_gbps, 0) if training else 0,
        "Current Link Width": min(training.lanes, 2) if training else 0,
        "Target Link Speed": 12,
    }
    if connected:
        port[CHILDREN] = [_device(machine, enclosure) for enclosure in connected]
    return port


def _device(machine: Machine, enclosure: SimEnclosure) -> Entry:
    spec = enclosure.spec
    kind = "IOThunderboltSwitchType3" if spec.kind == "thunderbolt3" else "IOThunderboltSwitchUSB4"
    switch = _switch(kind, int(enclosure.uid, 16), route(machine, enclosure), spec.vendor, spec.name)
    switch |= {"Vendor ID": spec.vendor_id, "Device ID": spec.device_id, "Firmware Version": spec.firmware}
    behind = [e for e in machine.enclosures if e.visible and e.spec.behind == spec.name]
    if behind:
        switch[CHILDREN] = [_port(machine, 3, "0", behind)]
    return switch


def _switch(kind: str, uid: int, route_string: int, vendor: str, model: str) -> Entry:
    entry = _entry(kind, kind, f"{route_string:x}")
    # The registry's numbers are signed.
    signed = uid - (1 << 64) if uid >> 63 else uid
    depth = (route_string.bit_length() + 7) // 8
    names = {"Device Vendor Name": vendor, "Device Model Name": model}
    return entry | names | {"UID": signed, "Route String": route_string, "Depth": depth}


# ioreg itself ---------------------------------------------------------------------------------------------


def _entry(name: str, kind: str, location: str = "") -> Entry:
    entry: Entry = {"IOObjectClass": kind, "IORegistryEntryName": name}
    if location:
        entry["IORegistryEntryLocation"] = location
    return entry


def _number_entries(entry: Entry, above: str) -> None:
    """Give all entries their ids: the same for the same place in the tree."""
    path = f"{above}/{entry['IORegistryEntryName']}@{entry.get('IORegistryEntryLocation', '')}"
    entry["IORegistryEntryID"] = 0x1_0000_0000 + zlib.crc32(path.encode())
    for child in entry.get(CHILDREN, []):
        _number_entries(child, path)


def _cell(value: int) -> bytes:
    return value.to_bytes(4, "little")


def _text(*words: str) -> bytes:
    return b"".join(word.encode() + b"\0" for word in words)


def _matches(entry: Entry, kind: str, name: str) -> bool:
    right_kind = not kind or entry["IOObjectClass"] == kind
    return right_kind and (not name or entry["IORegistryEntryName"] == name) and bool(kind or name)


def _subtrees(entry: Entry, kind: str, name: str) -> list[Entry]:
    """The topmost entries that match, with all below them."""
    if _matches(entry, kind, name) or not (kind or name):
        return [entry]
    return [found for child in entry.get(CHILDREN, []) for found in _subtrees(child, kind, name)]


def _shown(entry: Entry, kind: str, name: str, *, everything: bool) -> Entry:
    keep = everything or _matches(entry, kind, name)
    shown = {key: value for key, value in entry.items() if keep or key in _ALWAYS}
    if CHILDREN in entry:
        shown[CHILDREN] = [_shown(child, kind, name, everything=everything) for child in entry[CHILDREN]]
    return shown


def _drawn(entry: Entry, depth: int) -> str:
    """The tree in ioreg's own characters."""
    at = f"@{entry['IORegistryEntryLocation']}" if "IORegistryEntryLocation" in entry else ""
    pad = "  " * depth
    kind = f"<class {entry['IOObjectClass']}, id {entry['IORegistryEntryID']:#x}>"
    text = f"{pad}+-o {entry['IORegistryEntryName']}{at}  {kind}\n"
    properties = [(key, value) for key, value in entry.items() if key not in _ALWAYS]
    if properties:
        text += f"{pad}    {{\n"
        text += "".join(f'{pad}      "{key}" = {_value(value)}\n' for key, value in properties)
        text += f"{pad}    }}\n\n"
    return text + "".join(_drawn(child, depth + 1) for child in entry.get(CHILDREN, []))


def _value(value: Any) -> str:
    if isinstance(value, bytes):
        return f"<{value.hex()}>"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return f'"{value}"' if isinstance(value, str) else str(value % (1 << 64))


def _refused(argv: Sequence[str]) -> tuple[Completed, float]:
    return Completed(argv=tuple(argv), returncode=1, stdout=b"", stderr=_USAGE.encode()), 0.01
