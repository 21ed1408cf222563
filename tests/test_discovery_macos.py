"""Discovery on macOS: system_profiler and ioreg, together and alone, whole and broken."""

from __future__ import annotations

import json
import plistlib
from typing import Any

import pytest

from hil.discovery import discover
from hil.discovery.uid import from_endpoint_guid, from_switch_uid
from hil.errors import BenchFault
from hil.model import LaneLink, LinkKind, PcieLink, RouterRole
from tests.tree_host import DATA, TreeHost, answered, load

PROFILER = (DATA / "discovery/macos_laptop_profiler.json").read_bytes()
REGISTRY = (DATA / "discovery/macos_laptop_registry.plist").read_bytes()
BUS = "thunderboltusb4_bus_"


def mac(profiler: Any = PROFILER, registry: Any = REGISTRY) -> TreeHost:
    answers = {"system_profiler": profiler, "ioreg": registry}
    return TreeHost(
        "Darwin",
        commands={name: answered(a) if isinstance(a, (bytes, str)) else a for name, a in answers.items()},
    )


def document() -> dict[str, Any]:
    return json.loads(PROFILER)


def registry_with(change) -> bytes:
    """The registry after `change` was applied to every entry of it."""
    root = plistlib.loads(REGISTRY)
    todo = [root]
    while todo:
        entry = todo.pop()
        change(entry)
        todo += entry.get("IORegistryEntryChildren", [])
    return plistlib.dumps(root)


def held(found) -> dict[str, str | None]:
    return {g.function.address: g.enclosure.name if g.enclosure else None for g in found.gpus}


def test_a_whole_laptop_is_found_without_a_problem():
    found = discover(mac())

    assert found.problems == ()
    assert [d.name for d in found.domains] == [f"{BUS}{n}" for n in (0, 1, 2, 10)]
    assert held(found) == {
        "0000:09:00.0": f"{BUS}0-301",
        "0000:43:00.0": f"{BUS}1-1",
        "0000:04:00.0": f"{BUS}0-1",
    }
    assert [text.split()[0] for text in found.looked_at] == ["system_profiler", "ioreg"]


def test_a_gpu_has_one_id_on_linux_and_on_macos():
    on_mac = {g.id for g in discover(mac()).gpus}
    on_linux = {g.id for g in discover(load("discovery/linux_workstation.txt")).gpus if g.enclosure}

    assert on_mac == on_linux


def test_another_mac_is_a_peer_and_an_empty_bus_only_a_host():
    roles = {r.name: r.role for r in discover(mac()).routers}

    assert roles[f"{BUS}2-peer"] is RouterRole.PEER
    assert roles[f"{BUS}10-0"] is RouterRole.HOST
    assert list(roles.values()).count(RouterRole.ENCLOSURE) == 3


def test_links_come_from_what_is_connected_not_from_what_could_be():
    links = {r.name: r.link for r in discover(mac()).routers}

    assert links[f"{BUS}0-1"] == LaneLink(lane_gbps=40.0, lanes=2)
    assert links[f"{BUS}10-0"].gbps is None
    # 20 Gb/s may be one lane or two: the registry tells which.
    assert links[f"{BUS}1-1"] == LaneLink(lane_gbps=10.0, lanes=2)


def test_a_total_that_splits_two_ways_is_kept_as_a_total():
    links = {r.name: r.link for r in discover(mac(registry=b"")).routers}

    assert links[f"{BUS}1-1"] == LaneLink(lane_gbps=None, lanes=None, total_gbps=20.0)
    assert links[f"{BUS}1-1"].gbps == 20.0
    assert str(links[f"{BUS}1-1"]) == "20 Gb/s"


@pytest.mark.parametrize("speed", ["Up to 80 Gb/s", "0 Gb/s", "", None, 80])
def test_an_idle_or_odd_speed_is_no_link(speed):
    changed = document()
    changed["SPThunderboltDataType"][3]["_items"][0]["receptacle_upstream_ambiguous_tag"]["current_speed_key"] = speed

    links = {r.name: r.link for r in discover(mac(json.dumps(changed))).routers}

    assert links[f"{BUS}0-1"].gbps is None


def test_kinds_follow_the_mode():
    kinds = {r.name: r.kind for r in discover(mac()).routers}

    assert kinds[f"{BUS}0-1"] is LinkKind.THUNDERBOLT5
    assert kinds[f"{BUS}0-301"] is LinkKind.THUNDERBOLT3
    assert kinds[f"{BUS}1-1"] is LinkKind.USB4


