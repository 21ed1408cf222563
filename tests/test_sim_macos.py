"""The simulated Mac's commands: formats of system_profiler and ioreg, plug and unplug, usage errors, discovery."""

from __future__ import annotations

import json
import plistlib
from collections.abc import Iterator
from typing import Any

import pytest
from machine_host import MachineHost

from hil.discovery import discover
from hil.model import LinkKind
from hil.sim import profile
from hil.sim.machine import Machine
from hil.sim.profile import Profile

UID = "00d4174024640001"


@pytest.fixture
def machine() -> Machine:
    return Machine(profile.load("macbook-pro-usb4"))


def with_two(*, behind: bool = False, kind: str = "usb4", lane: float = 20.0, **host: object) -> Profile:
    """A second enclosure without a card, on the next port or behind the first; both of `kind`."""
    known = profile.load("macbook-pro-usb4")
    first = known.enclosure[0].model_copy(update={"kind": kind, "lane_gbps": lane})
    second = first.model_copy(
        update={"name": "Second", "uid": "80878dfaba68f800", "port": 0 if behind else 1, "behind": first.name}
        if behind
        else {"name": "Second", "uid": "80878dfaba68f800", "port": 1}
    )
    return known.model_copy(update={"enclosure": (first, second), "host": known.host.model_copy(update=host)})


def run(machine: Machine, *argv: str) -> tuple[str, str, int | None]:
    found = machine.face.run(argv)
    assert found is not None
    completed, seconds = found
    assert 0 < seconds < 1
    return completed.stdout.decode(), completed.stderr.decode(), completed.returncode


def profiler(machine: Machine, data_type: str) -> list[dict[str, Any]]:
    return json.loads(run(machine, "system_profiler", "-json", data_type)[0])[data_type]


