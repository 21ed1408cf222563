"""What stays wrong after a sleep, a reset or a revocation is seen where it began, and so are answers that are wrong."""

from __future__ import annotations

import pytest
from pytest_runs import with_foreign_fault

pytestmark = pytest.mark.slow  # whole runs of pytest
MAC, LINUX = "sim:macbook-pro-usb4", "sim:linux-two-enclosures"


@pytest.mark.parametrize(
    ("fault", "test", "chosen", "bench", "words"),
    [
        ("CardSlowAfterWake", "sleep", "own_link", MAC, "expected 16 GT/s x4 as before the sleep, seen 8 GT/s x4"),
        ("ErrorsAfterWake", "sleep", "own_link", LINUX, "corrected errors (BadTLP"),
        ("LaterWakesLate", "sleep", "sleep_after_sleep", MAC, "wake 2 is 5"),
        ("TransmitsOnOneLane", "link", "declared", LINUX, "is 20 Gb/s (1 × 20), expected at least 40 Gb/s"),
        ("Contained", "link", "no_link_errors", LINUX, "bridge 0000:00:07.0 counted 1 uncorrectable error (fatal DPC)"),
        ("NobodyCared", "link", "no_link_errors", LINUX, "the kernel logged: irq 145: nobody cared"),
        ("AudioDeafAfterReset", "reset", "as_it_was", LINUX, "COMMAND of function .1: expected 0x6, seen 0x0"),
        ("LimitAfterRescan", "removal", "nothing_open and remove]", LINUX, "power limit w: expected 320.0, seen 160.0"),
        ("WindowReadsStale", "write_ladder", "256", MAC, "written through BAR 1, read back through it: "),
        ("CodesMixed", "refusals", "past", MAC, "told as out of memory"),
        ("OpensDrag:seed=5", "client_death", "again_and_again", MAC, "seen one of 4 s"),
        ("EventsLostAfterGrant", "removal", "announces", LINUX, "expected the host to announce add of pci 0000:"),
    ],
)
def test_what_stays_wrong_is_seen_where_it_began(fault, test, chosen, bench, words):
    done = with_foreign_fault(
        "foreign_states", fault, f"suites/driver/test_{test}.py", "-k", chosen, f"--hil-bench={bench}"
    )

    assert done.code == 1, done.out
    assert words in done.out
