"""`hil init`: what it writes is read again unchanged, holds on the same machine, and allows nothing."""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from hil.bench import roster
from hil.bench.file import load
from hil.bench.opening import Wish, open_bench
from hil.bench.template import bench_file, toml
from hil.cli import group, main
from hil.discovery import discover
from hil.hosts.selection import parse
from hil.model import HostFacts, Inventory, gpu_aliases
from hil.sim import profile
from hil.sim.machine import Machine
from tests.machine_host import MachineHost


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HIL_BENCH", raising=False)
    return tmp_path


def hil(*arguments):
    return CliRunner().invoke(group, arguments, catch_exceptions=False)


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize("name", profile.shipped())
def test_what_is_written_for_a_machine_holds_on_it(tmp_path, name):
    inventory = discover(MachineHost(Machine(profile.load(name))))
    path = tmp_path / "bench.toml"
    aliases = gpu_aliases(inventory)
    host = {"kind": "simulated", "profile": name}
    path.write_text(bench_file(name="desk", host=host, inventory=inventory, aliases=aliases, path="bench.toml"))
    file = load(path)
    assert roster.aliases(file, inventory) == aliases
    for one in roster.call(file, inventory):
        assert one.entry.expect.name
        assert roster.unmet(one.entry.expect, one.gpu, None) == ()
    assert not any(file.allow.model_dump().values())
    assert file.actuator == ()


def test_a_bench_runs_from_what_was_written(folder):
    said = hil("init", "--bench", "sim:linux-two-enclosures").output
    assert "bench.toml: bench sim-linux-two-enclosures, 2 devices" in said
    bench = open_bench(Wish(selection=parse("bench.toml"), folder=folder, inline=True))
    try:
        assert (bench.name, bench.notes) == ("sim-linux-two-enclosures", [])
        for device in bench.devices:
            device.ensure_healthy()
    finally:
        bench.close()


def test_examples_work_once_their_comments_are_taken_away(tmp_path):
    inventory = discover(MachineHost(Machine(profile.load("linux-two-enclosures"))))
    text = bench_file(
        name="desk", host={"kind": "local"}, inventory=inventory, aliases=gpu_aliases(inventory), path="bench.toml"
    )
    path = tmp_path / "bench.toml"
    path.write_text(re.sub(r"^# (\[\[actuator\]\]|[\w.]+ = .*)$", r"\1", text, flags=re.MULTILINE))
    file = load(path)
    assert [entry.kind for entry in file.actuator] == ["simulated", "sysfs", "mcci", "pdu"] * 2
    assert file.limits.temperature_c == 88
    assert roster.idle_actuators(file, inventory) == ()
    assert {one.entry.expect.firmware for one in roster.call(file, inventory)} == {"30.2", "40.1"}


def test_a_machine_that_is_not_simulated_is_offered_no_simulated_actuator(tmp_path):
    text = bench_file(
        name="d",
        host={"kind": "local"},
        inventory=Inventory(host=HostFacts(system="Darwin")),
        aliases={},
        path="b.toml",
    )
    assert '# kind = "mcci"' in text
    assert '"simulated"' not in text
    assert '"sysfs"' not in text


@pytest.mark.parametrize("name", ['back\\slash "quoted"', "line\nbreak\x7f\x1b", "café 显卡 🎮", "]] = #"])
def test_whatever_hardware_calls_itself_is_written_so_that_it_is_read(tmp_path, name):
    inventory = discover(MachineHost(Machine(profile.load("linux-two-enclosures"))))
    router = replace(inventory.gpus[0].enclosure, device_name=name, vendor_name=name)
    inventory = replace(inventory, gpus=(replace(inventory.gpus[0], name=name, enclosure=router),))
    path = tmp_path / "bench.toml"
    host = {"kind": "lab", "options": {"a b": [1, {"c": True}], "plain": name}}
    text = bench_file(name="d", host=host, inventory=inventory, aliases=gpu_aliases(inventory), path="b.toml")
    path.write_text(text.replace('kind = "lab"', 'kind = "local"').replace("options.", "# options."), encoding="utf-8")
    (one,) = load(path).device
    assert (one.expect.name, one.expect.enclosure) == (name, name)


def test_values_are_written_as_toml_writes_them():
    assert [toml(value) for value in (True, 4, 40.0, 'a"b')] == ["true", "4", "40.0", '"a\\"b"']


def test_profiles_and_captures_are_named_from_the_bench_files_folder(folder):
    (folder / "lab").mkdir()
    mine = (profile.resources.files("hil.sim") / "profiles" / "empty-mac.toml").read_text()
    (folder / "mine.toml").write_text(mine)
    hil("init", "lab/a.toml", "--bench", "sim:mine.toml")
    assert load(folder / "lab" / "a.toml").host.profile == str(folder / "lab" / ".." / "mine.toml")
    assert 'profile = "../mine.toml"' in (folder / "lab" / "a.toml").read_text()


