"""Operations that take their process with them: the run goes on, and the result says what happened and where."""

from __future__ import annotations

import re

import pytest
from pytest_runs import suite

pytestmark = pytest.mark.slow  # whole runs of pytest in processes of their own

ALIAS = "rtx-4080-ut4g-dock"
OPERATIONS = '''
    """What drivers do to the process they live in."""

    import ctypes
    import faulthandler
    import os
    import signal
    import sys

    def sleep_with_the_gil(context):
        sys.stderr.write("firmware: waiting for mailbox\\n")
        ctypes.PyDLL(None).sleep(600)

    def killed(context):
        os.kill(os.getpid(), signal.SIGKILL)

    def crashes(context):
        os.write(2, b"NVRM: assertion\\n")
        faulthandler._sigsegv()

    def exits(context):
        os._exit(7)

    def floods(context):
        for _ in range(64):
            os.write(1, b"x" * (1 << 20))
        os.write(2, b"\\nthe end of the flood\\n")
        return 64

    def raises(context):
        return {}["a library's own KeyError"]

    def refuses(context):
        raise ConnectionResetError(104, "by peer")
'''
SUITE = """
    import pytest

    TROUBLE = ["sleep_with_the_gil", "killed", "crashes", "exits", "raises", "refuses"]

    @pytest.mark.parametrize("what", TROUBLE)
    def test_trouble(device, what):
        device.call(f"lab.drivers:{what}", deadline=5.0)

    @pytest.mark.parametrize("what", ["floods"])
    def test_no_trouble(device, what):
        assert device.call(f"lab.drivers:{what}") == 64

    def test_flooded_and_failed(device):
        device.call("lab.drivers:floods")
        assert not device

    def test_afterwards(transfer):
        transfer.round_trip(4096)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trouble")
    with suite(folder) as made:
        (folder / "lab").mkdir()
        made.write(test_it=SUITE)
        made.write(**{"lab/drivers": OPERATIONS})
        yield made.run("--hil-bench=sim", "--hil-backstop=1.5", env={"PYTHONPATH": str(folder)}, allure=True)
        assert made.left_over() == []


def message(run, what: str) -> str:
    return run.results()[f"test_trouble[{ALIAS}-{what}]"]["statusDetails"]["message"]


def test_the_run_goes_on_after_each(run):
    outcomes = run.outcomes()

    assert len(outcomes) == 9
    assert outcomes[f"test_no_trouble[{ALIAS}-floods]"] == "PASSED"
    assert outcomes[f"test_afterwards[{ALIAS}]"] == "PASSED"
    assert list(outcomes.values()).count("FAILED") == 7
    assert "ERROR" not in outcomes.values()


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("sleep_with_the_gil", "failed"),
        ("killed", "failed"),
        ("crashes", "failed"),
        ("exits", "failed"),
        ("raises", "broken"),
        ("refuses", "broken"),
    ],
)
def test_hangs_and_crashes_are_the_devices_fault_and_foreign_errors_the_benchs(run, what, status):
    assert run.results()[f"test_trouble[{ALIAS}-{what}]"]["status"] == status


def test_a_hang_tells_what_hung_where_and_for_how_long(run):
    assert re.match(
        rf"hil.errors.DeviceHung: lab.drivers:sleep_with_the_gil on {ALIAS} did not come back within 1\.\d s of real "
        r"time \(its deadline was 5 s\); it hangs in sleep_with_the_gil \(.*lab/drivers.py:\d+\)\. "
        r"Its process \d+ was killed\.\nIt stood in, innermost first:\n  sleep_with_the_gil \(\S+\)$",
        message(run, "sleep_with_the_gil"),
    )


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("killed", r"killed by SIGKILL\."),
        ("crashes", r"killed by SIGSEGV, in crashes \(.*lab/drivers.py:\d+\)\."),
        ("exits", r"exited with status 7\."),
    ],
)
def test_a_crash_tells_how_the_process_ended_and_when(run, what, how):
    expected = rf"lab.drivers:{what} on {ALIAS} took its process down \d\.\d s after it began: {how}"

    assert re.fullmatch("hil.errors.DeviceCrashed: " + expected, message(run, what))


def test_what_the_process_printed_is_attached_and_shown(run):
    title = "device process: standard error"

    assert run.attached(f"test_trouble[{ALIAS}-sleep_with_the_gil]", title) == "firmware: waiting for mailbox\n"
    assert run.attached(f"test_trouble[{ALIAS}-crashes]", title) == "NVRM: assertion\n"
    assert "NVRM: assertion" in run.out
    assert "hil-watch" not in run.out  # stacks of threads of ours help nobody


def test_stacks_are_attached(run):
    title = "device process: stacks"

    assert "in sleep_with_the_gil" in run.attached(f"test_trouble[{ALIAS}-sleep_with_the_gil]", title)
    assert "Segmentation fault" in run.attached(f"test_trouble[{ALIAS}-crashes]", title)


def test_a_flood_costs_nothing_but_its_own_beginning(run):
    said = run.attached(f"test_flooded_and_failed[{ALIAS}]", "device process: standard error")

    assert len(said) < 70_000
    assert said.startswith("[")
    assert said.endswith("\nthe end of the flood\n")
    assert max(map(len, run.out.splitlines())) < 5000


def test_a_foreign_error_keeps_its_remote_traceback_in_the_message(run):
    text = message(run, "raises")

    assert text.startswith('hil.errors.BenchFault: KeyError: "a library\'s own KeyError"\nIn the device process:\n')
    assert "lab/drivers.py" in text
    assert "[Errno 104] by peer" in message(run, "refuses")


def test_the_failure_shows_the_tests_own_line_and_none_of_ours(run):
    shown = run.out[run.out.index("___ test_trouble") : run.out.index("= hil =")]

    assert '>       device.call(f"lab.drivers:{what}", deadline=5.0)' in shown
    assert not re.search(r"^(\S*/)?hil/(bench|plugin)/\S+:\d+: ", shown, re.MULTILINE)


def test_the_summary_tells_each_recovery(run):
    lines = [line for line in run.summary() if line.startswith("recovery")]

    assert [re.search(r"-(\w+)\]: well again by reopen", line)[1] for line in lines] == [
        "sleep_with_the_gil",
        "killed",
        "crashes",
        "exits",
    ]
    assert "(its process has ended: killed because lab.drivers:sleep_with_the_gil hung)" in lines[0]
