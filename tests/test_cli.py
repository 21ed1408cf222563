"""The command ``hil``: what it prints, in text and JSON, its exit codes, and one line for every error."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from pytest_runs import clean, hil, machine

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


def test_a_reader_that_has_seen_enough_costs_no_complaint():
    command = f"{sys.executable} -m hil.cli list --json --bench sim:linux-two-enclosures | head -1"
    ran = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"],
        check=False,
        capture_output=True,
        text=True,
        env=clean(os.environ),
        timeout=60,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "{\n", "")


def test_the_version_is_told(run):
    assert run("--version")[1].startswith("hil, version 0.")
