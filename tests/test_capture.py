"""``hil capture`` and what its file replays: every shipped profile, the command's text, the file on disk."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from hil.cli import capture as command
from hil.cli import group, main, target
from hil.cli.capture import Taken, take
from hil.discovery import discover
from hil.errors import BenchFault, UsageError
from hil.hosts.captured import CapturedHost
from hil.hosts.captures.contents import from_bytes
from hil.hosts.captures.identifiers import find
from hil.hosts.captures.redaction import Redaction
from hil.hosts.opening import open_host
from hil.hosts.selection import BenchKind, parse
from hil.model import Inventory, to_dict
from hil.sim import profile
from tests.captured_bench import switched_on, unpacked
from tests.files_host import FilesHost
from tests.tree_host import DATA, answered
from tests.tree_host import load as tree

PROFILES = profile.shipped()
DAISY = "linux-daisy-chain"


@pytest.fixture(scope="module")
def taken() -> dict[str, tuple[Taken, Taken]]:
    """Each profile's capture, as it is and with its ids replaced."""
    found = {}
    for name in PROFILES:
        with switched_on(name) as host:
            found[name] = take(host, f"sim:{name}", keep_ids=True), take(host, f"sim:{name}")
    return found


def replayed(capture: Taken) -> Inventory:
    return discover(CapturedHost(from_bytes(capture.data, "a.zip")))


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_replays_byte_for_byte_with_its_ids(taken, name):
    capture = taken[name][0]

    assert json.dumps(to_dict(replayed(capture))) == json.dumps(to_dict(capture.inventory))


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_replays_the_same_up_to_renaming(taken, name):
    capture = taken[name][1]
    before, after = (json.dumps(to_dict(inventory)) for inventory in (capture.inventory, replayed(capture)))
    secrets = identifying(capture.inventory)

    assert re.sub(r"\w+", "?", blanked(before)) == re.sub(r"\w+", "?", blanked(after))
    assert len(before) == len(after)
    assert not [secret for secret in secrets if secret in after]


@pytest.mark.parametrize("name", PROFILES)
def test_no_original_value_is_left_anywhere_in_the_archive(taken, name):
    content = b"\n".join(unpacked(taken[name][1].data).values()).lower()

    assert [form for secret in identifying(taken[name][0].inventory) for form in forms(secret) if form in content] == []


def test_what_is_looked_for_in_the_archive_is_found_where_ids_were_kept(taken):
    content = b"\n".join(unpacked(taken[DAISY][0].data).values()).lower()
    inventory = taken[DAISY][0].inventory

    assert all(any(form in content for form in forms(router.uid)) for router in inventory.routers)


def test_a_join_that_was_found_still_holds_with_stand_ins(taken):
    before, after = taken[DAISY][0].inventory, replayed(taken[DAISY][1])

    assert [(g.name, g.enclosure.device_name) for g in after.gpus] == [
        (g.name, g.enclosure.device_name) for g in before.gpus
    ]
    assert {g.enclosure.uid for g in after.gpus}.isdisjoint(g.enclosure.uid for g in before.gpus)
    assert len({g.enclosure.uid for g in after.gpus}) == 2


def identifying(inventory: Inventory) -> set[str]:
    found = {r.uid for r in inventory.routers} | {f.tunnel_endpoint for f in inventory.functions}
    found |= {d.uuid for d in inventory.domains} | {g.uuid.removeprefix("GPU-") for g in inventory.gpus}
    found |= {u.serial.lower() for u in inventory.usb} | {inventory.host.boot_id}
    return {value for value in found if value}


def forms(secret: str) -> set[bytes]:
    """Text, and bytes either way round and in words, as such and in hexadecimal; decimal as the I/O registry has it."""
    digits = secret.replace("-", "")
    if not re.fullmatch("[0-9a-f]{16,32}", digits):
        return {secret.encode()}
    raw = bytes.fromhex(digits)
    words = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
    binary = {raw, raw[::-1], words, words[::-1]}
    linux = {f"{b.hex()[:8]}-{b.hex()[8:12]}-{b.hex()[12:16]}".encode() for b in binary}
    decimal = {b"%d" % int.from_bytes(raw, signed=signed) for signed in (False, True)}
    return {secret.encode()} | binary | linux | decimal | {b.hex().encode() for b in binary}


def blanked(text: str) -> str:
    return re.sub(r"[0-9a-fA-F]{12,}|[0-9a-f-]{36}", "id", text)


def test_kinds_are_counted_for_the_summary(taken):
    assert taken[DAISY][1].replaced["router id"] == 4
    assert taken[DAISY][0].replaced == {}


# The command -------------------------------------------------------------------------------------------------------


def run(*arguments: str | os.PathLike[str]) -> str:
    result = CliRunner().invoke(group, ["capture", *map(str, arguments)], catch_exceptions=False)
    return result.output


def test_the_command_says_what_it_recorded_and_replaced_and_that_it_may_be_sent(tmp_path):
    file = tmp_path / "bench.zip"

    said = run(file, "--bench", f"sim:{DAISY}")

    assert "files" in said
    assert "router id" in said
    assert "safe to attach" in said
    assert f"captured:{file}" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["bench.zip"]


