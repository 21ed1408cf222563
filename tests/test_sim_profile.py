"""A simulated machine's profile: what is wrong in it is said all at once, by file, key and value."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from hil.errors import UsageError
from hil.hosts.bench_sections import ActuatorEntry, Allow
from hil.hosts.selection import BenchKind, Selection, parse
from hil.model import GB, MIB, LinkKind
from hil.sim import profile
from hil.sim.machine import Machine

GOOD = """
summary = "mine"

[host]
system = "Linux"
model = "Bench"
os_version = "6.12.0"
ports = 2

[[enclosure]]
name = "Left"
vendor = "Maker"
vendor_id = 0x41
device_id = 2
uid = "00000000000000aa"
kind = "usb4"
lane_gbps = 20.0
lanes = 2

[[gpu]]
name = "Card"
device_id = 0x2684
uuid = "GPU-00000000-0000-0000-0000-000000000000"
enclosure = "Left"
vram_mib = 1024
h2d_gb_s = 2.5
d2h_gb_s = 3

[allow]
reset = true

[[actuator]]
kind = "simulated"
enclosure = "Left"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    return path


def complaint(path: Path) -> str:
    with pytest.raises(UsageError) as refused:
        profile.load(str(path))
    assert str(path) in str(refused.value)
    return str(refused.value)


def test_a_profile_of_ones_own_is_read_by_its_path(file):
    mine = profile.load(str(file))

    assert (mine.summary, mine.host.ports, mine.enclosure[0].link_kind) == ("mine", 2, LinkKind.USB4)
    card = mine.gpu[0]
    assert (card.vram_bytes, card.h2d, card.d2h) == (1024 * MIB, 2.5 * GB, 3 * GB)
    assert mine.allow == Allow(reset=True)
    assert mine.actuator == (ActuatorEntry(kind="simulated", enclosure="Left"),)
    assert Machine(mine).gpus[0].reachable


@pytest.mark.parametrize("name", profile.shipped())
def test_every_shipped_profile_is_in_order_and_its_cards_are_there(name):
    known = profile.load(name)
    machine = Machine(known)

    assert known.summary
    allowed = [gpu for gpu in machine.gpus if gpu.enclosure is None or gpu.enclosure.authorized]
    assert all(gpu.reachable for gpu in allowed)


def test_a_name_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="no profile 'lab-9'") as refused:
        profile.load("lab-9")

    for name in profile.shipped():
        assert name in str(refused.value)
    assert ".toml" in str(refused.value)


def test_a_file_that_is_not_there_or_is_no_file_is_refused(tmp_path):
    assert "No such file" in complaint(tmp_path / "nothing.toml")
    (tmp_path / "folder.toml").mkdir()
    assert "directory" in complaint(tmp_path / "folder.toml")


def test_a_file_that_is_not_text_or_not_toml_is_refused(file):
    file.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in complaint(file)

    file.write_text('summary = "mine"\n[host\n')
    assert "line 2" in complaint(file)


def test_all_that_is_wrong_is_said_at_once_with_key_and_value(file):
    file.write_text(
        GOOD.replace('"Linux"', '"Plan 9"')
        .replace("ports = 2", "ports = 9\ncolour = 'red'")
        .replace("vendor_id = 0x41", "vendor_id = 70000")
        .replace('uid = "00000000000000aa"', 'uid = "aa"')
        .replace("lanes = 2", "")
        .replace("vram_mib = 1024", 'vram_mib = "much"')
        .replace("h2d_gb_s = 2.5", "h2d_gb_s = 0")
        .replace("d2h_gb_s = 3", "d2h_gb_s = nan")
        .replace("reset = true", "reset = 1")
    )

    text = complaint(file)

    for key, value in {
        "host.system": "Plan 9",
        "host.ports": "9",
        "host.colour": "",
        "enclosure.0.vendor_id": "70000",
        "enclosure.0.uid": "aa",
        "enclosure.0.lanes": "",
        "gpu.0.vram_mib": "much",
        "gpu.0.h2d_gb_s": "0",
        "gpu.0.d2h_gb_s": "nan",
        "allow.reset": "1",
    }.items():
        (line,) = (line for line in text.splitlines() if key in line)
        assert value in line


