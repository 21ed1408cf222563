"""The suites: green on machines that are in order, and each simulated fault seen by the suite that ought to see it."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path

import pytest
from pytest_runs import ROOT, Finished, Suite, suite

from hil.copy import engine
from hil.errors import UsageError
from hil.hosts.opening import open_host

pytestmark = pytest.mark.slow

MAC = "rtx-4080-ut4g-dock"
LEAST = 15
"""Cases that every device gets at the least."""
NO_GPU = {
    "it is no GPU of the inventory",
    "it sits in no enclosure",
    "no band is known for a link of kind unknown",
    "the bench does not allow the host to be put to sleep (allow.sleep)",
}
"""Why tests are skipped on an OpenCL device that hangs in no enclosure, on a bench without a bench file."""


def opencl_is_there() -> bool:
    host = open_host({"kind": "local"})
    try:
        return bool(engine("opencl").devices(host))
    except UsageError:
        return False
    finally:
        host.close()


class Project(Suite):
    """The project's own suites, run from its root into a folder of the test's own."""

    def start(self, *arguments, env=None):
        return Suite(ROOT, self.tmp).start("suites", *arguments, env=env)

    def finish(self, run):
        over = super().finish(run)
        return Finished(over.code, over.out, over.err, self.folder)

    def run(self, *arguments, env=None, allure=False):
        return self.finish(self.start(*arguments, f"--alluredir={self.folder / 'allure'}", env=env))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Makes a `Project` in a fresh folder."""
    with ExitStack() as stack:

        def make() -> Project:
            folder: Path = tmp_path_factory.mktemp("project")
            return Project(folder, stack.enter_context(suite(folder)).tmp)

        yield make


def test_on_a_real_opencl_driver_what_needs_no_topology_is_green_and_the_rest_says_what_it_lacks(project):
    if not opencl_is_there():
        pytest.skip("no OpenCL device")
    run = project().run("--hil-bench=opencl")
    passed = [test for test, outcome in run.outcomes().items() if outcome == "PASSED"]
    reasons = [line.partition(" × ")[2].partition(": ")[2] for line in run.summary() if line.startswith("skipped")]

    assert set(run.outcomes().values()) == {"PASSED", "SKIPPED"}
    assert len(passed) >= LEAST
    assert {need.partition(": ")[2] for reason in reasons for need in reason.split("; ")} <= NO_GPU


# --- faults ---


@pytest.fixture(scope="module")
def faulty(project):
    """Runs a few suites' tests on a machine with a fault."""

    def run(fault: str, chosen: str, *arguments) -> Finished:
        return project().run("--hil-bench=sim:macbook-pro-usb4", f"--hil-fault={fault}", "-k", chosen, *arguments)

    return run


FEW = "round_trip and (65537 or 4096)"


def only_failure(run: Finished) -> tuple[str, dict]:
    failed = {name: fact for name, fact in run.results().items() if fact["status"] != "passed"}
    assert len(failed) == 1, failed.keys()
    return next(iter(failed.items()))


def test_a_flipped_bit_fails_a_transfer_with_its_diagnosis(faulty):
    run = faulty("bit-flip:direction=D2H", FEW)
    name, facts = only_failure(run)

    assert run.code == 1
    assert run.line("injected faults:").strip() == "injected faults: bit-flip"
    assert facts["status"] == "failed"
    assert re.search(
        r"DataCorrupt: \S+ \S+ host → device → host came back wrong: bit flip: bit \d of the byte at 0x[0-9a-f]+ reads "
        r"[01] and should not( \(page \d+ \+ 0x[0-9a-f]+, 2 MiB block \d+ \+ 0x[0-9a-f]+\))? "
        r"\(1 of \d+ bytes are wrong \(\S+ %\)\)\n {4}repeat it",
        facts["statusDetails"]["message"],
    )
    assert "bit flip: bit" in run.attached(name, "corruption")


def test_a_call_that_hangs_in_virtual_time_fails_at_its_deadline_and_costs_no_real_time(faulty):
    run = faulty("call-hangs:call=synchronize", FEW)
    name, facts = only_failure(run)
    message = facts["statusDetails"]["message"]

    assert facts["status"] == "failed"
    assert re.search(
        rf"DeviceHung: transfer:round_trip on {MAC} did not come back by its deadline of 60 s; it hangs in driver call "
        r"synchronize\. Its process \d+ was killed\.",
        message,
    )
    assert "round_trip (" in message.splitlines()[-1]
    assert facts["stop"] - facts["start"] < 10_000  # milliseconds
    assert f"after {name}: well again by reopen" in run.line("recovery")


def test_a_hang_without_a_process_of_its_own_is_broken_off_by_the_machine(faulty):
    run = faulty("call-hangs:call=synchronize", FEW, "--hil-inline")
    _, facts = only_failure(run)

    assert (
        "did not come back by its deadline of 60 s; it hangs in driver call synchronize; the machine hung up"
        in (facts["statusDetails"]["message"])
    )


def test_a_cable_that_comes_loose_is_device_gone_and_the_ladder_plugs_it_in(faulty):
    run = faulty("surprise-removal", FEW)
    name, facts = only_failure(run)

    assert facts["status"] == "failed"
    assert facts["statusDetails"]["message"].startswith("hil.errors.DeviceGone: ")
    assert "DEVICE_LOST" in facts["statusDetails"]["message"]
    assert "Traceback" not in facts["statusDetails"]["message"]
    assert "round_trip" in run.attached(name, "device process: traceback")
    assert f"after {name}: well again by replug" in run.line("recovery")
