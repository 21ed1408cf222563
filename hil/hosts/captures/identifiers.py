"""Which values in a journal identify a machine, its owner or its devices: found by what is known to hold such.

Sources: the inventory; fields of commands' output (JSON, property lists, ``key = value`` lines), files, NVML calls and
USB descriptors that are known to hold ids; and everything that has the form of a UUID or a hardware address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hil.hosts.captures.journal import Entry
from hil.hosts.captures.kinds import DASHED, SEPARATED, SHORTEST, Identifiers, Kind, orders
from hil.hosts.captures.printed import taken_apart
from hil.hosts.captures.values import contents, fields
from hil.model import Inventory, to_dict

_HOME = re.compile(rb"/(?:Users|home)/([^/\s\"'<>:]{3,64})")
# usb-FTDI_FT232R_A50285BI-if00-port0 on Linux, cu.usbserial-A50285BI and cu.usbmodem1101 on macOS
_PORT = re.compile(
    rb"usb-[^/\s\"]+_([0-9A-Za-z]{4,})-if[0-9a-f]{2}|\b(?:cu|tty)\.usb(?:serial-|modem)([0-9A-Za-z]{4,})"
)

_ROUTER_KEY = re.compile(r"switchuid|^uid$|endpointguid|uniqueid$")
_ID_KEY = re.compile(
    r"serial(?:number|num|no)?$|serialnumber|^ecid$|uniquechipid|nonce|imei|meid|iccid|edid|guid$|udid|uuid|macaddress"
    r"|bssid|" + _ROUTER_KEY.pattern
)
"""Keys are compared in lower case, without anything but letters and digits."""
_NAME_KEY = re.compile(r"hostname|computername|username$|localhost|nodename")
_FILES = {"serial", "serial_number", "product_serial", "board_serial", "chassis_serial", "chassis_asset_tag"}
_NVML = re.compile("UUID|Serial", re.IGNORECASE)
_ROUTER_BYTES, _UUID_BYTES, _ADDRESS_BYTES, _LEAST_DATA = 8, 16, 6, 6


def find(entries: Iterable[Entry], inventory: Inventory, *, names: Iterable[str] = ()) -> Identifiers:
    """The identifiers in what `entries` hold.

    Args:
        entries: recorded.
        inventory: discovered while they were recorded.
        names: of hosts and users, known otherwise.

    """
    entries = tuple(entries)
    found = Identifiers()
    _from_inventory(inventory, found)
    for name in names:
        _add_name(name, found)
    strings = _serial_strings(entries)
    for entry in entries:
        found.words |= _words(entry.args)
        for content in contents([entry.args, entry.answer, entry.error]):
            _from_form(content, found)
        if entry.call == "run" and entry.answer is not None:
            _from_output(entry.answer["stdout"], found)
        elif entry.call in ("read", "pread") and entry.answer is not None:
            _from_file(str(entry.args[0]), entry.answer, found)
        elif entry.call == "nvml.call" and _NVML.search(entry.args[0]):
            for out in filter(None, entry.answer["out"]):
                text = out.split(b"\0")[0]
                if text.isascii() and text.decode().isprintable() and not DASHED.search(text):
                    found.add(Kind.SERIAL, text.decode())
        elif entry.call == "usb.string" and tuple(entry.args[:2]) in strings and entry.answer is not None:
            found.add(Kind.SERIAL, entry.answer[2:].decode("utf-16-le", "replace"))
    return found


def _from_inventory(inventory: Inventory, found: Identifiers) -> None:
    for uid in (*(r.uid for r in inventory.routers), *(f.tunnel_endpoint for f in inventory.functions)):
        if uid:
            found.add(Kind.ROUTER if len(uid) == 2 * _ROUTER_BYTES else Kind.UUID, uid)
    for device in inventory.usb:
        found.add(Kind.SERIAL, device.serial)
    _add_name(inventory.host.hostname, found)
    if not DASHED.fullmatch(inventory.host.boot_id.encode()):
        found.add(Kind.SERIAL, inventory.host.boot_id)
    facts = to_dict(inventory)
    facts["host"].pop("hostname")
    for content in contents(facts):
        _from_form(content, found)
    found.words |= _words(facts)


def _from_form(content: bytes, found: Identifiers) -> None:
    for match in DASHED.finditer(content):
        digits = match[0].replace(b"-", b"").decode().lower()
        if digits.endswith("f" * 16):  # Linux' form of a router id
            _add_router(digits[:16], found)
        else:
            found.add(Kind.UUID, digits)
    for match in SEPARATED.finditer(content):
        found.add(Kind.ADDRESS, match[0].replace(match[1], b"").decode().lower())
    for match in _HOME.finditer(content):
        _add_name(match[1].decode("utf-8", "replace"), found)
    for match in _PORT.finditer(content):
        found.add(Kind.SERIAL, (match[1] or match[2]).decode())


def _add_router(digits: str, found: Identifiers) -> None:
    """`digits` as Linux writes them; in which order they make an id is known only of routers in the inventory."""
    raw = bytes.fromhex(digits)
    readings = {order.hex() for order in orders(raw)}
    if not readings & found.found[Kind.ROUTER]:
        found.add(Kind.ROUTER, (raw[3::-1] + raw[:3:-1]).hex())


def _from_file(path: str, content: bytes, found: Identifiers) -> None:
    name = path.rsplit("/", 1)[-1]
    if name in _FILES:
        found.add(Kind.SERIAL, content.decode("utf-8", "replace"))
    elif name == "hostname":
        _add_name(content.decode("utf-8", "replace"), found)
    elif name == "machine-id" and len(content.strip()) == 2 * _UUID_BYTES:
        found.add(Kind.UUID, content.strip().decode("ascii", "replace").lower())


def _from_output(output: bytes, found: Identifiers) -> None:
    for key, value in fields(taken_apart(output)):
        _from_field(re.sub(r"[^a-z0-9]", "", key.lower()), value, found)


def _from_field(key: str, value: Any, found: Identifiers) -> None:
    if _NAME_KEY.search(key) and isinstance(value, str):
        for part in re.split(r"[()]", value):  # "Full Name (login)"
            _add_name(part, found)
    elif not _ID_KEY.search(key):
        return
    elif isinstance(value, int):
        _from_number(int(value), found)
    elif isinstance(value, (bytes, bytearray)):
        _from_data(bytes(value), found)
    elif isinstance(value, str):
        _from_id_text(key, value, found)


def _from_number(value: int, found: Identifiers) -> None:
    """Below 65536 it is an index or a count; above 32 bits it is a 64-bit id, signed as the I/O registry has it."""
    if abs(value) >= 1 << 32:
        found.add(Kind.ROUTER, f"{value & (1 << 64) - 1:016x}")
    elif abs(value) >= 1 << 16:
        found.add(Kind.SERIAL, str(value))


def _from_id_text(key: str, value: str, found: Identifiers) -> None:
    digits = re.fullmatch(r"\s*(?:0[xX])?([0-9A-Fa-f]{9,16})\s*", value)
    if DASHED.fullmatch(value.encode()) or SEPARATED.fullmatch(value.encode()):
        return  # found by its form
    if _ROUTER_KEY.search(key) and digits:
        found.add(Kind.ROUTER, digits[1].lower().zfill(16))
    else:
        found.add(Kind.SERIAL, value)


def _from_data(data: bytes, found: Identifiers) -> None:
    text = data.rstrip(b"\0")
    if len(text) >= SHORTEST and text.isascii() and text.decode().isprintable():
        found.add(Kind.SERIAL, text.decode())
    elif len(data) == _ROUTER_BYTES:
        known = found.found[Kind.ROUTER]
        if not known & {order.hex() for order in orders(data)}:
            found.add(Kind.ROUTER, data[::-1].hex())
    elif len(data) in (_UUID_BYTES, _ADDRESS_BYTES):
        found.add(Kind.UUID if len(data) == _UUID_BYTES else Kind.ADDRESS, data.hex())
    elif len(data) >= _LEAST_DATA:
        found.add(Kind.DATA, data.hex())


def _serial_strings(entries: Iterable[Entry]) -> set[tuple[int, int]]:
    """Device and wValue of the requests for USB serial numbers (USB 2.0 specification, section 9.4.3)."""
    described = [entry for entry in entries if entry.call == "usb.get_device_descriptor" and entry.answer]
    return {(entry.args[0], 3 << 8 | (entry.answer.get("iSerialNumber") or 0)) for entry in described} - {
        (entry.args[0], 3 << 8) for entry in described
    }


def _add_name(name: str, found: Identifiers) -> None:
    # The computer and its network are told apart: either may stand alone elsewhere.
    for part in name.strip().split(".", 1):
        found.add(Kind.NAME, part)


def _words(value: Any) -> set[str]:
    texts = (item for _, item in fields(value) if isinstance(item, str))
    return {word for text in texts for word in re.findall("[0-9A-Za-z]+", text)}
