"""Discovery on Linux: what sysfs says, and its traps."""

from __future__ import annotations

import errno

import pytest

from hil.discovery import discover
from hil.discovery.uid import from_unique_id
from hil.model import LaneLink, LinkKind, PcieLink, RouterRole, from_dict, to_dict
from hil.model.inventory import Inventory
from tests.tree_host import TreeHost, load

TB = "/sys/bus/thunderbolt/devices"
PCI = "/sys/bus/pci/devices"
NO_LINK = PcieLink(gts=None, width=None)


@pytest.fixture
def workstation() -> TreeHost:
    return load("discovery/linux_workstation.txt")


def router(found: Inventory, name: str):
    return next(r for r in found.routers if r.name == name)


def function(found: Inventory, address: str):
    return next(f for f in found.functions if f.address == address)


def test_a_whole_workstation_is_found_without_a_problem(workstation):
    found = discover(workstation)

    assert found.problems == ()
    assert [r.name for r in found.routers] == ["0-0", "0-1", "0-3", "0-301", "1-0", "1-1", "1-3"]
    assert [d.name for d in found.domains] == ["domain0", "domain1"]
    assert [r.name for r in found.retimers] == ["0-0:1.1"]
    assert found.retimers[0].firmware == "26.85"
    assert found.looked_at == (TB, PCI)


def test_other_makers_displays_and_audio_are_functions_but_no_gpus(workstation):
    found = discover(workstation)

    assert {"0000:00:02.0", "0000:05:00.1"} <= {f.address for f in found.functions}
    assert {g.function.vendor_id for g in found.gpus} == {0x10DE}
    assert len(found.gpus) == 4


@pytest.mark.parametrize(("class_code", "count"), [("0x030200", 4), ("0x038000", 3), ("0x040300", 3)])
def test_a_gpu_is_a_vga_or_3d_controller(workstation, class_code, count):
    workstation.put(f"{PCI}/0000:05:00.0/class", class_code)

    assert len(discover(workstation).gpus) == count


@pytest.mark.parametrize(("device", "name"), [("0x2704", "NVIDIA GeForce RTX 4080"), ("0x1234", "NVIDIA 10de:1234")])
def test_a_gpu_is_called_by_its_name_or_its_numbers(workstation, device, name):
    workstation.put(f"{PCI}/0000:05:00.0/device", device)

    assert name in [g.name for g in discover(workstation).gpus]


def test_speed_is_per_lane(workstation):
    found = discover(workstation)

    assert router(found, "0-1").link == LaneLink(lane_gbps=20.0, lanes=2)
    assert router(found, "0-1").link.gbps == 40.0
    assert router(found, "0-0").link.gbps is None


def test_roles_come_from_route_and_device_type(workstation):
    roles = {r.name: r.role for r in discover(workstation).routers}

    assert roles["0-0"] is RouterRole.HOST
    assert roles["0-301"] is RouterRole.ENCLOSURE
    assert roles["1-1"] is RouterRole.PEER


def test_without_uevent_a_peer_is_what_cannot_be_authorized(workstation):
    workstation.drop("/uevent$")

    roles = {r.name: r.role for r in discover(workstation).routers}

    assert (roles["1-1"], roles["1-3"]) == (RouterRole.PEER, RouterRole.ENCLOSURE)


def test_a_daisy_chain_keeps_its_order(workstation):
    parents = {r.name: r.parent for r in discover(workstation).routers}

    assert (parents["0-301"], parents["0-1"], parents["0-0"]) == ("0-1", "0-0", None)


@pytest.mark.parametrize(
    ("generation", "uevent", "speed", "kind"),
    [
        ("3", "DEVTYPE=thunderbolt_device", "20.0 Gb/s", LinkKind.THUNDERBOLT3),
        ("4", "DEVTYPE=thunderbolt_device\nUSB4_VERSION=1.0", "20.0 Gb/s", LinkKind.USB4),
        ("4", "DEVTYPE=thunderbolt_device\nUSB4_VERSION=2.0", "20.0 Gb/s", LinkKind.THUNDERBOLT5),
        ("4", "", "20.0 Gb/s", LinkKind.USB4),
        ("4", "", "40.0 Gb/s", LinkKind.THUNDERBOLT5),
        ("2", "", "10.0 Gb/s", LinkKind.UNKNOWN),
        ("", "", "20.0 Gb/s", LinkKind.UNKNOWN),
    ],
)
def test_kind_of_an_enclosure(workstation, generation, uevent, speed, kind):
    workstation.put(f"{TB}/0-3/generation", generation)
    workstation.put(f"{TB}/0-3/uevent", uevent)
    workstation.put(f"{TB}/0-3/rx_speed", speed)

    assert router(discover(workstation), "0-3").kind is kind


@pytest.mark.parametrize("speed", ["Unknown", "", "0.0 Gb/s", "fast"])
def test_a_speed_that_is_none_is_not_known(workstation, speed):
    workstation.put(f"{TB}/0-1/rx_speed", speed)
    workstation.put(f"{TB}/0-1/tx_speed", speed)

    assert router(discover(workstation), "0-1").link == LaneLink(lane_gbps=None, lanes=2)


