"""What no fault of the catalogue does to memory is seen all the same, and by the test that was written for it."""

from __future__ import annotations

import pytest
from pytest_runs import with_foreign_fault

pytestmark = pytest.mark.slow  # whole runs of pytest


@pytest.mark.parametrize(
    ("fault", "test", "chosen", "words"),
    [
        ("MovesLeak", "driver/test_memory.py", "within and device", "leaked in 1000 cycles is 32768000 bytes"),
        ("RowsLeak", "driver/test_memory.py", "within and device", "leaked in 1000 cycles is 16384000 bytes"),
        ("FreedNotWiped", "driver/test_concurrency.py", "freed", "no page of what another process freed, seen 2048"),
        ("ReadsDisturb", "transfer/test_card.py", "reading", "below the one that is read, after 74 reads"),
        ("OnesElided", "transfer/test_round_trip.py", "ones", "in ones, sent to the device, 2 of 4 wrong"),
        ("ZerosElided", "transfer/test_round_trip.py", "zeros", "hold what was on the device before"),
        ("PageableRowsBent", "transfer/test_pitched.py", "pageable", "D2H of 128 rows of 16 KiB"),
        ("AllocationsDisturb", "transfer/test_streams.py", "allocations", "amid allocations came back wrong: bit flip"),
        ("AllocationsClearBelow", "transfer/test_streams.py", "allocations", "in memory that was held and not copied"),
        ("LateStaging", "transfer/test_after.py", "attach", "copies H2D, pageable came back wrong"),
        ("LateStaging", "transfer/test_after.py", "sleep", "copies H2D, pageable came back wrong"),
        ("LateTables", "transfer/test_after.py", "reset", "copies D2D, pinned came back wrong"),
    ],
)
def test_a_fault_of_memory_that_nobody_has_thought_of_fails_a_test(fault, test, chosen, words):
    done = with_foreign_fault(
        "foreign_memory", fault, f"suites/{test}", "-k", chosen, "--hil-bench=sim:macbook-pro-usb4"
    )

    assert done.code == 1
    assert words in done.out, done.out