def test_the_list_of_a_capture_is_that_of_its_bench(tmp_path):
    file = tmp_path / "bench.zip"
    run(file, "--bench", f"sim:{DAISY}", "--keep-ids")
    listing = [
        CliRunner().invoke(group, ["list", "--json", "--bench", bench], catch_exceptions=False).output
        for bench in (f"sim:{DAISY}", f"captured:{file}")
    ]

    was, now = (json.loads(text) for text in listing)

    assert json.dumps(was["inventory"]) == json.dumps(now["inventory"])
    assert was["devices"] == now["devices"]
    assert now["bench"] == f"captured:{file}"


def test_the_tree_says_that_it_is_a_capture(tmp_path):
    file = tmp_path / "bench.zip"
    run(file, "--bench", "sim:empty-mac")

    said = CliRunner().invoke(group, ["list", "--bench", f"captured:{file}"], catch_exceptions=False).output

    assert "as captured" in said.splitlines()[0]


def test_the_json_tells_the_same(tmp_path):
    told = json.loads(run(tmp_path / "a.zip", "--bench", f"sim:{DAISY}", "--json", "--keep-ids"))

    assert told["redacted"] is False
    assert told["replaced"] == {}
    assert told["recorded"]["read"] > 50
    assert told["gpus"] == 2
    assert told["bytes"] == (tmp_path / "a.zip").stat().st_size


def test_kept_ids_are_said_to_be_private(tmp_path):
    assert "before you publish" in run(tmp_path / "a.zip", "--bench", "sim:empty-linux", "--keep-ids")


def test_auto_is_this_machine_and_never_the_simulated_one(tmp_path, monkeypatch):
    opened = []

    def open_tree(spec):
        opened.append(spec)
        return closable(tree("discovery/linux_workstation.txt"))

    monkeypatch.setattr(target, "open_host", open_tree)

    told = json.loads(run(tmp_path / "a.zip", "--json"))

    assert opened == [{"kind": "local"}]
    assert told["bench"] == "local"


def test_a_capture_with_ids_is_made_one_without(tmp_path):
    private, public = tmp_path / "private.zip", tmp_path / "public.zip"
    run(private, "--bench", f"sim:{DAISY}", "--keep-ids")
    run(public, "--bench", f"captured:{private}")

    before, after = CapturedHost(str(private)), CapturedHost(str(public))

    assert after.capture.redacted
    assert [g.name for g in discover(before).gpus] == [g.name for g in discover(after).gpus]
    assert after.capture.bench == "captured:private.zip"


def closable(host: FilesHost) -> FilesHost:
    full = FilesHost(host.system, host.files, host.links, host.commands)
    full.close = lambda: None
    return full


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["there.zip", "--bench", "sim:empty-mac"], "--force"),
        (["folder", "--bench", "sim:empty-mac", "--force"], "no plain file"),
        (["nowhere/a.zip", "--bench", "sim:empty-mac"], "no folder"),
        (["a.zip", "--bench", "captured:"], "captured:FILE"),
        (["a.zip", "--bench", "captured:missing.zip"], "missing.zip"),
    ],
)
def test_what_cannot_be_done_is_one_message_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    Path("there.zip").write_text("mine")
    Path("folder").mkdir()

    with pytest.raises(SystemExit) as end:
        main(["capture", *arguments])

    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.startswith("hil: ")
    assert words in said
    assert said.count("\n") == 1
    assert Path("there.zip").read_text() == "mine"
    assert not Path("a.zip").exists()


def test_opencl_has_nothing_to_capture(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["capture", str(tmp_path / "a.zip"), "--bench", "opencl"])

    assert end.value.code == 1
    assert "no topology" in capsys.readouterr().err


def test_force_replaces_a_file(tmp_path):
    file = tmp_path / "a.zip"
    file.write_text("mine")

    run(file, "--bench", "sim:empty-mac", "--force")

    assert discover(CapturedHost(str(file))).host.system == "Darwin"


def test_a_capture_whose_stand_ins_change_what_is_found_is_not_written():
    document = json.loads((DATA / "discovery/macos_laptop_profiler.json").read_bytes())
    # A serial number that is a word of macOS' own: replacing it makes another thing of the report.
    document["SPPCIDataType"][0]["sppci_serialnumber"] = "switch_version_key"
    host = FilesHost("Darwin", commands={"system_profiler": answered(json.dumps(document))})

    with pytest.raises(BenchFault, match=r"does not show what was found.*inventory\.routers"):
        take(host, "local")
    assert take(host, "local", keep_ids=True).inventory.routers


def test_an_id_that_was_left_keeps_the_capture_from_being_written(taken):
    capture = from_bytes(taken[DAISY][0].data, "a.zip")
    redaction = Redaction(find(capture.entries, taken[DAISY][0].inventory))

    with pytest.raises(BenchFault, match="could not be replaced"):
        command._refuse_leaks(redaction, capture)


# Selection ---------------------------------------------------------------------------------------------------------


def test_a_captured_bench_is_selected_by_its_file():
    selection = parse("captured:some/file.zip")

    assert (selection.kind, selection.address) == (BenchKind.CAPTURED, "some/file.zip")
    assert str(selection) == "captured:some/file.zip"


def test_a_captured_host_is_opened_by_its_kind(tmp_path):
    file = tmp_path / "a.zip"
    run(file, "--bench", "sim:empty-mac")

    assert open_host({"kind": "captured", "address": str(file)}).kind == "captured"
    with pytest.raises(UsageError, match=r"nothing\.zip: cannot be read"):
        open_host({"kind": "captured", "address": "nothing.zip"})
