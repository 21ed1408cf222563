"""Stand-ins: every form of every identifier is replaced, the same way everywhere, and nothing else is."""

from __future__ import annotations

import base64
import json
import os
import plistlib
import random
import re
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.cli.capture import take
from hil.discovery import discover
from hil.hosts.captured import CapturedHost
from hil.hosts.captures.contents import from_bytes
from hil.hosts.captures.identifiers import find
from hil.hosts.captures.journal import Entry
from hil.hosts.captures.kinds import Identifiers, Kind, orders
from hil.hosts.captures.redaction import Redaction
from hil.hosts.recording import RecordingHost
from hil.model import HostFacts, Inventory
from tests import nvml_library, usb_bus
from tests.captured_bench import unpacked
from tests.files_host import FilesHost
from tests.test_capture_recording import asked, seen
from tests.tree_host import DATA, answered, load

UID, UUID, MAC = "80878dfaba68f800", "7a3c1d529e044b6f8f210c5d9be47a10", "a483e7123456"
EMPTY = Inventory(host=HostFacts(system="Darwin"))


def redaction(**values: set[str] | list[str]) -> Redaction:
    found = Identifiers()
    for name, texts in values.items():
        for text in texts:
            found.add(Kind[name.upper()], text)
    return Redaction(found)


def dashed(digits: str) -> str:
    return re.sub(r"^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5", digits)


def run(output: bytes | str, argv: tuple[str, ...] = ("system_profiler",)) -> Entry:
    content = output if isinstance(output, bytes) else output.encode()
    return Entry("run", argv, {"returncode": 0, "stdout": content, "stderr": b""})


def secrets(*entries: Entry, inventory: Inventory = EMPTY, names: tuple[str, ...] = ()) -> dict[Kind, set[str]]:
    return {kind: values for kind, values in find(entries, inventory, names=names).found.items() if values}


# Replacing ----------------------------------------------------------------------------------------------------------


def test_a_router_id_is_replaced_in_all_its_forms_by_one_stand_in():
    made = redaction(router={UID})
    other = made.stand_ins[Kind.ROUTER][UID]
    raw, stand_in = bytes.fromhex(UID), bytes.fromhex(other)

    assert other[:4] == "8087"
    assert made.text(f"0x{UID.upper()}") == f"0x{other.upper()}"
    assert made.text(f"thunderbolt-{UID}/x") == f"thunderbolt-{other}/x"
    for was, now in zip(orders(raw), orders(stand_in), strict=True):
        assert made.data(b"\x00\xff" + was + b"\x80") == b"\x00\xff" + now + b"\x80"
        assert made.text(f"<{was.hex()}00>") == f"<{now.hex()}00>"
        assert made.text(dashed(was.hex() + "f" * 16)) == dashed(now.hex() + "f" * 16)
    signed = int.from_bytes(raw, signed=True), int.from_bytes(stand_in, signed=True)
    assert made.text(f"<integer>{signed[0]}</integer>") == f"<integer>{signed[1]}</integer>"
    assert made.text(f'"UID"={int(UID, 16)},') == f'"UID"={int(other, 16)},'


def test_leading_zeros_may_be_left_out():
    made = redaction(router={"00edc41487a90012"})

    assert made.text("0xEDC41487A90012") == "0x" + made.stand_ins[Kind.ROUTER]["00edc41487a90012"].lstrip("0").upper()


def test_a_uuid_is_replaced_in_all_its_forms_and_stays_one_of_its_version():
    made = redaction(uuid={UUID})
    other = made.stand_ins[Kind.UUID][UUID]
    raw, stand_in = bytes.fromhex(UUID), bytes.fromhex(other)

    assert made.text(f"GPU-{dashed(UUID)}") == f"GPU-{dashed(other)}"
    assert made.text(dashed(UUID).upper()) == dashed(other).upper()
    assert made.text(UUID) == other
    assert made.data(raw[::-1]) == stand_in[::-1]
    assert (other[12], other[16]) == (UUID[12], UUID[16])
    guid = raw[3::-1] + raw[5:3:-1] + raw[7:5:-1] + raw[8:]
    assert guid not in made.data(guid)


def test_a_hardware_address_keeps_its_maker():
    made = redaction(address={MAC})
    other = made.stand_ins[Kind.ADDRESS][MAC]

    assert other[:6] == MAC[:6]
    assert made.text("A4:83:E7:12:34:56").lower().replace(":", "") == other
    assert made.text("a4-83-e7-12-34-56").replace("-", "") == other
    assert made.data(bytes.fromhex(MAC)) == bytes.fromhex(other)
    assert made.text("00:11:22:33:44:55") == "00:11:22:33:44:55"