def test_registry_facts_of_a_gpu():
    gpu = next(g for g in discover(mac()).gpus if g.function.address == "0000:04:00.0")

    assert gpu.function.class_code == 0x030000
    assert (gpu.function.subsystem_vendor_id, gpu.function.subsystem_device_id) == (0x1458, 0x416E)
    assert gpu.function.link == PcieLink(gts=16.0, width=4)
    assert gpu.function.max_link == PcieLink(gts=32.0, width=16)
    assert gpu.function.driver == "org.tinygrad.tinygpu.driver2"
    assert gpu.function.parent == "0000:03:00.0"
    assert gpu.function.tunnelled is True


def test_no_link_in_the_registry_is_filled_from_the_profiler_even_when_it_says_down():
    gpu = next(g for g in discover(mac()).gpus if g.function.address == "0000:43:00.0")

    assert gpu.function.link == PcieLink(gts=16.0, width=4)
    assert gpu.function.subsystem_vendor_id == 0x1458


def test_built_in_functions_are_not_tunnelled():
    wifi = next(f for f in discover(mac()).functions if f.vendor_id == 0x14E4)

    assert wifi.tunnelled is False
    assert wifi.driver == "com.apple.driver.AppleBCMWLANBusInterfacePCIe"


def test_the_registry_alone_finds_gpus_but_names_no_enclosure():
    found = discover(mac(profiler=answered(b"", status=None)))

    assert [g.enclosure for g in found.gpus] == [None, None, None]
    assert any("system_profiler" in p and "did not end within 20 s" in p for p in found.problems)
    assert len([p for p in found.problems if "its tunnel ends at router" in p]) == 3


def test_the_profiler_alone_finds_gpus_and_joins_them_only_if_there_is_one_enclosure():
    several = discover(mac(registry=answered(b"", status=None)))
    changed = document()
    changed["SPThunderboltDataType"] = changed["SPThunderboltDataType"][2:3]
    one = discover(mac(json.dumps(changed), answered(b"", status=None)))

    assert held(several) == {"0000:04:00.0": None, "0000:43:00.0": None}
    assert any("there are 3 enclosures" in p for p in several.problems)
    assert held(one) == {"0000:04:00.0": f"{BUS}1-1", "0000:43:00.0": f"{BUS}1-1"}


def test_without_a_class_an_unknown_nvidia_function_is_no_gpu_but_a_problem():
    changed = document()
    changed["SPPCIDataType"][0]["sppci_device-id"] = "0x1234"

    found = discover(mac(json.dumps(changed), b""))

    assert held(found) == {"0000:04:00.0": None}
    assert any("10de:1234" in p and "not known" in p for p in found.problems)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answered(b"", status=None), "did not end within 20 s"),
        (answered(b"", status=1, stderr=b"one\nno such thing\n"), "exit status 1: no such thing"),
        (answered(b" \n"), "printed nothing"),
        (FileNotFoundError(2, "No such file or directory"), "could not be run"),
        (BenchFault("was not recorded"), "was not recorded"),
        (answered(b"\xff\xfe"), "printed no"),
        (answered(b"{"), "printed no"),
    ],
)
@pytest.mark.parametrize("command", ["system_profiler", "ioreg"])
def test_a_command_that_fails_is_a_problem_and_the_other_one_counts(command, answer, said):
    found = discover(mac(answer) if command == "system_profiler" else mac(registry=answer))

    assert any(command in p and said in p for p in found.problems)
    assert found.routers if command == "ioreg" else found.functions


def test_output_of_a_failed_command_is_used_as_far_as_it_goes():
    found = discover(mac(profiler=answered(PROFILER, status=3)))

    assert len(found.gpus) == 3
    assert any("exit status 3" in p for p in found.problems)


@pytest.mark.parametrize("text", ["[]", "3", '{"SPThunderboltDataType": 3, "SPPCIDataType": {"a": 1}}', "[" * 100000])
def test_json_of_another_shape_is_no_exception(text):
    assert discover(mac(text, b"")).gpus == ()


def test_a_registry_of_several_roots_and_control_characters_is_read():
    text = plistlib.dumps([plistlib.loads(REGISTRY), "odd"]).replace(
        b"<string>display</string>", b"<string>dis\x01play</string>"
    )

    assert len(discover(mac(registry=text)).gpus) == 3


def test_reg_stands_in_for_a_missing_number_and_nothing_for_both():
    def change(entry: dict[str, Any]) -> None:
        debug = entry.get("pcidebug", "")
        if debug == "4:0:0":
            del entry["pcidebug"]
            entry["reg"] = (4 << 16).to_bytes(4, "little") + bytes(16)
        if debug == "9:0:0":
            del entry["pcidebug"]
        if debug == "67:0:0":
            entry["pcidebug"] = "999:0:0"

    found = discover(mac(document_without_pci(), registry_with(change)))

    assert list(held(found)) == ["0000:04:00.0"]
    assert len([p for p in found.problems if "has no number" in p]) == 2


