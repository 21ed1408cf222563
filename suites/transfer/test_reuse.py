"""Buffers that are used again: no old data come back, and what is reported as done has landed."""

from __future__ import annotations

import pytest

from hil.fixtures.copies import Copies
from hil.model import KIB, MIB

pytestmark = pytest.mark.severity("blocker")


@pytest.mark.quick
@pytest.mark.parametrize("nbytes", [512, 64 * KIB, 4 * MIB])
def test_one_buffer_back_to_back_never_shows_old_data(copies: Copies, nbytes: int) -> None:
    """Eight times other data through the same buffers; each is looked at in the moment its copy is said to be done.

    *Stale* in a failure names the turn whose data came back: a cache that was not flushed or invalidated, or a copy
    that began before its source was there. Found intact at a later look: the completion overtook the data.
    """
    copies.back_to_back(nbytes, times=8)


@pytest.mark.parametrize("nbytes", [64 * KIB, 4 * MIB + 1])
def test_one_pageable_buffer_back_to_back_never_shows_old_data(copies: Copies, nbytes: int) -> None:
    """The same from pageable memory: here it is the driver's own staging buffer that is used again.

    The source is overwritten as soon as the upload is said to be done: a driver that has not read it by then sends the
    next turn's data.
    """
    copies.back_to_back(nbytes, times=4, pinned=False)


def test_copies_in_one_stream_do_not_overtake_each_other(copies: Copies) -> None:
    """Eight buffers through one buffer of the device, each moved on within the device, with no wait in between.

    A stream promises order also between copy engines. A failure names the buffer that overtook: a missing semaphore
    between the engine of the link and that of the memory.
    """
    copies.relay(2 * MIB + 64 * KIB, turns=8)


@pytest.mark.parametrize("nbytes", [64 * KIB, 2 * MIB])
def test_nobody_writes_to_retired_or_freed_memory(copies: Copies, nbytes: int) -> None:
    """Host buffers whose copies are done, and device memory that was freed and given out again, serve as canaries.

    A failure names the canary and whose data is in it: a write that went on behind its completion, a mapping that
    outlived its buffer, or memory that was given out twice.
    """
    copies.canaries(nbytes, buffers=8)
