"""The simulated machine's memory: costs what was touched, is given back, and is never anybody's twice."""

from __future__ import annotations

import gc
import mmap
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.sim import memory
from hil.sim.memory import BLOCK, Heap, SharedMemory, unlinked

MIB = 1 << 20
CARD = 48 << 30
PAGE = 4096


def backed(shared: SharedMemory) -> int:
    """Bytes that it really costs."""
    return os.fstat(shared.descriptor).st_blocks * 512


def open_descriptors() -> set[Path]:
    gc.collect()
    return set(Path("/dev/fd").iterdir())


@pytest.fixture
def card():
    shared = SharedMemory(CARD)
    yield shared
    shared.close()


def test_a_card_of_48_gib_costs_what_was_touched(card):
    assert backed(card) == 0

    card.write(CARD - MIB, b"\1" * MIB)

    assert MIB <= backed(card) <= BLOCK
    assert bytes(card.view[CARD - MIB : CARD - MIB + 4]) == b"\1\1\1\1"
    assert bytes(card.view[CARD // 2 : CARD // 2 + 4]) == bytes(4)


def test_who_is_given_the_descriptor_sees_the_same_bytes(card):
    card.write(10, b"there")
    with mmap.mmap(card.descriptor, PAGE) as other:
        other[20:24] = b"back"

        assert other[10:15] == b"there"
    assert bytes(card.view[20:24]) == b"back"


def test_cleared_memory_reads_zero_and_the_rest_stays(card):
    card.write(0, b"\1" * (3 * BLOCK))

    card.clear(BLOCK - PAGE, BLOCK)

    assert set(card.view[: BLOCK - PAGE]) == {1}
    assert set(card.view[BLOCK - PAGE : 2 * BLOCK - PAGE]) == {0}
    assert set(card.view[2 * BLOCK - PAGE : 3 * BLOCK]) == {1}


def test_bytes_written_after_clearing_are_cleared_again(card):
    for _ in range(2):
        card.write(0, b"\1" * BLOCK)
        card.clear(0, BLOCK)
        assert set(card.view[:BLOCK]) == {0}


def test_a_little_memory_is_kept_for_the_next_owner_and_more_is_given_back(card, monkeypatch):
    monkeypatch.setattr(memory, "KEPT_BYTES", 4 * BLOCK)
    card.write(0, b"\1" * (4 * BLOCK))
    card.clear(0, 4 * BLOCK)
    assert backed(card) == 4 * BLOCK

    card.write(4 * BLOCK, b"\1" * (4 * BLOCK))
    card.write(0, b"\1" * PAGE)
    card.clear(0, CARD)

    assert backed(card) <= 4 * BLOCK
    assert set(card.view[: 8 * BLOCK]) == {0}


def test_clearing_a_whole_card_touches_nothing_that_was_not_written(card):
    card.write(CARD // 2, b"\1")

    card.clear(0, CARD)

    assert backed(card) <= BLOCK


def test_without_a_way_to_give_pages_back_memory_is_wiped(card, monkeypatch):
    monkeypatch.setattr(memory, "KEPT_BYTES", 0)
    monkeypatch.delattr(mmap, "MADV_REMOVE", raising=False)
    card.write(0, b"\1" * BLOCK)

    card.clear(0, CARD)

    assert set(card.view[:BLOCK]) == {0}


def test_closing_gives_the_memory_and_its_descriptors_back():
    before = open_descriptors()
    shared = SharedMemory(MIB)
    assert open_descriptors() > before

    shared.close()

    assert open_descriptors() == before


def test_memory_that_nobody_holds_any_more_is_given_back():
    before = open_descriptors()
    shared = SharedMemory(MIB)
    del shared

    assert open_descriptors() == before


@pytest.mark.parametrize("size", [1 << 62, 1 << 64])
def test_more_than_there_can_be_is_refused_and_leaves_nothing_behind(size):
    before = open_descriptors()

    with pytest.raises((OSError, OverflowError)):
        SharedMemory(size)

    assert open_descriptors() == before


def test_where_there_is_no_memfd_an_unlinked_object_does(monkeypatch):
    pytest.importorskip("_posixshmem")
    monkeypatch.delattr(os, "memfd_create", raising=False)

    shared = SharedMemory(MIB)
    shared.write(0, b"there")

    assert bytes(shared.view[:5]) == b"there"
    assert list(Path("/dev/shm").glob(f"hil-{os.getpid()}-*")) == []
    shared.close()


def test_two_unlinked_objects_are_apart():
    pytest.importorskip("_posixshmem")
    first, second = unlinked(), unlinked()
    try:
        os.ftruncate(first, PAGE)
        assert os.fstat(second).st_size == 0
    finally:
        os.close(first)
        os.close(second)


# The heap

SIZE, RESERVED = 64 * MIB, 4 * MIB


def test_an_allocation_is_rounded_up_and_lies_behind_what_is_reserved():
    heap = Heap(SIZE, reserved=RESERVED)

    address = heap.allocate(1)

    assert address == RESERVED
    assert heap.taken[address] == Heap.GRANULE
    assert heap.free_bytes == SIZE - RESERVED - Heap.GRANULE


def test_all_free_memory_can_be_had_at_once_and_not_a_byte_more():
    heap = Heap(SIZE, reserved=RESERVED)

    assert heap.allocate(SIZE - RESERVED + 1) is None
    assert heap.allocate(SIZE - RESERVED) is not None
    assert heap.free_bytes == 0
    assert heap.allocate(1) is None


def test_what_is_not_allocated_cannot_be_freed():
    heap = Heap(SIZE)
    address = heap.allocate(1)
    heap.release(address)

    with pytest.raises(KeyError):
        heap.release(address)
    with pytest.raises(KeyError):
        heap.release(Heap.GRANULE)


def test_scattered_memory_refuses_what_the_sum_would_hold():
    heap = Heap(4 * Heap.GRANULE)
    kept = [heap.allocate(Heap.GRANULE) for _ in range(4)]
    heap.release(kept[0])
    heap.release(kept[2])

    assert heap.free_bytes == 2 * Heap.GRANULE
    assert heap.allocate(2 * Heap.GRANULE) is None

    heap.release(kept[1])
    assert heap.allocate(3 * Heap.GRANULE) == kept[0]


STEPS = st.lists(st.one_of(st.integers(1, 9 * MIB), st.floats(0, 0.999)), max_size=60)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_allocations_never_overlap_and_freed_ones_grow_together(steps):
    heap = Heap(SIZE, reserved=RESERVED)
    live: list[int] = []
    for step in steps:
        if isinstance(step, int):
            address = heap.allocate(step)
            if address is not None:
                assert heap.taken[address] >= step
                live.append(address)
        elif live:
            heap.release(live.pop(int(step * len(live))))
        ranges = sorted((start, start + length) for start, length in heap.taken.items())
        assert sorted(live) == [start for start, _ in ranges]
        assert all(end <= start for (_, end), (start, _) in pairwise(ranges))
        assert all(start >= RESERVED and end <= SIZE for start, end in ranges)
        assert heap.free_bytes == SIZE - RESERVED - sum(heap.taken.values())

    for address in live:
        heap.release(address)

    assert heap.allocate(SIZE - RESERVED) == RESERVED
