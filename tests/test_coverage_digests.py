"""What a measurement was made with: the same for any part of the catalogue, another with what is not in it."""

from __future__ import annotations

from hil.cli.coverage import catalogue, digests

MINE = """
from hil.sim.faults.base import Fault

class Mine(Fault):
    name, domain, story, seen_by = "mine", "link", "It is mine.", "driver"
"""


def test_a_part_of_the_catalogue_is_measured_with_the_same():
    whole = digests.faults(catalogue.chosen(()))

    assert digests.faults(catalogue.chosen(["bit-flip"])) == whole
    assert digests.faults(catalogue.chosen(["call-hangs", "bit-flip:bits=2"])) == whole


def test_a_fault_of_ones_own_counts_with_what_it_says(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    mine = catalogue.chosen([f"{file}:Mine"])

    first = digests.faults(mine)
    file.write_text(f"{MINE}    shows_as = 'mine'\n")

    assert len({digests.faults(mine), first, digests.faults(catalogue.chosen(()))}) == 3