def test_data_in_property_lists_is_replaced_within_its_base64_and_keeps_its_layout():
    made = redaction(router={UID}, serial={"C02XK1ABJGH5"})
    content = {"GUID": bytes.fromhex(UID)[::-1], "n": b"C02XK1ABJGH5".ljust(80, b"\0"), "other": b"same"}
    before = plistlib.dumps(content)

    after = made.data(before)

    now = plistlib.loads(after)
    assert now["GUID"] == bytes.fromhex(made.stand_ins[Kind.ROUTER][UID])[::-1]
    assert now["n"] == made.stand_ins[Kind.SERIAL]["C02XK1ABJGH5"].encode().ljust(80, b"\0")
    assert now["other"] == b"same"
    assert len(after) == len(before)
    assert after.count(b"\n") == before.count(b"\n")


def test_data_that_is_no_base64_is_left():
    made = redaction(router={UID})

    assert made.data(b"<data>!</data><data>A</data>") == b"<data>!</data><data>A</data>"


def test_a_serial_number_keeps_its_form_and_is_found_in_any_case_and_width():
    made = redaction(serial={"C02-xk1ABJ.5"})
    other = made.stand_ins[Kind.SERIAL]["C02-xk1ABJ.5"]

    assert re.fullmatch(r"[A-Z]\d\d-[a-z][a-z]\d[A-Z]{3}\.\d", other)
    assert made.text("cu.usbmodemC02-xk1ABJ.51") == f"cu.usbmodem{other}1"
    assert made.text("c02-XK1abj.5").lower() == other.lower()
    assert made.data("C02-xk1ABJ.5".encode("utf-16-le")) == other.encode("utf-16-le")


@pytest.mark.parametrize(
    ("serial", "replaced", "left"),
    [
        ("12345", ["serial 12345.", "x_12345-if00"], ["0x12345", "123456", "a12345"]),
        ("1234", ['"Serial" : "1234"', "<string>1234</string>", "1234\n"], ["1234 1235", "<integer>1234</integer>"]),
    ],
)
def test_the_shorter_a_serial_number_the_nearer_one_looks(serial, replaced, left):
    made = redaction(serial={serial})

    assert not [text for text in replaced if serial in made.text(text)]
    assert [made.text(text) for text in left] == left


def test_a_short_serial_number_in_a_usb_string_is_replaced():
    made = redaction(serial={"1234"})
    wide = "1234".encode("utf-16-le")

    assert made.data(b"\x0a\x03" + wide) == b"\x0a\x03" + made.stand_ins[Kind.SERIAL]["1234"].encode("utf-16-le")
    assert made.data(b"\x00" * 6 + wide) == b"\x00" * 6 + wide


def test_a_serial_number_that_is_a_routers_id_gets_the_stand_in_of_the_id():
    made = redaction(router={UID}, serial={UID.upper()})
    other = made.stand_ins[Kind.ROUTER][UID].upper()

    assert made.stand_ins[Kind.SERIAL][UID.upper()] == other
    assert made.data(UID.upper().encode("utf-16-le")) == other.encode("utf-16-le")


def test_names_are_replaced_as_whole_words_as_they_are_written_in_json_and_xml():
    made = redaction(name={"anna-büro", "R&D"})
    other = made.stand_ins[Kind.NAME]["anna-büro"]

    assert made.text("on anna-büro.") == f"on {other}."
    assert made.text('"anna-b\\u00fcro"') == f'"{other}"'
    assert made.text("anna-büros xanna-büro Anna-Büro") == "anna-büros xanna-büro Anna-Büro"
    assert made.facts({"hostname": "anna-büro.local", "boot_id": ""})["hostname"] == f"{other}.local"


@pytest.mark.parametrize("name", ["MacBook-Pro", "Linux", "sys", "pc"])
def test_a_name_that_tells_nothing_is_replaced_in_the_facts_alone(name):
    found = find([Entry("list", ("/sys/bus",), [])], Inventory(host=HostFacts(system="Linux", model="MacBook Pro")))
    found.add(Kind.NAME, name)
    made = Redaction(found)
    facts = made.facts({"system": "Linux", "model": "MacBook Pro", "hostname": name, "boot_id": ""})

    assert facts["hostname"] != name
    assert len(facts["hostname"]) == len(name)
    assert (facts["system"], facts["model"]) == ("Linux", "MacBook Pro")
    assert made.text(f"/sys/bus {name}") == f"/sys/bus {name}"
    assert made.facts({"hostname": name})["hostname"] == facts["hostname"]


