"""Copies within one buffer whose source and destination overlap."""

from __future__ import annotations

import pytest

from hil.fixtures.copies import Copies
from hil.model import KIB, MIB

pytestmark = pytest.mark.severity("blocker")


@pytest.mark.parametrize("shift", [1, -1, 4 * KIB + 3, -4 * KIB - 3, 2 * MIB, -2 * MIB])
def test_an_overlapping_copy_is_a_memmove_or_refused(copies: Copies, shift: int) -> None:
    """5 MiB moved by a byte, a page and a chunk, up and down; or an error, and the buffer is as it was.

    Which of the two is for the driver to say (OpenCL refuses; CUDA promises nothing, and the test is skipped). A copy
    in chunks that runs in the wrong order overwrites what it has yet to read: the failure shows data *misplaced* by the
    shift, again and again.
    """
    copies.overlapping(5 * MIB + 3, shift=shift)