def test_a_bench_file_is_written_anew_with_its_name_host_and_aliases(folder):
    hil("init", "--bench", "sim:linux-two-enclosures")
    path = folder / "bench.toml"
    path.write_text(
        path.read_text().replace('alias = "rtx-4090-th3p4g3"', 'alias = "host-side"').replace("sim-linux", "my")
    )
    said = hil("init", "again.toml", "--bench", "bench.toml").output
    again = load(folder / "again.toml")
    assert "again.toml: bench my-two-enclosures, 2 devices" in said
    assert [entry.alias for entry in again.device] == ["host-side", "rtx-6000-ada-egpu-node-titan"]
    assert again.host == load(path).host


def test_nothing_is_replaced_unasked(folder, capsys):
    (folder / "bench.toml").write_text("mine")
    assert refusal(capsys, "init", "--bench", "sim:empty-mac") == (
        2,
        "hil: bench.toml is there already: give another name, or --force to replace it\n",
    )
    assert (folder / "bench.toml").read_text() == "mine"
    hil("init", "--bench", "sim:empty-mac", "--force")
    assert load(folder / "bench.toml").name == "sim-empty-mac"


def test_a_name_that_would_not_be_taken_for_a_bench_file_is_refused(folder, capsys):
    assert refusal(capsys, "init", "bench.txt", "--bench", "sim")[0] == 2
    assert list(folder.iterdir()) == []


def test_a_file_that_cannot_be_written_is_one_message(folder, capsys):
    code, said = refusal(capsys, "init", "a/bench.toml", "--bench", "sim:/nobody/is/asked/before")
    assert (code, said) == (2, "hil: a/bench.toml cannot be written: there is no folder a\n")
    (folder / "bench.toml").mkdir()
    code, said = refusal(capsys, "init", "--force", "--bench", "sim:empty-mac")
    assert (code, said) == (2, "hil: bench.toml cannot be written: Is a directory\n")
    assert [path.name for path in folder.iterdir()] == ["bench.toml"]


def test_a_disk_that_is_full_costs_no_bench_file(folder, capsys):
    hil("capture", "desk.hil", "--bench", "sim:empty-mac")
    (folder / "bench.toml").write_text("mine")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        code, said = refusal(capsys, "init", "--force", "--bench", "captured:desk.hil")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert (code, said) == (2, "hil: bench.toml cannot be written: File too large\n")
    assert {path.name for path in folder.iterdir()} == {"bench.toml", "desk.hil"}
    assert (folder / "bench.toml").read_text() == "mine"


def test_a_bench_file_that_is_a_link_stays_one(folder):
    (folder / "bench.toml").symlink_to("lab.toml")
    (folder / "lab.toml").write_text("mine")
    hil("init", "--bench", "sim:empty-mac", "--force")
    assert (folder / "bench.toml").is_symlink()
    assert load(folder / "lab.toml").name == "sim-empty-mac"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes no such name for a file")
def test_a_name_that_toml_cannot_hold_is_one_message(folder, capsys):
    shipped = (profile.resources.files("hil.sim") / "profiles" / "empty-mac.toml").read_text()
    (folder / "m\udcff.toml").write_text(shipped)
    code, said = refusal(capsys, "init", "--bench", "sim:m\udcff.toml")
    assert (code, said) == (2, "hil: bench.toml cannot be written: UTF-8 knows no '\\udcff'\n")


def test_opencl_has_nothing_to_write_down(folder, capsys):
    assert "bench opencl has no topology" in refusal(capsys, "init", "--bench", "opencl")[1]


def test_a_capture_is_written_down_as_a_captured_host(folder):
    hil("capture", "desk.hil", "--bench", "sim:linux-two-enclosures", "--keep-ids")
    hil("init", "--bench", "captured:desk.hil")
    file = load(folder / "bench.toml")
    assert (file.host.kind, file.host.file) == ("captured", str(folder / "desk.hil"))
    assert len(file.device) == 2


def test_the_listing_calls_devices_as_the_bench_file_does(folder):
    hil("init", "--bench", "sim:linux-two-enclosures")
    path = folder / "bench.toml"
    path.write_text(path.read_text().replace('alias = "rtx-4090-th3p4g3"', 'alias = "left"'))
    said = hil("list", "--bench", "bench.toml").output
    assert "left: NVIDIA GeForce RTX 4090" in said
    assert "rtx-6000-ada-egpu-node-titan: " in said


def test_what_was_written_is_told_as_json(tmp_path):
    path = tmp_path / "bench.toml"

    result = hil("init", str(path), "--bench", "sim", "--json")

    told = json.loads(result.output)
    assert told["file"] == str(path)
    assert [device["alias"] for device in told["devices"]] == ["rtx-4080-ut4g-dock"]
    assert path.exists()