HEX = st.text("0123456789abcdef", min_size=12, max_size=12)


@settings(max_examples=30, deadline=None)
@given(tails=st.sets(HEX, min_size=2, max_size=12))
def test_stand_ins_keep_the_order_and_are_as_many(tails):
    ids = {f"8086{tail}" for tail in tails if len(set(tail)) > 1}
    made = redaction(router=ids, uuid={f"{value}{value}" for value in ids})

    for kind in (Kind.ROUTER, Kind.UUID):
        pairs = sorted(made.stand_ins[kind].items())
        assert [other for _, other in pairs] == sorted(other for _, other in pairs)
        assert len({other for _, other in pairs}) == len(ids)


@settings(max_examples=60, deadline=None)
@given(noise=st.binary(max_size=40), place=st.integers(0, 40), what=st.sampled_from([UID, UUID, MAC]), form=st.data())
def test_nothing_leaks_whatever_stands_around_it(noise, place, what, form):
    made = redaction(router={UID}, uuid={UUID}, address={MAC})
    raw = bytes.fromhex(what)
    written = form.draw(
        st.sampled_from([raw, raw[::-1], what.encode(), what.upper().encode(), raw[::-1].hex().encode()])
    )
    content = noise[:place] + written + noise[place:]

    assert made.leaks(content)
    assert made.leaks(made.data(content)) == []


def test_what_is_left_is_told():
    made = redaction(router={UID}, uuid={UUID}, serial={"C02XK1ABJGH5"}, name={"annas-mac"})
    for text in (f"0x{UID.upper()}", dashed(UUID), str(int(UID, 16)), "c02xk1abjgh5", "annas-mac.local"):
        assert made.leaks(text.encode())
    packed = base64.b64encode(bytes.fromhex(UID)[::-1]).decode()
    assert made.leaks(f"<data>{packed}</data>".encode())
    assert made.leaks(b"nothing of the kind <data>!</data>") == []


def test_stand_ins_differ_from_one_capture_to_the_next():
    assert redaction(router={UID}).stand_ins != redaction(router={UID}).stand_ins


# Finding ------------------------------------------------------------------------------------------------------------

PROFILER = {
    "SPThunderboltDataType": [{"switch_uid_key": "0x80878DFABA68F800", "domain_uuid_key": dashed(UUID).upper()}],
    "SPPCIDataType": [{"sppci_serialnumber": "S3RIAL-4B", "sppci_device-id": "0x2684"}],
    "SPUSBHostDataType": [{"USBDeviceKeySerialNumber": "Not Provided"}, {"USBDeviceKeySerialNumber": "A50285BI"}],
    "SPSoftwareDataType": [{"local_host_name": "Annas MacBook", "user_name": "Anna Beispiel (anna)"}],
    "SPNetworkDataType": [{"hardware_address": "a4:83:e7:12:34:56"}],
    "SPHardwareDataType": [{"serial_number": "C02XK1ABJGH5", "number_processors": 10, "serial": True}],
}
FOUND = {
    Kind.ROUTER: {UID},
    Kind.UUID: {UUID},
    Kind.SERIAL: {"S3RIAL-4B", "A50285BI", "C02XK1ABJGH5"},
    Kind.NAME: {"Annas MacBook", "Anna Beispiel", "anna"},
    Kind.ADDRESS: {MAC},
}


def test_ids_in_a_report_are_found_by_their_keys():
    assert secrets(run(json.dumps(PROFILER))) == FOUND


def test_ids_in_a_report_that_was_cut_off_are_found():
    text = json.dumps(PROFILER, indent=1)

    assert secrets(run(text[:-4])) == FOUND


def test_ids_in_a_property_list_are_found():
    registry = {
        "IOPlatformSerialNumber": "C02XK1ABJGH5",
        "IOPlatformUUID": dashed(UUID).upper(),
        "IORegistryEntryChildren": [
            {"UID": int(UID, 16) - (1 << 64), "Route String": 1},
            {"Tunnel Endpoint GUID": bytes.fromhex("00d4174024640001")[::-1]},
            {"serial-number": b"FVFXC2\0\0", "IOMACAddress": bytes.fromhex(MAC), "device-uuid": bytes.fromhex(UUID)},
            {"EDID": bytes(range(128)), "AppleDisplaySerialNumber": 16843009, "iSerialNumber": 3, "ECID": 1 << 52 | 99},
            {"SerialNumber": b"\x01\x02", "UUID": b"\xff" * 16},
        ],
    }

    assert secrets(run(plistlib.dumps(registry), ("ioreg",))) == {
        Kind.ROUTER: {UID, "00d4174024640001", "0010000000000063"},
        Kind.UUID: {UUID},
        Kind.SERIAL: {"C02XK1ABJGH5", "FVFXC2", "16843009"},
        Kind.ADDRESS: {MAC},
        Kind.DATA: {bytes(range(128)).hex()},
    }


