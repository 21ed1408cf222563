"""The join of GPUs and enclosures on Linux, and the ids and bands that follow from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hil.discovery import discover
from hil.model import LinkKind, PcieLink
from tests.tree_host import TreeHost, load, tree

if TYPE_CHECKING:
    from hil.model.inventory import Inventory

TB = "/sys/bus/thunderbolt/devices"
PCI = "/sys/bus/pci/devices"


@pytest.fixture
def workstation() -> TreeHost:
    return load("discovery/linux_workstation.txt")


@pytest.fixture
def card() -> TreeHost:
    return load("discovery/linux_controller_card.txt")


def router(found: Inventory, name: str):
    return next(r for r in found.routers if r.name == name)


def function(found: Inventory, address: str):
    return next(f for f in found.functions if f.address == address)


def held(found: Inventory) -> dict[str, str | None]:
    return {g.function.address: g.enclosure.name if g.enclosure else None for g in found.gpus}


def test_each_gpu_is_joined_to_the_enclosure_that_holds_it(workstation):
    found = discover(workstation)

    assert held(found) == {
        "0000:05:00.0": "0-1",
        "0000:0e:00.0": "0-301",
        "0000:25:00.0": "0-3",
        "0000:01:00.0": None,
    }


def test_an_enclosure_lists_its_own_functions_and_not_those_chained_behind_it(workstation):
    found = discover(workstation)

    functions = {e.router.name: e.functions for e in found.enclosures}
    front = ("0000:03:00.0", "0000:04:01.0", "0000:04:04.0", "0000:05:00.0", "0000:05:00.1")
    assert functions["0-1"] == front
    assert functions["0-301"] == ("0000:0c:00.0", "0000:0d:01.0", "0000:0e:00.0", "0000:0e:00.1")
    assert functions["1-3"] == ()


def test_device_ids_name_enclosure_card_and_place(workstation):
    found = discover(workstation)

    assert [g.id for g in found.gpus] == [
        "0008f8f4c510ab00/10de-2704-10de-167a/0",
        "174c4b1c481d2880/10de-2684-1458-40bf/0",
        "808724d5e87cb100/10de-2b85-1458-416e/0",
        "slot/10de-2782-1043-88e2/0000:01:00",
    ]


def test_two_like_cards_in_one_enclosure_get_ids_by_address(workstation):
    for name, value in (("vendor", "0x10de"), ("device", "0x2704"), ("class", "0x030000")):
        workstation.put(f"{PCI}/0000:05:00.1/{name}", value)

    found = discover(workstation)

    ids = {g.function.address: g.id.rsplit("/", 1)[1] for g in found.gpus if g.function.device_id == 0x2704}
    assert ids == {"0000:05:00.0": "0", "0000:05:00.1": "1"}


def test_a_slot_has_no_enclosure_and_counts_as_pcie(workstation):
    gpu = next(g for g in discover(workstation).gpus if g.function.address == "0000:01:00.0")

    assert (gpu.enclosure, gpu.link_kind, gpu.function.tunnelled) == (None, LinkKind.PCIE, False)
    assert gpu.function.driver == "nvidia"
    assert gpu.function.parent == "0000:00:01.0"


def test_the_slowest_hop_on_the_way_bounds_a_gpu(workstation):
    kinds = {g.function.address: g.link_kind for g in discover(workstation).gpus}

    assert kinds["0000:0e:00.0"] is LinkKind.THUNDERBOLT3  # a USB4 box behind a Thunderbolt 3 one
    assert kinds["0000:25:00.0"] is LinkKind.THUNDERBOLT5


def test_an_enclosure_of_unknown_kind_gives_its_gpu_no_band(workstation):
    workstation.put(f"{TB}/0-3/generation", "?")

    gpu = next(g for g in discover(workstation).gpus if g.function.address == "0000:25:00.0")

    assert gpu.link_kind is LinkKind.UNKNOWN


def test_a_card_without_device_links_is_joined_by_its_own_switch(card):
    found = discover(card)

    assert found.problems == ()
    assert held(found) == {"0000:0a:00.0": "0-1", "0000:3d:00.0": "0-3"}
    # Firmware marks the whole card external: its own parts are not behind a tunnel all the same.
    assert function(found, "0000:07:00.0").tunnelled is False
    assert function(found, "0000:3a:00.0").tunnelled is False
    assert router(found, "0-0").uid == "d203000000807708235404990534401e"


def test_links_of_older_kernels_have_no_bus_name(workstation):
    workstation.links = {k.replace("consumer:pci:", "consumer:"): v for k, v in workstation.links.items()}

    assert held(discover(workstation))["0000:0e:00.0"] == "0-301"


def test_without_links_several_enclosures_leave_gpus_unjoined_with_the_reason(workstation):
    workstation.drop("/consumer:")

    found = discover(workstation)

    assert set(held(found).values()) == {None}
    assert [p for p in found.problems if "0000:25:00.0" in p and "3 enclosures" in p]
    assert next(g for g in found.gpus if g.function.address == "0000:25:00.0").link_kind is LinkKind.UNKNOWN
    assert next(g for g in found.gpus if g.function.address == "0000:01:00.0").link_kind is LinkKind.PCIE


def test_without_links_the_only_enclosure_takes_what_is_removable_and_nothing_else(workstation):
    workstation.drop("/consumer:|0-3$|0-3/|0-301|0000:07.1|0000:04:04.0|0000:00:07.1")

    assert held(discover(workstation)) == {"0000:05:00.0": "0-1", "0000:01:00.0": None}


def test_where_nothing_tells_slots_from_tunnels_no_gpu_is_given_a_kind(workstation):
    workstation.drop("/consumer:|/removable$")

    found = discover(workstation)

    assert {g.link_kind for g in found.gpus} == {LinkKind.UNKNOWN}
    assert len([p for p in found.problems if p.startswith("GPU ")]) == 4


def test_two_receptacles_and_one_known_port_are_ambiguous(workstation):
    workstation.drop(r"consumer:pci:0000:00:07\.1")

    found = discover(workstation)

    assert held(found)["0000:05:00.0"] is None
    assert any("receptacles [1, 3]" in p for p in found.problems)


def test_a_card_deeper_than_the_chain_is_left_unjoined(workstation):
    workstation.drop("0-1/0-301")
    workstation.drop("/devices/0-301$")
    for name, value in (("generation", "3"), ("authorized", "1"), ("vendor", "0x8")):
        workstation.put(f"{TB}/0-30301/{name}", value)

    found = discover(workstation)

    assert held(found)["0000:0e:00.0"] is None
    assert any("2 switches deep" in p for p in found.problems)


def test_an_enclosure_that_was_not_authorized_holds_nothing(workstation):
    workstation.put(f"{TB}/0-3/authorized", "0")

    found = discover(workstation)

    assert router(found, "0-3").authorized == 0
    assert held(found)["0000:0e:00.0"] == "0-301"
    assert [e.functions for e in found.enclosures if e.router.name == "0-3"] == [()]


def test_a_tunnel_into_a_domain_without_an_enclosure_is_a_problem(workstation):
    for name in ("0-1", "0-3", "0-301"):
        workstation.put(f"{TB}/{name}/authorized", "0")

    found = discover(workstation)

    assert any("no authorized enclosure" in p and "0000:25:00.0" in p for p in found.problems)


def test_a_function_without_its_link_is_kept_and_its_place_left_open():
    host = tree(f"[{PCI}/0000:41:00.0]\nvendor = 0x10de\ndevice = 0x2684\nclass = 0x030000\n")

    found = discover(host)

    assert found.gpus[0].link_kind is LinkKind.UNKNOWN
    assert found.functions[0].tunnelled is None
    assert any("its bridges are not known" in p for p in found.problems)


def test_a_bridge_in_another_domain_is_no_parent():
    host = tree("[pci 0000:00:0e.0/pci10000:e0/10000:e0:06.0]\nvendor = 0x8086\ndevice = 0xa74d\nclass = 0x060400\n")

    found = discover(host)

    assert [(f.address, f.parent) for f in found.functions] == [("10000:e0:06.0", None)]


def test_what_lasts_is_all_but_the_speed_of_pcie_links(workstation):
    found = discover(workstation)

    def at(gts: float) -> Inventory:
        functions = tuple(replace(one, link=PcieLink(gts=gts, width=4)) for one in found.functions)
        cards = tuple(
            replace(gpu, function=replace(gpu.function, link=PcieLink(gts=gts, width=4))) for gpu in found.gpus
        )
        return replace(found, functions=functions, gpus=cards)

    assert at(2.5) != at(16.0)
    assert at(2.5).lasting() == at(16.0).lasting()
    assert at(2.5).changes(at(16.0)) == ()


def test_changes_name_what_came_went_and_became_different(workstation):
    before = discover(workstation)
    router, *others = before.routers
    after = replace(before, routers=(replace(router, authorized=0), *others[1:]), gpus=(), problems=("new",))

    changes = before.changes(after)

    assert f"router {router.name}: authorized was {router.authorized}, is 0" in changes
    assert f"router {others[0].name} is gone" in changes
    assert f"gpu {before.gpus[0].id} is gone" in changes
    assert "said now: new" in changes
    assert f"gpu {before.gpus[0].id} came" in after.changes(before)
