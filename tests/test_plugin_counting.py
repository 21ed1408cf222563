"""Error counters and kernel log around every test: what moved fails a test that passed, unless it was provoked."""

from __future__ import annotations

import re

import pytest
from pytest_runs import suite

pytestmark = pytest.mark.slow  # a whole run of pytest in processes of its own
CARD = "rtx-6000-ada-egpu-node-titan"
NOISY = '''
"""A link that counts errors, and a driver that complains, at every question of a certain kind."""

from hil.sim.faults.base import Fault

class Noisy(Fault):
    name = "noisy"
    domain = "pcie"
    story = "A marginal cable."
    seen_by = "driver"

    def on_driver_call(self, call):
        if call.name == "host_alloc" and call.gpu == 0:
            self.site.count_error(0, "BadTLP", 5)
        if call.name == "alloc" and call.gpu == 0 and call.arguments[0] == 12345:
            self.site.log("NVRM: Xid (PCI:0000:04:00): 31, pid=1, MMU fault")
        if call.name == "alloc" and call.gpu == 0 and call.arguments[0] == 54321:
            self.site.retrain(0, lanes=1)
'''
TESTS = """
    import pytest

    def test_quiet(device):
        device.process()

    def test_counts(device):
        device.call("transfer:round_trip", nbytes=64, epoch=1)

    def test_quiet_again(device):
        device.process()

    @pytest.mark.provokes("errors on purpose")
    def test_counts_on_purpose(device):
        device.call("transfer:round_trip", nbytes=100000, epoch=2)

    def test_counts_and_is_killed(device):
        device.call("transfer:round_trip", nbytes=1000000, epoch=2)
        device.kill()

    def test_counts_and_fails(device):
        device.call("transfer:round_trip", nbytes=2000000, epoch=2)
        pytest.fail("by itself")

    def test_logs(device):
        device.call("memory:cycle", nbytes=12345, cycles=1)

    @pytest.mark.provokes("errors, not what becomes of the link")
    def test_narrows(device):
        device.call("memory:cycle", nbytes=54321, cycles=1)
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with suite(tmp_path_factory.mktemp("counting")) as made:
        made.write(test_counting=TESTS)
        (made.folder / "noisy.py").write_text(NOISY)
        done = made.run(
            "--hil-bench=sim:linux-two-enclosures", f"--hil-device={CARD}", "--hil-fault=noisy.py:Noisy", allure=True
        )
        assert made.left_over() == []
        return done


def test_what_moved_fails_the_test_in_which_it_moved_and_no_other(run):
    failed = {name: facts for name, facts in run.results().items() if facts["status"] != "passed"}
    messages = {name.partition("[")[0]: facts["statusDetails"]["message"] for name, facts in failed.items()}

    failing = ("counts", "counts_and_fails", "logs", "counts_and_is_killed", "narrows")
    assert messages.keys() == {f"test_{name}" for name in failing}
    assert "hil.errors.LinkFault" in messages["test_counts"]
    assert re.search(r"its link \(0000:04:00.0\) counted \d+ corrected errors \(BadTLP \d+\)", messages["test_counts"])
    assert messages["test_counts_and_fails"] == "Failed: by itself"
    assert "became narrower: 40 Gb/s (2 × 20) before, 20 Gb/s (1 × 20) now" in messages["test_narrows"]
    assert "hil.errors.DriverError" in messages["test_logs"]
    assert "logged Xid 31 at 0000:04:00: pid=1, MMU fault" in messages["test_logs"]


def test_a_killed_client_is_a_reason_and_no_finding_of_the_links(run):
    message = run.results()[f"test_counts_and_is_killed[{CARD}]"]["statusDetails"]["message"]

    assert "was well before this test and is not after it" in message


def test_what_moved_is_attached_whatever_became_of_the_test(run):
    texts = [path.read_text() for path in (run.folder / "allure").glob("*-attachment.txt")]

    # Each test that copies makes buffers of a size of its own.
    assert sum("0000:04:00.0 correctable BadTLP: " in text for text in texts) == 4
