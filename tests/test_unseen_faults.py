"""What no fault of the catalogue does is seen all the same, and by the test that was written for it."""

from __future__ import annotations

import pytest
from pytest_runs import with_foreign_fault

pytestmark = pytest.mark.slow  # whole runs of pytest
ONE, TWO = "sim:macbook-pro-usb4", "sim:linux-two-enclosures"


@pytest.mark.parametrize(
    ("fault", "test", "bench", "words"),
    [
        ("DeviceClockSlow", "driver/test_errors.py", ONE, "device's events say 0.9 s, the host's clock 1 s"),
        ("HostClockFast", "driver/test_errors.py", ONE, "device's events say 1 s, the host's clock 1.1 s"),
        ("LongMovesCutOff", "transfer/test_round_trip.py", ONE, "the transfer stopped after 6 MiB"),
        ("StagingWraps", "transfer/test_round_trip.py", ONE, "the transfer stopped after 32 MiB"),
        ("RowsCounted", "transfer/test_pitched.py", ONE, "4099 rows of 24 B"),
        ("CopyStalls", "throughput/test_bandwidth.py", ONE, "slowest copy is 0.02"),
        ("SlowToWake", "throughput/test_first_copy.py", ONE, "first copy after idle is 0.90"),
        ("WearyUnderLoad", "driver/test_limits.py", ONE, "data after copies for 0.4 s: bit flip"),
        ("CardsMixed", "transfer/test_streams.py", TWO, "copies up and down, all of them at once"),
        ("SpoiledByNeighbour", "driver/test_topology.py", TWO, "copies up and down, while this one was pulled"),
    ],
)
def test_a_fault_that_nobody_has_thought_of_fails_a_test(fault, test, bench, words):
    done = with_foreign_fault("foreign_copies", fault, f"suites/{test}", f"--hil-bench={bench}")

    assert done.code == 1
    assert words in done.line("E  "), done.out