def walk(entry: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield entry
    for child in entry.get("IORegistryEntryChildren", []):
        yield from walk(child)


def registry(machine: Machine, *flags: str) -> Any:
    return plistlib.loads(run(machine, "ioreg", "-a", "-l", *flags)[0].encode())


def pci(machine: Machine, debug: str) -> dict[str, Any]:
    return next(e for e in walk(registry(machine)) if e.get("pcidebug", "").split("(")[0] == debug)


# system_profiler ------------------------------------------------------------------------------------------------------


def test_buses_come_in_descending_order_and_an_idle_one_tells_what_it_could(machine):
    buses = profiler(machine, "SPThunderboltDataType")

    assert [bus["_name"] for bus in buses] == [f"thunderboltusb4_bus_{n}" for n in (2, 1, 0)]
    assert [bus["receptacle_1_tag"]["receptacle_id_key"] for bus in buses] == ["3", "2", "1"]
    assert buses[0]["receptacle_1_tag"] == {
        "current_speed_key": "Up to 40 Gb/s",
        "link_status_key": "0x100",
        "receptacle_id_key": "3",
        "receptacle_status_key": "receptacle_no_devices_connected",
    }
    assert "_items" not in buses[0]


def test_an_enclosure_is_an_item_of_its_bus(machine):
    bus = profiler(machine, "SPThunderboltDataType")[2]

    assert bus["receptacle_1_tag"]["current_speed_key"] == "40 Gb/s"
    assert bus["receptacle_1_tag"]["link_status_key"] == "0x2"
    (item,) = bus["_items"]
    assert item["switch_uid_key"] == "0x00D4174024640001"
    assert item["mode_key"] == "usb_four"
    assert (item["vendor_id_key"], item["device_id_key"], item["route_string_key"]) == ("0x0174", "0x2464", "1")
    assert item["receptacle_upstream_ambiguous_tag"]["receptacle_status_key"] == "receptacle_connected"


@pytest.mark.parametrize(
    ("kind", "lane", "port_kind", "mode", "idle", "linked"),
    [
        ("thunderbolt3", 20.0, "usb4", "thunderbolt_three", "Up to 40 Gb/s", "40 Gb/s"),
        ("thunderbolt5", 40.0, "thunderbolt5", "usb_four_v2", "Up to 120 Gb/s", "80 Gb/s"),
        ("usb4", 10.0, "thunderbolt5", "usb_four", "Up to 120 Gb/s", "20 Gb/s"),
    ],
)
def test_speeds_and_modes_of_other_kinds(kind, lane, port_kind, mode, idle, linked):
    machine = Machine(with_two(kind=kind, lane=lane, port_kind=port_kind))

    empty, _, bus = profiler(machine, "SPThunderboltDataType")

    assert empty["receptacle_1_tag"]["current_speed_key"] == idle
    assert bus["_items"][0]["mode_key"] == mode
    assert bus["_items"][0]["receptacle_upstream_ambiguous_tag"]["current_speed_key"] == linked


def test_a_daisy_chain_nests():
    machine = Machine(with_two(behind=True))

    bus = profiler(machine, "SPThunderboltDataType")[2]

    (second,) = bus["_items"][0]["_items"]
    assert (second["_name"], second["route_string_key"]) == ("Second", "301")
    assert bus["_items"][0]["receptacle_3_tag"]["receptacle_status_key"] == "receptacle_connected"


def test_intel_macs_name_their_buses_otherwise():
    machine = Machine(with_two(arch="x86_64"))
    assert profiler(machine, "SPThunderboltDataType")[0]["_name"] == "thunderbolt_bus_2"


def test_a_tunnelled_card_tells_its_slot_in_decimal(machine):
    card, audio = profiler(machine, "SPPCIDataType")

    assert card["_name"] == "pci10de,2704"
    assert card["sppci_slot_name"] == "Thunderbolt@4,0,0"
    assert (card["sppci_link-speed"], card["sppci_link-width"]) == ("16.0 GT/s", "x4")
    assert (card["sppci_link-status"], card["sppci_tunnel-compatible"]) == ("Link up", "Yes")
    assert (card["sppci_vendor-id"], card["sppci_subsystem-id"]) == ("0x10de", "0x889a")
    assert audio["sppci_slot_name"] == "Thunderbolt@4,0,1"


def test_a_card_that_does_not_answer_has_its_link_down(machine):
    machine.gpus[0].function.ready = False
    card = profiler(machine, "SPPCIDataType")[0]
    assert card["sppci_link-status"] == "Link down"
    assert "sppci_link-speed" not in card


def test_a_card_in_a_slot_is_not_tunnelled():
    known = profile.load("macbook-pro-usb4")
    machine = Machine(known.model_copy(update={"gpu": (known.gpu[0].model_copy(update={"enclosure": ""}),)}))
    card = profiler(machine, "SPPCIDataType")[0]
    assert (card["sppci_slot_name"], card["sppci_tunnel-compatible"]) == ("Slot-1@1,0,0", "No")
    assert discover(MachineHost(machine)).gpus[0].link_kind is LinkKind.PCIE


def test_hardware_software_and_usb(machine):
    (hardware,) = profiler(machine, "SPHardwareDataType")
    (software,) = profiler(machine, "SPSoftwareDataType")
    usb = profiler(machine, "SPUSBHostDataType")

    assert (hardware["machine_model"], hardware["chip_type"]) == ("Mac15,9", "Apple M3 Max")
    assert software["os_version"] == "macOS 26.1 (25B78)"
    assert software["kernel_version"] == "Darwin 25.1.0"
    assert [bus["USBKeyLocationID"] for bus in usb] == ["0x02000000", "0x01000000", "0x00000000"]


@pytest.mark.parametrize(("release", "kernel"), [("26", "25.0.0"), ("15.2.1", "24.2.0"), ("13.6", "22.6.0")])
def test_the_kernels_release_follows_from_the_systems(release, kernel):
    machine = Machine(with_two(os_version=release))
    assert run(machine, "sysctl", "-n", "kern.osrelease")[0] == f"{kernel}\n"


def test_json_is_laid_out_as_foundation_does(machine):
    text, _, code = run(machine, "/usr/sbin/system_profiler", "-json", "SPUSBDataType")
    assert (text, code) == ('{\n  "SPUSBDataType" : [\n\n  ]\n}\n', 0)


def test_unknown_types_are_passed_over_and_unknown_flags_refused(machine):
    assert json.loads(run(machine, "system_profiler", "-json", "SPNoSuchDataType")[0]) == {}
    text, error, code = run(machine, "system_profiler", "-nonsense")
    assert (text, code) == ("", 1)
    assert error.startswith("Usage: system_profiler")


def test_all_types_come_where_none_is_named(machine):
    everything = json.loads(run(machine, "system_profiler", "-json", "-detailLevel", "full", "-timeout", "5")[0])
    listed = run(machine, "system_profiler", "-listDataTypes")[0].splitlines()[1:]
    assert sorted(everything) == sorted(listed)


def test_the_property_list_holds_the_same_items(machine):
    text = run(machine, "system_profiler", "-xml", "SPThunderboltDataType")[0]
    (part,) = plistlib.loads(text.encode())
    assert part["_dataType"] == "SPThunderboltDataType"
    assert part["_items"] == profiler(machine, "SPThunderboltDataType")


def test_the_plain_text_is_for_people(machine):
    text = run(machine, "system_profiler", "SPThunderboltDataType", "SPUSBDataType")[0]
    assert "    thunderboltusb4_bus_0:\n" in text
    assert "          Switch Uid: 0x00D4174024640001\n" in text
    assert "          Link Status: 0x100\n" in text


# ioreg ----------------------------------------------------------------------------------------------------------------


def test_the_registry_nests_the_card_below_its_tunnel(machine):
    root = pci(machine, "0:0:0")
    card = pci(machine, "4:0:0")

    assert root["Tunnel Endpoint GUID"] == bytes.fromhex(UID)[::-1]
    assert "IOPCITunnelled" not in root
    assert any(entry.get("pcidebug") == "4:0:0" for entry in walk(root))
    assert (card["vendor-id"], card["device-id"]) == (bytes.fromhex("de100000"), bytes.fromhex("04270000"))
    assert card["class-code"] == bytes.fromhex("00000300")
    assert card["IOPCITunnelled"] is True
    assert card["IOPCIExpressLinkStatus"] & 0xFFF == 0x044
    assert card["IORegistryEntryChildren"][0]["IOUserServerName"] == "org.tinygrad.tinygpu.driver2"


def test_an_empty_ports_bridge_is_there_and_names_no_router(machine):
    idle = pci(machine, "32:0:0")
    assert "Tunnel Endpoint GUID" not in idle
    assert idle["IORegistryEntryChildren"][0].get("IORegistryEntryChildren") == []


def test_a_port_tells_speed_and_width_of_a_lane(machine):
    ports = registry(machine, "-r", "-c", "IOThunderboltPort")
    assert [(p["Socket ID"], p["Current Link Speed"], p["Current Link Width"]) for p in ports] == [
        ("1", 4, 2),
        ("2", 0, 0),
        ("3", 0, 0),
    ]


def test_entries_have_ids_of_their_own(machine):
    ids = [entry["IORegistryEntryID"] for entry in walk(registry(machine))]
    assert len(ids) == len(set(ids))


def test_a_high_id_is_a_signed_number_in_the_registry():
    machine = Machine(with_two())
    uids = {entry["UID"] for entry in walk(registry(machine)) if "UID" in entry}
    assert 0x80878DFABA68F800 - (1 << 64) in uids


def test_subtrees_are_rooted_at_the_topmost_match_only(machine):
    found = registry(machine, "-r", "-c", "IOPCIDevice")
    assert [entry["pcidebug"].split("(")[0] for entry in found] == ["0:0:0", "32:0:0", "64:0:0"]
    assert registry(machine, "-r", "-n", "tinygpu")[0]["IOObjectClass"] == "IOUserService"
    assert registry(machine, "-r")[0]["IORegistryEntryName"] == "Root"


def test_without_l_only_what_matches_tells_its_properties(machine):
    shown = plistlib.loads(run(machine, "ioreg", "-a", "-cIOPCIDevice")[0].encode())
    told = {entry["IOObjectClass"] for entry in walk(shown) if set(entry) & {"vendor-id", "UID", "model"}}
    assert told == {"IOPCIDevice"}


def test_an_archive_of_nothing_is_empty(machine):
    assert run(machine, "ioreg", "-a", "-r", "-c", "IONoSuchThing") == ("", "", 0)


def test_drawn_for_people_the_registry_is_a_tree(machine):
    text = run(machine, "ioreg", "-l", "-w", "0")[0]
    assert text.startswith("+-o Root  <class IORegistryEntry, id 0x")
    assert '"vendor-id" = <de100000>' in text
    assert '"IOPCITunnelled" = Yes' in text
    assert '"Socket ID" = "1"' in text


@pytest.mark.parametrize("wrong", [("-q",), ("words",), ("-",), ("-c",), ("-alZ",)])
def test_ioreg_refuses_what_it_does_not_know(machine, wrong):
    text, error, code = run(machine, "ioreg", *wrong)
    assert (text, code) == ("", 1)
    assert error.startswith("usage: ioreg")


# Other commands -------------------------------------------------------------------------------------------------------


def test_the_driver_extension_is_listed_by_its_state(machine):
    lines = run(machine, "systemextensionsctl", "list")[0].splitlines()
    assert lines[0] == "1 extension(s)"
    assert lines[3].startswith("*\t*\t")
    assert "org.tinygrad.tinygpu.driver2 (1.0.4/1)\tTinyGPU\t[activated enabled]" in lines[3]

    machine.face.extension = "activated waiting for user"
    lines = run(machine, "systemextensionsctl", "list")[0].splitlines()
    assert lines[3].startswith("\t\t")
    assert lines[3].endswith("[activated waiting for user]")


def test_a_mac_without_the_driver_lists_none():
    machine = Machine(with_two(driver_version=""))
    assert run(machine, "systemextensionsctl", "list") == ("0 extension(s)\n", "", 0)
    assert pci(machine, "4:0:0").get("IORegistryEntryChildren") is None
    assert not any("TinyGPU" in line.text for line in machine.lines)


def test_sysctl_tells_names_or_values_and_refuses_the_unknown(machine):
    assert run(machine, "sysctl", "-n", "hw.model") == ("Mac15,9\n", "", 0)
    assert run(machine, "sysctl", "machdep.cpu.brand_string")[0] == "machdep.cpu.brand_string: Apple M3 Max\n"
    assert run(machine, "sysctl", "-n", "kern.bootsessionuuid")[0].strip().lower() == machine.boot_id
    assert run(machine, "sysctl", "-n", "no.such") == ("", "sysctl: unknown oid 'no.such'\n", 1)
    assert run(machine, "sysctl")[2] == run(machine, "sysctl", "-Z", "hw.model")[2] == 1


def test_sw_vers_tells_all_or_one(machine):
    assert run(machine, "sw_vers")[0] == "ProductName:\t\tmacOS\nProductVersion:\t\t26.1\nBuildVersion:\t\t25B78\n"
    assert run(machine, "sw_vers", "-productVersion")[0] == "26.1\n"
    assert run(machine, "sw_vers", "--buildVersion")[0] == "25B78\n"
    assert run(machine, "sw_vers", "--nonsense")[2] == 1


def test_commands_of_other_systems_are_not_there(machine):
    assert machine.face.run(["systemextensionsctl"])[0].returncode == 64
    assert machine.face.run(["lspci"]) is None
    assert machine.face.run([]) is None


# Plug -----------------------------------------------------------------------------------------------------------------


def test_an_unplugged_enclosure_is_in_no_answer_and_comes_back_on_another_port(machine):
    events = []
    machine.listeners.append(lambda event: events.append((event.action, event.subsystem, event.path)))
    machine.detach(machine.enclosures[0])
    machine.clock.sleep("test", 0.1)
    assert profiler(machine, "SPPCIDataType") == []
    assert UID.upper() not in run(machine, "system_profiler", "-json", "SPThunderboltDataType")[0]

    machine.attach(machine.enclosures[0], 2)
    machine.clock.sleep("test", 3.0)

    found = discover(MachineHost(machine))
    assert found.problems == ()
    assert found.gpus[0].enclosure.name == "thunderboltusb4_bus_2-1"
    assert ("remove", "thunderbolt", "thunderboltusb4_bus_0-1") in events
    assert ("add", "thunderbolt", "thunderboltusb4_bus_2-1") in events
    assert ("add", "pci", found.gpus[0].function.address) in events
    assert not any("Xid" in line.text for line in machine.lines)
    assert "TinyGPU: provider pci10de,2704 at 4:0:0 terminated without notice" in [x.text for x in machine.lines]


def test_a_new_boot_has_no_panics_to_tell_of(machine):
    assert machine.tree.list("/Library/Logs/DiagnosticReports") == []


def test_discovery_joins_the_card_to_the_right_one_of_a_chain():
    known = with_two(behind=True)
    card = known.gpu[0].model_copy(update={"enclosure": "Second"})
    machine = Machine(known.model_copy(update={"gpu": (card,)}))

    found = discover(MachineHost(machine))

    assert found.problems == ()
    assert found.gpus[0].enclosure.device_name == "Second"