def test_ids_in_a_property_list_that_is_damaged_are_found():
    text = plistlib.dumps({"IOPlatformSerialNumber": "C02XK1ABJGH5", "x": [1]})

    assert secrets(run(text[:-20], ("ioreg",))) == {Kind.SERIAL: {"C02XK1ABJGH5"}}


def test_ids_in_lines_of_text_are_found():
    text = (
        '  | |   "IOPlatformSerialNumber" = "C02XK1ABJGH5"\n  Serial Number: 0323456789\nkern.hostname: annas-mac.lan\n'
    )

    assert secrets(run(text, ("ioreg", "-l"))) == {
        Kind.SERIAL: {"C02XK1ABJGH5", "0323456789"},
        Kind.NAME: {"annas-mac"},
    }


def test_ids_in_files_and_names_of_files_are_found():
    entries = [
        Entry("read", ("/sys/bus/usb/devices/1-2/serial",), b"FT0987XY\n"),
        Entry("read", ("/etc/machine-id",), UUID.encode() + b"\n"),
        Entry("read", ("/proc/sys/kernel/hostname",), b"bench7.lab.example\n"),
        Entry("read", ("/sys/bus/thunderbolt/devices/0-1/unique_id",), b"fa8d8780-00f8-68ba-ffff-ffffffffffff\n"),
        Entry("list", ("/dev/serial/by-id",), ["usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"]),
        Entry("list", ("/dev",), ["cu.usbserial-B70285", "null"]),
        Entry("read", ("/home/anna/.config",), error={"family": "os", "errno": 2, "strerror": "x", "filename": None}),
    ]

    assert secrets(*entries) == {
        Kind.ROUTER: {UID},
        Kind.UUID: {UUID},
        Kind.SERIAL: {"FT0987XY", "A50285BI", "B70285"},
        Kind.NAME: {"bench7", "lab.example", "anna"},
    }


def test_the_inventory_says_in_which_order_a_routers_words_stand():
    tree = load("discovery/linux_workstation.txt")
    recorder = RecordingHost(FilesHost(files=tree.files, links=tree.links))
    inventory = discover(recorder)

    found = secrets(*recorder.journal.entries, inventory=inventory)

    assert found[Kind.ROUTER] == {router.uid for router in inventory.routers if len(router.uid) == 16}


def test_names_that_are_known_otherwise_count():
    assert secrets(names=("anna", "root", "0")) == {Kind.NAME: {"anna"}}


@pytest.mark.parametrize("dull", ["None", "0000000", "Default string", "To Be Filled By O.E.M.", "No Asset", "ab"])
def test_what_tells_nothing_is_no_secret(dull):
    assert secrets(run(json.dumps({"serial_number": dull}))) == {}


# Together -----------------------------------------------------------------------------------------------------------


def mac() -> FilesHost:
    """A Mac with secrets in every place."""
    document = json.loads((DATA / "discovery/macos_laptop_profiler.json").read_bytes())
    for kind, items in PROFILER.items():
        if kind != "SPThunderboltDataType":
            document[kind] = document.get(kind, []) + items if kind != "SPPCIDataType" else document.get(kind, [])
    registry = plistlib.loads((DATA / "discovery/macos_laptop_registry.plist").read_bytes())
    registry["IOPlatformSerialNumber"], registry["serial-number"] = "C02XK1ABJGH5", b"C02XK1ABJGH5".ljust(43, b"\0")
    commands = {"system_profiler": answered(json.dumps(document)), "ioreg": answered(plistlib.dumps(registry))}
    host = FilesHost("Darwin", commands=commands)
    host.nvml, host.usb_backend = nvml_library.Library, usb_bus.Bus
    return host


