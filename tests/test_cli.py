"""The command ``hil``: what it prints, in text and JSON, its exit codes, and one line for every error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_runs import clean, hil, machine
from report_rig import finished, record

from hil.cli import main
from hil.sim import profile

PROFILES = ["macbook-pro-usb4", "linux-two-enclosures"]


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the command in this process; exit code, standard output and standard error."""
    for name in os.environ.keys() - clean(os.environ).keys():
        monkeypatch.delenv(name)

    def call(*arguments):
        try:
            main(list(arguments))
        except SystemExit as end:
            code = end.code or 0
        else:
            code = 0
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_list_draws_the_tree_from_host_to_gpu(run):
    code, out, err = run("list", "--bench", "sim:linux-two-enclosures")

    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == "ThinkStation P3 (Linux 6.12.48, x86_64), sim:linux-two-enclosures, simulated"
    depth = {line.lstrip(" │├└─").split(":")[0].split(",")[0]: len(line) - len(line.lstrip(" │├└─")) for line in lines}
    assert depth["EXP GDC TH3P4G3"] > depth["domain1"] > 0
    assert depth["rtx-4090-th3p4g3"] > depth["EXP GDC TH3P4G3"]
    assert "rtx-4090-th3p4g3: NVIDIA GeForce RTX 4090" in out


@pytest.mark.parametrize("name", PROFILES)
def test_list_as_json_has_stable_keys_and_the_aliases_that_tests_are_named_after(run, name):
    code, out, err = run("list", "--json", "--bench", f"sim:{name}")
    facts = json.loads(out)

    assert (code, err) == (0, "")
    assert list(facts) == ["bench", "simulated", "devices", "inventory"]
    assert (facts["bench"], facts["simulated"]) == (f"sim:{name}", True)
    assert [set(device) for device in facts["devices"]] == [{"alias", "id"}] * len(profile.load(name).gpu)
    assert {"host", "domains", "routers", "functions", "gpus", "problems", "looked_at"} <= facts["inventory"].keys()


def test_list_falls_back_to_the_simulated_machine_and_says_so_on_standard_error(run):
    code, out, err = run("list")

    assert code == 0
    assert out.startswith("MacBook Pro (Darwin 26.1, arm64), sim:macbook-pro-usb4, simulated")
    assert err.startswith("no NVIDIA GPU here (looked at ")
    assert err.endswith("this is the simulated machine that a run would use\n")


def test_list_of_a_machine_without_gpu_says_so(run):
    code, out, _ = run("list", "--bench", "sim:empty-mac")

    assert code == 0
    assert "└── no NVIDIA GPU" in out


def test_list_looks_at_a_machine_that_runs_already(run):
    with machine("macbook-pro-usb4") as address:
        code, out, _ = run("list", "--json", "--bench", f"sim:{address}")

    assert code == 0
    assert json.loads(out)["devices"][0]["alias"] == "rtx-4080-ut4g-dock"


def test_profiles_are_listed_with_the_default(run):
    text, facts = run("profiles")[1], json.loads(run("profiles", "--json")[1])

    assert [row["name"] for row in facts["profiles"]] == profile.shipped()
    assert [row["name"] for row in facts["profiles"] if row["default"]] == ["macbook-pro-usb4"]
    assert [line.split()[0] for line in text.splitlines()] == profile.shipped()
    assert text.count("(default)") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "start"),
    [
        (["list", "--bench", "cloud"], 2, "hil: bench 'cloud' is not known: expected auto, local, opencl, sim"),
        (["list", "--bench", "sim:nosuch"], 2, "hil: no profile 'nosuch'; known: "),
        (["list", "--bench", "sim:/no/such.toml"], 2, "hil: /no/such.toml: "),
        (["list", "--bench", "opencl"], 1, "hil: bench opencl has no topology: "),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(run, arguments, code, start):
    got, out, err = run(*arguments)

    assert got == code
    assert err.startswith(start)
    assert err.count("\n") == 1
    assert out == ""


def test_a_bench_of_the_environment_is_used():
    ran = hil("list", "--json", env={"HIL_BENCH": "sim:empty-linux"})

    assert ran.returncode == 0
    assert json.loads(ran.stdout)["bench"] == "sim:empty-linux"


def shell(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of `command`, with the exit code of its first program."""
    return subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        check=False,
        capture_output=True,
        text=True,
        env=clean(os.environ) | environment,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("command", "first"),
    [("list --json --bench sim:linux-two-enclosures", "{\n"), ("faults", "memory:\n"), ("faults --json", "{\n")],
)
def test_a_reader_that_has_seen_enough_costs_no_complaint(command, first):
    for reader, told in (("true", ""), ("head -1", first)):
        ran = shell(f"{sys.executable} -m hil.cli {command} | {reader}")

        assert (ran.returncode, ran.stdout, ran.stderr) == (0, told, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no disk that is always full")
@pytest.mark.parametrize("command", ["faults", "profiles --json", "--help"])
def test_an_output_that_cannot_be_written_is_one_message(command):
    ran = shell(f"{sys.executable} -m hil.cli {command} > /dev/full")

    assert (ran.returncode, ran.stderr) == (1, "hil: the output cannot be written: No space left on device\n")


@pytest.mark.parametrize(
    ("arguments", "code", "last"),
    [
        (["nonsense"], 2, "Error: No such command 'nonsense'."),
        (["list", "--nonsense"], 2, "Error: No such option '--nonsense'."),
        ([], 2, ""),
        (["--help"], 0, ""),
    ],
)
def test_what_is_wrong_with_a_command_line_is_told_by_click(run, arguments, code, last):
    got, _, err = run(*arguments)

    assert got == code
    assert (err.splitlines() or [""])[-1].startswith(last)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS takes no such name for a file")
@pytest.mark.parametrize("option", ["--json", "--markdown"])
def test_a_text_that_is_not_utf8_is_shown_as_well_as_can_be(tmp_path, option):
    record(tmp_path, 0, finished(outcome="failed", message="ba\udcffd"))
    (tmp_path / os.fsdecode(b"b\xfcro.jsonl")).write_text("no record")
    command = f"{sys.executable} -m hil.cli report {tmp_path} {option} --out {tmp_path}/page"
    ran = shell(command, PYTHONIOENCODING="utf-8", HIL_HISTORY="none")

    assert (ran.returncode, ran.stderr) == (0, "")
    assert "b?ro.jsonl" in ran.stdout.replace("\\", "")


def test_the_version_is_told(run):
    assert run("--version")[1].startswith("hil, version 0.")
