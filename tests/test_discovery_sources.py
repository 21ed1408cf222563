"""Discovery as a whole: sources, their merging, mutated input, and captures of real machines."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hil.discovery import Contribution, GpuDetail, discover
from hil.errors import BenchFault
from hil.model import Inventory, PciFunction, RouterRole
from tests.tree_host import DATA, TreeHost, answered, load

CAPTURES = Path(os.environ.get("HIL_CAPTURES", ""))
needs_captures = pytest.mark.skipif(not os.environ.get("HIL_CAPTURES"), reason="HIL_CAPTURES names no folder")
PROFILER = (DATA / "discovery/macos_laptop_profiler.json").read_bytes()
REGISTRY = (DATA / "discovery/macos_laptop_registry.plist").read_bytes()
TREE = (DATA / "discovery/linux_workstation.txt").read_bytes()
GPU = PciFunction(address="0000:05:00.0", vendor_id=0x10DE, device_id=0x2704, class_code=0x030000)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.binary(max_size=9))


def test_a_third_partys_source_is_one_function_and_fills_what_others_left_open():
    def first(_host):
        return Contribution(functions=(GPU,), looked_at=("one",), problems=("odd.",))

    def later(_host):
        detail = GpuDetail(uuid="GPU-0b6d6f8e-27c3-4d55-bb5e-90d4a3cf2e11", name="Card", vram_bytes=1 << 34)
        again = PciFunction(address=GPU.address, vendor_id=1, device_id=1, driver="nvidia", tunnelled=False)
        return Contribution(
            functions=(again,), details={GPU.address: detail}, looked_at=("one", "two"), problems=("odd.",)
        )

    found = discover(TreeHost(), {"b": later, "a": first})

    assert found.gpus[0].id == "GPU-0b6d6f8e-27c3-4d55-bb5e-90d4a3cf2e11"
    assert (found.gpus[0].name, found.gpus[0].vram_bytes) == ("Card", 1 << 34)
    assert (found.functions[0].vendor_id, found.functions[0].driver) == (0x10DE, "nvidia")
    assert (found.looked_at, found.problems) == (("one", "two"), ("odd.",))


def test_a_source_that_fails_costs_only_itself():
    def broken(_host):
        raise ZeroDivisionError("no way")

    found = discover(TreeHost(), {"broken": broken, "good": lambda _host: Contribution(functions=(GPU,))})

    assert len(found.gpus) == 1
    assert found.problems == ("Discovery source 'broken' failed: ZeroDivisionError: no way.",)


def test_a_system_that_no_source_knows_is_a_problem():
    found = discover(TreeHost("Plan 9"))

    assert found.problems == ("No discovery source knows how to look at a Plan 9 host.",)


def test_a_host_that_does_not_answer_is_a_problem():
    class Silent(TreeHost):
        def facts(self):
            raise BenchFault("gateway closed")

    found = discover(Silent())

    assert found.problems == ("The host does not tell what it is: gateway closed.",)


def mutated(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    text = bytearray(data)
    for place, value in changes:
        text[place % len(text)] = value
    return bytes(text[: cut % (len(text) + 1)])


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), max_size=6)
CUT = st.one_of(st.integers(0, 1 << 16), st.just(-1))


@settings(max_examples=25, deadline=None)
@given(profiler=CHANGES, registry=CHANGES, cuts=st.tuples(CUT, CUT))
def test_mutated_command_output_never_raises(profiler, registry, cuts):
    host = TreeHost(
        "Darwin",
        commands={
            "system_profiler": answered(mutated(PROFILER, profiler, cuts[0])),
            "ioreg": answered(mutated(REGISTRY, registry, cuts[1])),
        },
    )

    assert isinstance(discover(host), Inventory)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data())
def test_properties_of_any_type_never_raise(data):
    import json  # noqa: PLC0415
    import plistlib  # noqa: PLC0415

    document, root = json.loads(PROFILER), plistlib.loads(REGISTRY)
    for whole, key in ((document, "_items"), (root, "IORegistryEntryChildren")):
        entries, todo = [], [whole] if key != "_items" else [i for v in whole.values() for i in v]
        while todo:
            entries.append(todo.pop())
            todo += entries[-1].get(key, [])
        for _ in range(3):
            entry = data.draw(st.sampled_from(entries))
            entry[data.draw(st.sampled_from(sorted(entry)))] = data.draw(SCALARS.filter(lambda v: v is not None))
    try:
        answers = {"system_profiler": answered(json.dumps(document)), "ioreg": answered(plistlib.dumps(root))}
    except (TypeError, ValueError, OverflowError):
        return  # bytes have no place in JSON, nor huge numbers or control characters in a property list

    assert isinstance(discover(TreeHost("Darwin", commands=answers)), Inventory)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_sysfs_files_of_any_content_never_raise(data):
    host = load("discovery/linux_workstation.txt")
    for _ in range(8):
        path = data.draw(st.sampled_from(sorted(host.files)))
        host.files[path] = data.draw(
            st.one_of(st.binary(max_size=12), st.builds(OSError, st.integers(1, 40), st.just("x")))
        )
    for _ in range(3):
        link = data.draw(st.sampled_from(sorted(host.links)))
        host.links[link] = data.draw(st.sampled_from([*host.links.values(), "..", "nowhere", link]))

    assert isinstance(discover(host), Inventory)


@needs_captures
@pytest.mark.parametrize("path", sorted(CAPTURES.glob("*.json")), ids=lambda p: p.name)
def test_captures_of_real_macs_are_read(path):
    host = TreeHost("Darwin", commands={"system_profiler": answered(path.read_bytes())})

    found = discover(host)

    assert [p for p in found.problems if not p.startswith("ioreg")] == []
    assert all(r.uid for r in found.routers if r.role is RouterRole.ENCLOSURE)


@needs_captures
def test_captures_of_a_real_linux_machine_are_read():
    host = TreeHost()
    for path in sorted(CAPTURES.glob("*-sysfs_*.txt")):
        name = path.stem.split("sysfs_", 1)[1].replace("_", ":")
        folder = f"/sys/devices/pci0000:00/0000:00:0d.3/{name}"
        host.links[f"/sys/bus/thunderbolt/devices/{name}"] = folder.replace("/sys/", "../../../", 1)
        for line in path.read_text(encoding="utf-8").splitlines():
            if match := re.fullmatch(r"(\w+) += (.*)", line):
                host.files[f"{folder}/{match[1]}"] = match[2].encode() + b"\n"

    found = discover(host)

    assert found.problems == ()
    assert [(r.name, r.role, r.uid) for r in found.routers] == [
        ("1-0", RouterRole.HOST, "8087904178904091"),
        ("1-1", RouterRole.ENCLOSURE, "808714c4e87ca900"),
    ]
    assert [(d.name, d.deauthorization) for d in found.domains] == [("domain1", True)]
    assert found.retimers[0].name == "1-0:1.1"
    assert found.routers[1].link.gbps == 40.0