@pytest.mark.parametrize(("received", "sent", "lanes"), [("2", "1", 1), ("1", "2", 1), ("1", "3", 1), ("3", "1", 3)])
def test_a_link_is_as_wide_as_its_narrower_way_but_for_an_asymmetric_one(workstation, received, sent, lanes):
    workstation.put(f"{TB}/0-1/rx_lanes", received)
    workstation.put(f"{TB}/0-1/tx_lanes", sent)

    assert router(discover(workstation), "0-1").link == LaneLink(lane_gbps=20.0, lanes=lanes)


def test_the_sending_side_stands_in_where_receiving_is_not_told(workstation):
    workstation.drop("0-1/rx_")
    workstation.put(f"{TB}/0-1/tx_lanes", "1")

    assert router(discover(workstation), "0-1").link == LaneLink(lane_gbps=20.0, lanes=1)


@pytest.mark.parametrize(
    ("attribute", "value", "link"),
    [
        ("current_link_speed", "Unknown", PcieLink(gts=None, width=4)),
        ("current_link_width", "0", PcieLink(gts=16.0, width=None)),
        ("current_link_width", "255", PcieLink(gts=16.0, width=None)),
        ("current_link_speed", "16.0 GT/s", PcieLink(gts=16.0, width=4)),
    ],
)
def test_pcie_links_that_are_none(workstation, attribute, value, link):
    workstation.put(f"{PCI}/0000:25:00.0/{attribute}", value)

    assert function(discover(workstation), "0000:25:00.0").link == link


def test_missing_optional_files_are_missing_facts_and_no_problems(workstation):
    workstation.drop(r"/(current_link_\w+|max_link_\w+|subsystem_\w+|driver|security|nvm_version|device_name)$")

    found = discover(workstation)

    assert found.problems == ()
    assert function(found, "0000:25:00.0").link == NO_LINK
    assert function(found, "0000:25:00.0").driver == ""
    assert "808724d5e87cb100/10de-2b85-xxxx-xxxx/0" in [g.id for g in found.gpus]


def test_order_does_not_depend_on_enumeration(workstation):
    expected = discover(workstation)

    workstation.reverse = True

    assert discover(workstation) == expected


def test_an_inventory_survives_the_trip_between_processes(workstation):
    found = discover(workstation)

    assert from_dict(Inventory, to_dict(found)) == found


def test_what_cannot_be_read_is_a_problem_and_the_rest_is_found(workstation):
    workstation.put(f"{PCI}/0000:05:00.0/class", PermissionError(errno.EACCES, "Permission denied"))
    workstation.put(f"{TB}/0-3/unique_id", OSError(errno.EIO, "Input/output error"))
    workstation.put(f"{TB}/0-1/nvm_version", OSError(errno.ENODEV, "No such device"))

    found = discover(workstation)

    assert any("0000:05:00.0/class could not be read: Permission denied" in p for p in found.problems)
    assert any("0-3/unique_id could not be read: Input/output error" in p for p in found.problems)
    assert not any("nvm_version" in p for p in found.problems)
    # An enclosure without an id lends its place to the device id.
    assert "0-3/10de-2b85-1458-416e/0" in [g.id for g in found.gpus]


def test_devices_that_leave_while_being_read_are_told(workstation):
    workstation.drop(r"0000:25:00\.0/")
    workstation.files[workstation._real(f"{TB}/0-1/uevent")] = b""
    workstation.drop(r"/0-1/(?!uevent|0-301)")

    found = discover(workstation)

    assert any(p.startswith("PCI function 0000:25:00.0 is listed but") for p in found.problems)
    assert any(p.startswith("Thunderbolt device 0-1 is listed but") for p in found.problems)


def test_a_machine_without_either_bus_is_empty_and_no_problem():
    found = discover(TreeHost())

    assert (found.routers, found.functions, found.gpus, found.problems) == ((), (), (), ())


def test_names_that_mean_nothing_are_passed_over(workstation):
    expected = discover(workstation)
    for name in ("1-1.7", "nvm_active0", "0-zz", "domain", "0-0:x"):
        workstation.files[f"{TB}/{name}/vendor"] = b"0x1\n"
    workstation.files[f"{PCI}/0000:05:00.9/vendor"] = b"0x10de\n"

    assert discover(workstation) == expected


@pytest.mark.parametrize(
    ("text", "generation", "uid"),
    [
        ("c4148780-00a9-7ce8-ffff-ffffffffffff", 4, "808714c4e87ca900"),
        ("00ed190d-2ada-8680-ffff-ffffffffffff", 3, "8086da2a0d19ed00"),
        ("00cca024-31a9-8780-ffff-ffffffffffff", 4, "8087a93124a0cc00"),
        ("c4010000-0082-8c1e-03f2-989224843903", 3, "c401000000828c1e03f2989224843903"),
        ("00ed190d-2ada-8680-ffff-ffffffffffff", None, "8086da2a0d19ed00"),
        ("nonsense", 4, ""),
    ],
)
def test_a_routers_id_is_freed_from_the_kernels_byte_order(text, generation, uid):
    assert from_unique_id(text, generation) == uid
