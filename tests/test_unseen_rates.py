"""Rates that no fault of the catalogue spoils are held to something all the same, and the message says what is slow."""

from __future__ import annotations

import pytest
from pytest_runs import with_foreign_fault

pytestmark = pytest.mark.slow  # whole runs of pytest
ONE, TWO = "sim:macbook-pro-usb4", "sim:linux-two-enclosures"
GPU = "rtx-4080-ut4g-dock"


@pytest.mark.parametrize(
    ("fault", "test", "chosen", "bench", "words"),
    [
        ("MovesOverTheBridge", "bandwidth", "within_the_device", ONE, f"D2D of {GPU} is 3.575 GB/s; expected ≥ 20"),
        ("MovesToldLate", "bandwidth", "stalls and D2D", ONE, f"D2D of {GPU}, slowest copy is 0.5 s"),
        ("MovesToldLate", "sizes", "resident", ONE, "a copy stalled, or waited for the host"),
        ("StagingUncached", "pinning", "staging", ONE, f"H2D of {GPU} from pageable memory is 0.09"),
        ("RowsOneByOne", "bandwidth", "rows", ONE, f"H2D of {GPU} in rows is 0.067 GB/s"),
        ("LinesOneByOne", "bandwidth", "odd", ONE, f"H2D of {GPU} at an odd address is 0.33"),
        ("OneAtATime", "at_once", "H2D", TWO, "copied is 1.2"),
        ("SlowDownAfterReset", "after", "reset", ONE, f"D2H of {GPU} after a reset by default: 1.52 GB/s is below"),
        ("SlowDownAfterWake", "after", "sleep", ONE, f"D2H of {GPU} after a sleep: 1.52 GB/s is below"),
        ("SlowDownAfterAttach", "after", "replug", ONE, f"D2H of {GPU} after a re-plug: 1.52 GB/s is below"),
    ],
)
def test_a_rate_that_nobody_has_thought_of_fails_a_test(fault, test, chosen, bench, words):
    done = with_foreign_fault(
        "foreign_rates", fault, f"suites/throughput/test_{test}.py", "-k", chosen, f"--hil-bench={bench}"
    )

    assert done.code == 1
    assert words in done.line("E  "), done.out
