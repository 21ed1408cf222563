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
        if call.name == "alloc" and call.gpu == 0 and call.arguments[0] == 65432:
            self.site.log("BUG: kernel NULL pointer dereference, address: 0000000000000008")

    def on_reset(self, plan):
        self.site.count_error(0, "BadTLP", 50)
        self.site.count_error(0, "UnsupReq")
        for number in (45, 62) if self.now_wrong else (45, 119):
            self.site.log(f"NVRM: Xid (PCI:0000:04:00): {number}, pid=1, by itself")
        if self.now_wrong:
            self.site.count_error(0, "MalfTLP")
        self.now_wrong = True

    now_wrong = False
'''
STUCK = '''
"""NVML that stops to answer once an allocation of a certain size was made."""

from hil.sim.faults.base import NEVER, Fault

class Stuck(Fault):
    name = "stuck"
    domain = "driver"
    story = "The driver waits for a lock that nobody gives back."
    seen_by = "driver"
    wanted = False

    def on_driver_call(self, call):
        self.wanted |= call.name == "alloc" and call.arguments[0] == 12345

    def on_nvml(self, function, answer):
        if self.wanted and function == "FUNCTION":
            answer["seconds"] = NEVER
        return answer
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

    @pytest.mark.provokes("errors, not a kernel that breaks")
    def test_breaks_the_kernel(device):
        device.call("memory:cycle", nbytes=65432, cycles=1)

    def test_resets(reset):
        reset()

    def test_resets_and_goes_wrong(reset):
        reset()
"""
TESTS_OF_A_HANG = """
    def test_well(device):
        device.process()

    def test_hangs(device):
        device.call("memory:cycle", nbytes=12345, cycles=1)

    def test_after_it(device):
        device.process()

    def test_long_after_it(device):
        device.process()
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

    failing = (
        "counts",
        "counts_and_fails",
        "logs",
        "counts_and_is_killed",
        "narrows",
        "breaks_the_kernel",
        "resets_and_goes_wrong",
    )
    assert messages.keys() == {f"test_{name}" for name in failing}
    assert "hil.errors.LinkFault" in messages["test_counts"]
    assert re.search(r"its link \(0000:04:00.0\) counted \d+ corrected errors \(BadTLP \d+\)", messages["test_counts"])
    assert messages["test_counts_and_fails"] == "Failed: by itself"
    assert "became narrower: 40 Gb/s (2 × 20) before, 20 Gb/s (1 × 20) now" in messages["test_narrows"]
    assert "hil.errors.DriverError" in messages["test_logs"]
    assert "ran the driver logged Xid 31 at 0000:04:00: pid=1, MMU fault" in messages["test_logs"]
    assert "ran the kernel logged: BUG: kernel NULL pointer deref" in messages["test_breaks_the_kernel"]
    assert re.search(
        r"ran the driver logged Xid 62 [^;]*; the GPU's own end of its link \(0000:04:00.0\) counted 1 uncorrectable "
        r"error \(fatal MalfTLP\), expected none(\n|$)",
        messages["test_resets_and_goes_wrong"],
    )


def test_a_killed_client_is_a_reason_and_no_finding_of_the_links(run):
    message = run.results()[f"test_counts_and_is_killed[{CARD}]"]["statusDetails"]["message"]

    assert "was well before this test and is not after it" in message


def test_what_moved_is_attached_whatever_became_of_the_test(run):
    texts = [path.read_text() for path in (run.folder / "allure").glob("*-attachment.txt")]

    # Each test that copies makes buffers of a size of its own; and two reset.
    assert sum("0000:04:00.0 correctable BadTLP: " in text for text in texts) == 6


LIMITED = """
name = "limited"
[host]
kind = "simulated"
profile = "linux-two-enclosures"
[limits]
temperature_c = 99
"""


@pytest.mark.parametrize(
    ("function", "operation"),
    [("nvmlDeviceGetPcieReplayCounter", "window_turn"), ("nvmlDeviceGetTemperature", "telemetry")],
)
def test_a_reading_that_hangs_fails_the_test_around_which_it_was_and_no_other(tmp_path, function, operation):
    with suite(tmp_path) as made:
        made.write(test_hang=TESTS_OF_A_HANG)
        (made.folder / "stuck.py").write_text(STUCK.replace("FUNCTION", function))
        (made.folder / "limited.toml").write_text(LIMITED)
        done = made.run("--hil-bench=limited.toml", f"--hil-device={CARD}", "--hil-fault=stuck.py:Stuck", allure=True)
        assert made.left_over() == []
    failed = {name.partition("[")[0]: facts for name, facts in done.results().items() if facts["status"] != "passed"}

    assert failed.keys() == {"test_hangs"}
    assert failed["test_hangs"]["status"] == "failed"
    assert re.search(
        rf"DeviceHung: \S*{operation} on the host did not come back by its deadline of 60 s; it hangs in .*{function}",
        failed["test_hangs"]["statusDetails"]["message"],
    )
    assert "were not read around every test" in done.out