def document_without_pci() -> str:
    return json.dumps({**document(), "SPPCIDataType": []})


def test_root_complexes_that_count_alike_get_domains_of_their_own():
    def change(entry: dict[str, Any]) -> None:
        if entry.get("pcidebug") == "67:0:0":
            entry["pcidebug"] = "4:0:0"

    found = discover(mac(document_without_pci(), registry_with(change)))

    assert held(found) == {
        "0001:04:00.0": f"{BUS}0-1",
        "0001:09:00.0": f"{BUS}0-301",
        "0002:04:00.0": f"{BUS}1-1",
    }


@pytest.mark.parametrize("key", ["IOPCITunnelled", "Tunnel Endpoint GUID"])
def test_either_mark_of_a_tunnel_suffices(key):
    found = discover(mac(registry=registry_with(lambda entry: entry.pop(key, None))))

    assert {g.function.tunnelled for g in found.gpus} == {True}
    assert len([e for e in held(found).values() if e]) == (3 if key == "IOPCITunnelled" else 0)


def test_a_slot_inside_the_mac_counts_as_pcie():
    def change(entry: dict[str, Any]) -> None:
        entry.pop("IOPCITunnelled", None)
        entry.pop("Tunnel Endpoint GUID", None)

    found = discover(mac(document_without_pci(), registry_with(change)))

    assert {(g.link_kind, g.enclosure) for g in found.gpus} == {(LinkKind.PCIE, None)}
    assert found.gpus[0].id == "slot/10de-2684-xxxx-xxxx/0000:43:00"


def test_items_that_cannot_be_placed_are_told():
    changed = document()
    changed["SPPCIDataType"] += [
        {"_name": "pci144d,a808", "sppci_vendor-id": "0x144d", "sppci_device-id": "0xa808"},
        {"_name": "something else"},
        {
            "_name": "pci14e4,4434",
            "sppci_vendor-id": "0x14e4",
            "sppci_device-id": "0x4434",
            "sppci_slot_name": "",
        },
    ]
    changed["SPThunderboltDataType"].append({"_items": []})
    changed["SPThunderboltDataType"][2]["_items"][0]["switch_uid_key"] = "?"

    found = discover(mac(json.dumps(changed)))

    assert any("'pci144d,a808' cannot be placed" in p for p in found.problems)
    assert any("'something else' tells no vendor" in p for p in found.problems)
    assert any("bus has no name" in p for p in found.problems)
    assert any("'UT3G'" in p and "switch_uid_key" in p for p in found.problems)
    assert not any("14e4" in p for p in found.problems)


def test_routers_of_one_route_keep_apart():
    changed = document()
    changed["SPThunderboltDataType"][2]["_items"] *= 2

    names = [r.name for r in discover(mac(json.dumps(changed))).routers]

    assert {f"{BUS}1-1", f"{BUS}1-1#2"} <= set(names)


def test_an_endpoint_that_two_enclosures_claim_joins_to_neither():
    changed = document()
    changed["SPThunderboltDataType"][2]["_items"] *= 2

    found = discover(mac(json.dumps(changed)))

    assert held(found)["0000:43:00.0"] is None
    assert any("which 2 enclosures" in p for p in found.problems)


@pytest.mark.parametrize(
    ("value", "uid"),
    [
        (bytes.fromhex("00f868bafa8d8780"), "80878dfaba68f800"),
        (bytes.fromhex("80878dfaba68f800"), "80878dfaba68f800"),
        (0x80878DFABA68F800, "80878dfaba68f800"),
        (0x80878DFABA68F800 - (1 << 64), "80878dfaba68f800"),
        (0x00F868BAFA8D8780, "80878dfaba68f800"),
        ("0x80878DFABA68F800", "80878dfaba68f800"),
        (b"short", ""),
        (None, ""),
    ],
)
def test_an_endpoint_may_be_data_or_a_number_either_way_round(value, uid):
    assert from_endpoint_guid(value, {"80878dfaba68f800"}) == uid


@pytest.mark.parametrize(("value", "uid"), [("0x5AC", "00000000000005ac"), (True, ""), ("0xZZ", ""), (-1, "f" * 16)])
def test_a_switch_uid_has_sixteen_digits(value, uid):
    assert from_switch_uid(value) == uid