def test_no_secret_of_a_mac_is_left_and_its_inventory_is_the_same_up_to_renaming():
    taken = take(mac(), "local", names=("anna",))
    content = b"\n".join(unpacked(taken.data).values()).lower()
    replayed = discover(CapturedHost(from_bytes(taken.data, "a.zip")))

    uids = {router.uid for router in taken.inventory.routers if router.uid}
    secret = {b"c02xk1abjgh5", b"anna beispiel", b"a4:83:e7", b"a50285bi"} | {uid.encode() for uid in uids}
    secret |= {base64.b64encode(bytes.fromhex(uid)[::-1]).lower() for uid in uids}
    secret |= {b"%d" % (int(uid, 16) - (1 << 64)) for uid in uids}
    assert uids
    assert [form for form in secret - {b"a4:83:e7"} if form in content] == []
    assert len(replayed.routers) == len(taken.inventory.routers)
    assert [len(e.functions) for e in replayed.enclosures] == [len(e.functions) for e in taken.inventory.enclosures]
    assert {g.name for g in replayed.gpus} == {g.name for g in taken.inventory.gpus}


def test_secrets_in_nvml_and_usb_are_found_and_replaced_and_both_still_answer():
    recorder = RecordingHost(mac())
    asked(recorder)
    seen(recorder)
    found = find(recorder.journal.entries, EMPTY)
    made = Redaction(found)
    entries = [made.entry(entry) for entry in recorder.journal.entries]

    assert found.found[Kind.SERIAL] == {nvml_library.SERIAL.decode(), usb_bus.SERIAL}
    assert found.found[Kind.UUID] == {nvml_library.UUID.decode()[4:].replace("-", "")}
    text = repr(entries).encode()
    for secret in (nvml_library.UUID, nvml_library.SERIAL, usb_bus.SERIAL.encode()):
        assert secret not in text
    wide = usb_bus.SERIAL.encode("utf-16-le")
    assert not any(wide in entry.answer for entry in entries if entry.call == "usb.string" and entry.answer)


@pytest.mark.skipif(not os.environ.get("HIL_CAPTURES"), reason="HIL_CAPTURES names no folder")
def test_reports_of_real_macs_are_captured_without_their_ids():
    reports = sorted(Path(os.environ["HIL_CAPTURES"]).glob("*spthunderbolt*.json"))
    for report in reports:
        host = FilesHost("Darwin", commands={"system_profiler": answered(report.read_bytes())})
        taken = take(host, "local")
        content = b"\n".join(unpacked(taken.data).values()).lower()
        uids = {router.uid for router in taken.inventory.routers if router.uid}

        assert uids
        assert [uid for uid in uids if uid.encode() in content] == []
        assert [d.uuid for d in taken.inventory.domains if d.uuid.encode() in content] == []
    assert reports


def test_a_registry_with_many_entries_is_replaced_whole():
    draw = random.Random(5)  # noqa: S311  (test data, the same each time)
    entries = [{"UUID": str(uuid.UUID(int=draw.getrandbits(128))), "blob": draw.randbytes(60)} for _ in range(500)]
    ids = [f"8086{draw.getrandbits(48):012x}" for _ in range(60)]
    entries += [{"UID": int(uid, 16) - (1 << 64), "GUID": bytes.fromhex(uid)[::-1], "name": uid} for uid in ids]
    content = plistlib.dumps(entries)
    made = Redaction(find([run(content, ("ioreg",))], EMPTY))

    replaced = plistlib.loads(made.data(content))

    assert set(made.stand_ins[Kind.ROUTER]) == set(ids)
    for was, now in zip(entries[500:], replaced[500:], strict=True):
        other = made.stand_ins[Kind.ROUTER][was["name"]]
        assert now == {"UID": int(other, 16) - (1 << 64), "GUID": bytes.fromhex(other)[::-1], "name": other}
    assert [entry["blob"] for entry in replaced[:500]] == [entry["blob"] for entry in entries[:500]]
    assert made.leaks(plistlib.dumps(replaced)) == []


def test_an_id_of_hardly_any_bytes_is_replaced_as_text_alone():
    dull = "0" * 31 + "1"
    made = redaction(uuid={dull})

    assert made.text(dashed(dull)) == dashed(made.stand_ins[Kind.UUID][dull])
    assert made.data(bytes.fromhex(dull)) == bytes.fromhex(dull)
    assert made.leaks(bytes.fromhex(dull)) == []


def test_data_that_reaches_across_a_seam_is_replaced_piece_by_piece():
    made = redaction(router={"8086aabbccdd0000"}, serial={"C02XK1ABJGH5"})
    pieces = [bytes.fromhex("8086aabbccdd00"), b"C02XK1ABJGH5", b"last"]

    now = plistlib.loads(made.data(plistlib.dumps(pieces)))

    assert now == [pieces[0], made.stand_ins[Kind.SERIAL]["C02XK1ABJGH5"].encode(), b"last"]
