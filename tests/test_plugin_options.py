"""Options: where a value comes from, which source wins, and one clear line for one that cannot be used."""

from __future__ import annotations

import os
import re

import numpy as np  # noqa: F401  (cannot be loaded again by a pytest within this one)
import pytest
from pytest_runs import CONFTEST, clean

from hil.bench.process import BACKSTOP


@pytest.fixture
def run(pytester, monkeypatch):
    """Runs pytest on a suite with words and one test that uses no device; returns code and error lines."""
    for name in os.environ.keys() - clean(os.environ).keys():
        monkeypatch.delenv(name)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile("def test_nothing(): pass")

    def start(*arguments, env=None, ini="", toml=""):
        for name, value in (env or {}).items():
            monkeypatch.setenv(name, value)
        if ini:
            pytester.makeini(f"[pytest]\n{ini}\n")
        if toml:
            pytester.makepyprojecttoml(toml)
        result = pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)
        return result.ret, [line for line in result.errlines if line], result.outlines

    return start


def refusal(ran) -> str:
    """The one line that a run with a wrong option ends with."""
    code, errors, out = ran
    assert code == pytest.ExitCode.USAGE_ERROR
    assert len(errors) == 1, errors
    assert "Traceback" not in "\n".join(out)
    return errors[0]


INI = "hil_bench = sim:by-ini"


@pytest.mark.parametrize(
    ("arguments", "env", "ini", "expected"),
    [
        ([], {}, INI, r"hil_bench in .*tox.ini: no profile 'by-ini'; known: .*macbook-pro-usb4"),
        ([], {"HIL_BENCH": "sim:by-env"}, INI, "HIL_BENCH: no profile 'by-env'"),
        (["--hil-bench=sim:by-line"], {"HIL_BENCH": "sim:by-env"}, INI, "--hil-bench: no profile 'by-line'"),
        ([], {"HIL_BENCH": ""}, INI, "hil_bench in .*: no profile 'by-ini'"),
        (["--hil-bench=cloud"], {}, "", "--hil-bench: bench 'cloud' is not known: expected auto, local, opencl, sim"),
        (["--hil-bench=sim:/no/such.toml"], {}, "", r"--hil-bench: .*/no/such.toml"),
        (["--hil-bench=sim:/no/socket"], {}, "", "--hil-bench: no simulated machine answers at /no/socket"),
        ([], {"HIL_BACKSTOP": "soon"}, "hil_backstop = 3", "HIL_BACKSTOP: 'soon' is no number of seconds above 0"),
        (["--hil-backstop=0"], {}, "", "--hil-backstop: '0' is no number"),
        (["--hil-backstop=nan"], {}, "", "--hil-backstop: 'nan' is no number"),
        ([], {}, "hil_backstop = -1", "hil_backstop in .*: '-1' is no number"),
        (["--hil-seed=1.5"], {}, "", "--hil-seed: '1.5' is no whole number from 0 to 4294967295"),
        ([], {"HIL_SEED": "4294967296"}, "", "HIL_SEED: '4294967296' is no whole number"),
        ([], {"HIL_INLINE": "maybe"}, "hil_inline = true", "HIL_INLINE: 'maybe' is neither true nor false"),
        ([], {}, "hil_inline = maybe", "hil_inline in .*maybe"),
        ([], {"HIL_FAULT": "gremlins"}, "hil_fault = bit-flip", "HIL_FAULT: fault 'gremlins': .*known: .*bit-flip"),
        (
            ["--hil-fault=bit-flip:bits=0"],
            {"HIL_FAULT": "x"},
            "",
            "--hil-fault: fault 'bit-flip:bits=0': bits: ",
        ),
        (["--hil-bench=opencl", "--hil-fault=bit-flip"], {}, "", "--hil-fault: bit-flip can only act on a simulated"),
        (["--hil-bench=local"], {"HIL_FAULT": "bit-flip;call-hangs"}, "", "HIL_FAULT: bit-flip, call-hangs can only"),
        (["--hil-bench=local"], {}, "hil_inline = yes", "hil_inline in .*: only for simulated benches"),
        (
            ["--hil-bench=sim", "--hil-require-hardware"],
            {},
            "",
            "--hil-require-hardware: hardware is required, but --hil-",
        ),
        (
            ["--hil-fault=bit-flip"],
            {"HIL_REQUIRE_HARDWARE": "on"},
            "",
            "HIL_REQUIRE_HARDWARE: hardware is required, but the",
        ),
    ],
)
def test_a_wrong_value_ends_in_one_line_that_names_its_source(run, arguments, env, ini, expected):
    assert re.match(f"ERROR: hil: {expected}", refusal(run(*arguments, env=env, ini=ini))), expected


def test_a_toml_file_may_hold_values_of_its_own_types(run):
    wrong = run(toml="[tool.pytest]\nhil_bench = 7\n")

    assert re.match(r"ERROR: hil: hil_bench in .*pyproject.toml: .*expects a string", refusal(wrong))


def test_an_unknown_device_is_refused_with_those_that_are_known(run):
    line = refusal(run("--hil-bench=sim", env={"HIL_DEVICE": "rtx-9090"}))

    assert line == (
        "ERROR: hil: HIL_DEVICE: no device rtx-9090 on bench sim:macbook-pro-usb4; known: rtx-4080-ut4g-dock"
    )


def test_faults_are_refused_on_a_machine_that_runs_already(run):
    line = refusal(run("--hil-bench=sim:/tmp/some/m", "--hil-fault=bit-flip"))

    assert "the machine at /tmp/some/m runs already" in line


@pytest.mark.parametrize("bench", ["auto", "local"])
def test_required_hardware_that_is_not_there_is_an_error_that_says_what_was_looked_at(run, bench):
    line = refusal(run(f"--hil-bench={bench}", "--hil-require-hardware"))

    assert re.search("--hil-require-hardware: hardware is required, but .*PCI functions .looked at ", line)


def test_an_error_in_a_quiet_run_is_no_collection_error(run):
    assert "no profile 'nosuch'" in refusal(run("-q", "--hil-bench=sim:nosuch"))


def test_help_tells_every_option_and_the_default_backstop(run):
    code, _, out = run("--help")

    text = " ".join(" ".join(out).split())
    assert code == 0
    assert all(f"--hil-{name}" in text for name in ("bench", "device", "fault", "backstop", "seed", "inline"))
    assert "--hil-require-hardware" in text
    assert f"default: {BACKSTOP:g})" in text