def data() -> dict[str, Any]:
    """Three enclosures in a chain, one beside it, and a card in each."""
    box = {"vendor": "M", "vendor_id": 1, "device_id": 1, "kind": "usb4", "lane_gbps": 20.0, "lanes": 2}
    card = {"name": "Card", "device_id": 1, "vram_mib": 1024, "h2d_gb_s": 1.0, "d2h_gb_s": 1.0}
    return {
        "summary": "chain",
        "host": {"system": "Linux", "model": "Bench", "os_version": "6", "ports": 3},
        "enclosure": [
            {"name": name, "uid": f"{n:016x}", "behind": behind, "port": port, **box}
            for n, (name, behind, port) in enumerate([("A", "", 0), ("B", "A", 0), ("C", "B", 0), ("D", "", 1)])
        ],
        "gpu": [{"uuid": f"GPU-{n:036x}", "enclosure": name, **card} for n, name in enumerate("ABCD")],
    }


def test_a_long_chain_is_built_with_an_address_for_everything():
    machine = Machine(profile.validate(data(), "chain"))

    assert all(gpu.reachable for gpu in machine.gpus)
    addresses = [gpu.function.address for gpu in machine.gpus]
    assert addresses == sorted(set(addresses), key=addresses.index)
    for function in machine.functions.values():
        assert function.parent is None or function.parent in machine.functions


def test_three_cards_of_an_enclosure_have_a_port_each():
    wanted = data()
    for gpu in wanted["gpu"][:2]:
        gpu["enclosure"] = "D"
    machine = Machine(profile.validate(wanted, "three cards"))

    found = [gpu.function for gpu in machine.gpus if gpu.enclosure.spec.name == "D"]

    assert len({function.parent for function in found}) == len(found)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["enclosure"][3].update(name="A"), ["name", "'A'"]),
        (lambda d: d["enclosure"][3].update(uid="0" * 16), ["uid", "0000000000000000"]),
        (lambda d: d["gpu"][3].update(uuid=d["gpu"][0]["uuid"]), ["uuid", "GPU-"]),
        (lambda d: d["enclosure"][0].update(behind="B"), ["enclosure.0.behind", "'B' is no enclosure listed before"]),
        (lambda d: d["enclosure"][3].update(port=3), ["enclosure.3.port", "3", "the host has 3"]),
        (lambda d: d["enclosure"][3].update(port=0), ["enclosure.3.port", "'A' hangs on port 0", "behind = 'A'"]),
        (lambda d: d["enclosure"][2].update(port=2), ["enclosure.2.port", "2", "hangs on port 0"]),
        (lambda d: d["enclosure"][2].update(behind="A"), ["enclosure.2.behind", "'B' hangs behind 'A' already"]),
        (lambda d: d["enclosure"][3].update(behind="C", port=0), ["enclosure.3.behind", "more than 3"]),
        (lambda d: d["gpu"][0].update(enclosure="E"), ["gpu.0.enclosure", "'E'", "known: A, B, C, D"]),
        (
            lambda d: [gpu.update(enclosure="D") for gpu in d["gpu"]],
            ["gpu.3.enclosure", "'D' holds 3 cards already"],
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_refused(change, words):
    wrong = copy.deepcopy(data())
    change(wrong)

    with pytest.raises(UsageError, match=r"^chain: ") as refused:
        profile.validate(wrong, "chain")

    for word in words:
        assert word in str(refused.value)


# Which bench


@pytest.mark.parametrize(
    ("text", "selection"),
    [
        ("auto", Selection(BenchKind.AUTO)),
        (" local ", Selection(BenchKind.LOCAL)),
        ("opencl", Selection(BenchKind.OPENCL)),
        ("sim", Selection(BenchKind.SIM)),
        ("sim:mac-pro-slot", Selection(BenchKind.SIM, profile="mac-pro-slot")),
        ("sim:/lab/mine.toml", Selection(BenchKind.SIM, profile="/lab/mine.toml")),
        ("sim:/tmp/hil-1/m", Selection(BenchKind.SIM, address="/tmp/hil-1/m")),
        (" lab/mine.toml", Selection(BenchKind.FILE, address="lab/mine.toml")),
        ("captured:mac.json", Selection(BenchKind.CAPTURED, address="mac.json")),
    ],
)
def test_a_bench_is_named_in_one_notation(text, selection):
    assert parse(text) == selection
    assert parse(str(selection)) == selection


@pytest.mark.parametrize("text", ["", "sim:", "local:here", "captured", "captured:", "lab", "auto:", "SIM"])
def test_what_names_no_bench_is_refused_with_what_does(text):
    with pytest.raises(UsageError, match="expected auto, local, opencl, sim") as refused:
        parse(text)
    assert repr(text) in str(refused.value)
