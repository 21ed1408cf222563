"""Copies, each larger than the one before, each alone under a watchdog."""

from __future__ import annotations

import pytest

from hil.fixtures.calls import Calls
from hil.model import GIB, KIB, MIB, Direction, size_text

pytestmark = pytest.mark.severity("critical")
RUNGS = [4, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB, 16 * MIB, 64 * MIB, GIB // 4]


@pytest.mark.parametrize("nbytes", RUNGS, ids=map(size_text, RUNGS))
@pytest.mark.parametrize("direction", [Direction.H2D.value, Direction.D2H.value])
def test_a_copy_comes_back_and_is_true(calls: Calls, direction: str, nbytes: int) -> None:
    """One copy, one direction, two seconds and its share of a slow link; 33 places of it are looked at.

    "nvidia-smi is fine, the first copy locks the machine" is a report of many owners: small copies go by way of
    registers, larger ones by DMA. The first rung that hangs tells where the path changes; the device is probed after
    each.
    """
    calls.rung(Direction(direction), nbytes)
