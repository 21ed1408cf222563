"""The reference driver, through its copy engine and over its wire: bytes move, time is shared, errors have numbers."""

from __future__ import annotations

import gc
import json
import math
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sim_rig import GPUS, MIB, Rig, Task, until

from hil.copy.simulated import SimulatedEngine
from hil.errors import BenchFault, DeviceGone, DeviceHung, DriverError, OutOfMemory
from hil.hosts.wires.driver import ALL_STREAMS, Call, Status, Way
from hil.sim import driver
from hil.sim.faults.base import Chunk, Completion, DriverCall, Fault, Site, Trigger
from hil.sim.transfers import PAGEABLE_FACTOR, PAGEABLE_LATENCY

H2D, D2H, VRAM = 2e9, 4e9, 50e9
"""bytes/s of `round_numbers`; a copy within the card reads and writes."""
LATENCY = 10e-6


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.close()


@pytest.fixture
def engine(rig: Rig) -> SimulatedEngine:
    return rig.engine()


def pattern(nbytes: int, seed: int = 1) -> bytes:
    return bytes((i * 7 + i // 251 + seed) % 256 for i in range(min(nbytes, 1 << 16))) * -(-nbytes // (1 << 16))


def spent(rig: Rig, engine: SimulatedEngine) -> float:
    """Seconds of the machine's clock until all copies are done."""
    start = rig.machine.clock.now()
    engine.synchronize()
    return rig.machine.clock.now() - start


# Bytes


def test_bytes_go_there_across_and_back(engine):
    nbytes = 5 * MIB + 123
    sent, received = engine.host_alloc(nbytes), engine.host_alloc(nbytes)
    first, second = engine.alloc(nbytes), engine.alloc(nbytes)
    sent.view[:] = pattern(nbytes)[:nbytes]

    engine.upload(first, sent, nbytes)
    engine.move(second, first, nbytes)
    engine.download(received, second, nbytes)
    engine.synchronize()

    assert received.view == sent.view


def test_offsets_on_both_sides_are_kept_and_nothing_beside_is_touched(engine):
    host, there, elsewhere = engine.host_alloc(4096), engine.alloc(4096), engine.alloc(4096)
    host.view[:] = b"." * 4096
    host.view[100:105] = b"there"

    engine.upload(there, host, 5, src_offset=100, dst_offset=1000)
    engine.move(elsewhere, there, 5, src_offset=1000, dst_offset=2000)
    engine.download(host, elsewhere, 7, src_offset=1999, dst_offset=200)
    engine.synchronize()

    assert bytes(host.view[198:210]) == b"..\0there\0..."
    assert bytes(host.view[95:110]) == b".....there....."


def test_a_pitched_copy_moves_rows(rig):
    wire = rig.wire(gpu=0)
    handle = wire.ok(Call.HOST_ALLOC, 64, 1)[0]
    with mmap.mmap(wire.descriptors[0], 64) as host:
        os.close(wire.descriptors[0])
        address = wire.ok(Call.ALLOC, 64)[0]
        host[:] = bytes(range(64))
        wire.ok(Call.COPY, Way.H2D, 0, handle, 1, address, 2, 4, 3, 16, 8)
        wire.ok(Call.SYNCHRONIZE, 0)
        host[:] = b"." * 64
        wire.ok(Call.COPY, Way.D2H, 0, address, 0, handle, 0, 24, 1, 0, 0)
        wire.ok(Call.SYNCHRONIZE, 0)

        rows = [bytes([n, n + 1, n + 2, n + 3]) for n in (1, 17, 33)]
        assert host[:26] == bytes(2) + bytes(4).join(rows) + bytes(2) + b".."


def test_copies_of_no_bytes_complete(rig, engine):
    host, there = engine.host_alloc(1), engine.alloc(1)
    engine.upload(there, host, 0)

    assert spent(rig, engine) == pytest.approx(LATENCY)

    wire = rig.wire(gpu=0)
    (address, *_) = wire.ok(Call.ALLOC, 1)
    wire.ok(Call.COPY, Way.D2D, 0, address, 0, address, 0, 0, 1 << 60, 0, 0)
    wire.ok(Call.COPY, Way.D2D, 0, address, 0, address, 0, 16, 0, 0, 0)
    wire.ok(Call.SYNCHRONIZE, 0)


def test_a_new_allocation_shows_nothing_of_its_last_owner(engine):
    host = engine.host_alloc(MIB)
    host.view[:] = b"\xaa" * MIB
    first = engine.alloc(MIB)
    engine.upload(first, host, MIB)
    engine.synchronize()
    engine.free(first)

    second = engine.alloc(MIB)
    engine.download(host, second, MIB)
    engine.synchronize()

    assert second.address == first.address
    assert set(host.view) == {0}


def test_another_client_has_memory_of_its_own(rig, engine):
    other = rig.engine()
    mine, theirs = engine.alloc(4096), other.alloc(4096)
    host = engine.host_alloc(4096)
    host.view[:] = b"\1" * 4096
    engine.upload(mine, host, 4096)
    engine.synchronize()

    assert mine.address != theirs.address
    with pytest.raises(DriverError) as refused:
        other.free(mine)
    assert refused.value.code == Status.INVALID_ADDRESS
    received = other.host_alloc(4096)
    other.download(received, theirs, 4096)
    other.synchronize()
    assert set(received.view) == {0}


# Time


def test_a_copy_takes_its_latency_and_its_bytes(rig, engine):
    host, there, second = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB), engine.alloc(16 * MIB)
    engine.upload(there, host, 16 * MIB)
    assert spent(rig, engine) == pytest.approx(LATENCY + 16 * MIB / H2D)

    engine.download(host, there, 16 * MIB)
    assert spent(rig, engine) == pytest.approx(LATENCY + 16 * MIB / D2H)

    engine.move(second, there, 16 * MIB)
    assert spent(rig, engine) == pytest.approx(LATENCY + 16 * MIB / VRAM)


def test_pageable_memory_is_slower(rig, engine):
    host, there = engine.host_alloc(16 * MIB, pinned=False), engine.alloc(16 * MIB)
    engine.upload(there, host, 16 * MIB)

    expected = LATENCY + PAGEABLE_LATENCY + 16 * MIB / (H2D * PAGEABLE_FACTOR)
    assert spent(rig, engine) == pytest.approx(expected)


def test_submitting_takes_no_time(rig, engine):
    host, there = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB)
    engine.upload(there, host, 16 * MIB)

    assert rig.machine.clock.now() == 0.0


def test_copies_of_one_stream_run_one_after_the_other(rig, engine):
    host, there = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB)
    for _ in range(3):
        engine.upload(there, host, 16 * MIB)

    assert spent(rig, engine) == pytest.approx(3 * (LATENCY + 16 * MIB / H2D))


def test_a_copy_that_repeats_what_was_just_copied_takes_its_time_and_moves_nothing(rig, engine):
    host, there = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB)
    host.view[:] = data = pattern(16 * MIB)[: 16 * MIB]
    memory = rig.machine.gpus[0].memory
    for _ in range(3):
        engine.upload(there, host, 16 * MIB)

    before = memory.changes
    assert spent(rig, engine) == pytest.approx(3 * (LATENCY + 16 * MIB / H2D))
    assert memory.changes == before + 8
    assert bytes(memory.view[there.address : there.address + 16 * MIB]) == data


def test_data_that_changed_before_a_copy_was_handed_in_again_arrives(engine):
    host, back, there = engine.host_alloc(MIB), engine.host_alloc(MIB), engine.alloc(MIB)
    for byte in b"abc":
        host.view[:] = bytes([byte]) * MIB
        engine.upload(there, host, MIB)
        engine.synchronize()
        engine.download(back, there, MIB)
        engine.synchronize()
        assert back.view == bytes([byte]) * MIB


def test_a_repeated_copy_moves_again_what_another_has_overwritten(rig, engine):
    first, second, there = engine.host_alloc(16 * MIB), engine.host_alloc(MIB), engine.alloc(16 * MIB)
    first.view[:] = b"1" * 16 * MIB
    second.view[:] = b"2" * MIB
    for _ in range(2):
        engine.upload(there, first, 16 * MIB, stream=1)
    # A third of a millisecond after the first copy has begun, and long before the second.
    engine.upload(there, second, MIB, stream=2)
    engine.synchronize()

    memory = rig.machine.gpus[0].memory
    assert bytes(memory.view[there.address : there.address + MIB]) == b"1" * MIB


def test_two_streams_in_one_direction_share_its_bandwidth(rig, engine):
    host, there = engine.host_alloc(32 * MIB), engine.alloc(32 * MIB)
    engine.upload(there, host, 16 * MIB, stream=1)
    engine.upload(there, host, 16 * MIB, stream=2, dst_offset=16 * MIB)
    start = rig.machine.clock.now()
    engine.synchronize(1)
    first = rig.machine.clock.now() - start
    engine.synchronize(2)

    both = LATENCY + 32 * MIB / H2D
    assert rig.machine.clock.now() - start == pytest.approx(both)
    assert first > 0.9 * both  # side by side, not one behind the other


def test_a_small_copy_need_not_wait_for_a_large_one(rig, engine):
    host, there = engine.host_alloc(64 * MIB), engine.alloc(64 * MIB)
    engine.upload(there, host, 64 * MIB, stream=1)
    engine.upload(there, host, 4096, stream=2)
    start = rig.machine.clock.now()
    engine.synchronize(2)

    assert rig.machine.clock.now() - start < 2 * 2 * MIB / H2D  # a piece of the large one is on the link already


def test_both_directions_at_once_take_no_longer_than_the_slower(rig, engine):
    there, back = engine.host_alloc(16 * MIB), engine.host_alloc(16 * MIB)
    up, down = engine.alloc(16 * MIB), engine.alloc(16 * MIB)
    engine.upload(up, there, 16 * MIB, stream=1)
    engine.download(back, down, 16 * MIB, stream=2)

    assert spent(rig, engine) == pytest.approx(LATENCY + 16 * MIB / H2D)


def test_cards_on_ports_of_their_own_do_not_share(rig, engine):
    other = rig.engine("1")
    for one in (engine, other):
        one.upload(one.alloc(16 * MIB), one.host_alloc(16 * MIB), 16 * MIB)
    start = rig.machine.clock.now()
    engine.synchronize()
    other.synchronize()

    assert rig.machine.clock.now() - start == pytest.approx(LATENCY + 16 * MIB / H2D)


def test_a_card_in_a_slot_has_its_link_for_itself():
    rig = Rig("mac-pro-slot")
    slot = next(gpu for gpu in rig.machine.gpus if gpu.enclosure is None)
    engine = rig.engine(str(slot.index))
    engine.upload(engine.alloc(16 * MIB), engine.host_alloc(16 * MIB), 16 * MIB)

    assert spent(rig, engine) == pytest.approx(slot.spec.latency_us * 1e-6 + 16 * MIB / slot.spec.h2d)
    rig.close()


def test_events_tell_the_devices_time(rig, engine):
    host, there = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB)
    start = engine.record()
    engine.upload(there, host, 16 * MIB)
    end = engine.record()
    with pytest.raises(DriverError) as early:
        engine.elapsed(start, end)
    assert early.value.code == Status.NOT_READY

    engine.synchronize()

    assert engine.elapsed(start, end) == pytest.approx(LATENCY + 16 * MIB / H2D, abs=2e-9)
    with pytest.raises(DriverError) as backwards:
        engine.elapsed(end, start)
    assert backwards.value.code == Status.INVALID_VALUE


def test_the_oldest_of_very_many_events_are_forgotten(rig, monkeypatch):
    monkeypatch.setattr(driver, "MARKS", 100)
    wire = rig.wire(gpu=0)
    (first, *_) = wire.ok(Call.RECORD, 0)
    last = 0
    for _ in range(100):
        (last, *_) = wire.ok(Call.RECORD, 0)

    assert wire.status(Call.ELAPSED, last, last) == Status.OK
    assert wire.status(Call.ELAPSED, first, last) == Status.INVALID_HANDLE


# Errors


def test_every_refusal_has_its_number(rig):
    wire = rig.wire()
    assert wire.status(Call.ALLOC, 4096) == Status.NOT_OPEN
    assert wire.status(Call.OPEN, 2) == Status.NO_DEVICE
    wire.ok(Call.OPEN, 0)
    assert wire.status(Call.OPEN, 0) == Status.INVALID_VALUE
    assert wire.status(77) == Status.UNKNOWN_CALL
    assert wire.status(Call.ALLOC, 0) == Status.INVALID_VALUE
    assert wire.status(Call.ALLOC, 1 << 63) == Status.OUT_OF_MEMORY
    assert wire.status(Call.FREE, 0x1000) == Status.INVALID_ADDRESS
    assert wire.status(Call.HOST_ALLOC, 0, 1) == Status.INVALID_VALUE
    assert wire.status(Call.HOST_ALLOC, 1 << 62, 1) == Status.OUT_OF_MEMORY
    assert wire.status(Call.HOST_ALLOC, (1 << 64) - 1, 1) == Status.OUT_OF_MEMORY
    assert wire.status(Call.HOST_FREE, 5) == Status.INVALID_HANDLE
    assert wire.status(Call.ELAPSED, 5, 6) == Status.INVALID_HANDLE


def test_a_copy_outside_of_what_is_allocated_is_refused(rig):
    wire = rig.wire(gpu=0)
    (handle, *_), (address, *_) = wire.ok(Call.HOST_ALLOC, 4096, 1), wire.ok(Call.ALLOC, 4096)

    def copy(*, way: int = Way.H2D, source=(handle, 0), target=(address, 0), shape=(16, 1, 0, 0)) -> int:
        return wire.status(Call.COPY, way, 0, *source, *target, *shape)

    assert copy(way=9) == Status.INVALID_VALUE
    assert copy(source=(handle + 1, 0)) == Status.INVALID_HANDLE
    assert copy(source=(handle, 4090)) == Status.INVALID_VALUE
    assert copy(target=(address, 4090)) == Status.INVALID_ADDRESS
    assert copy(target=(address + 16, 0)) == Status.INVALID_ADDRESS
    assert copy(shape=(4097, 1, 0, 0)) == Status.INVALID_VALUE
    assert copy(shape=(16, 300, 0, 0)) == Status.INVALID_VALUE
    assert copy(shape=(16, 2, 8, 0)) == Status.INVALID_VALUE
    assert copy(shape=(16, 2, 0, 8)) == Status.INVALID_VALUE
    assert copy(shape=(16, 2, 32, 5000)) == Status.INVALID_ADDRESS
    assert copy() == Status.OK


def test_memory_ends_and_comes_back(engine):
    free, total = engine.memory()
    assert free == total == (1024 - 64) * MIB
    half = engine.alloc(total // 2)
    assert engine.memory() == (total // 2, total)

    with pytest.raises(OutOfMemory) as refused:
        engine.alloc(total // 2 + 1)

    assert refused.value.code == Status.OUT_OF_MEMORY
    assert f"{total // 2} free" in str(refused.value)
    engine.free(half)
    assert engine.memory() == (total, total)


def test_freeing_waits_for_the_copies_that_need_the_memory(rig, engine):
    host, there, idle = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB), engine.alloc(4096)
    engine.upload(there, host, 16 * MIB)
    engine.free(idle)
    assert rig.machine.clock.now() == 0.0

    engine.free(there)
    copied = rig.machine.clock.now()
    assert copied == pytest.approx(LATENCY + 16 * MIB / H2D)

    there = engine.alloc(16 * MIB)
    engine.upload(there, host, 16 * MIB)
    engine.host_free(host)
    assert rig.machine.clock.now() == pytest.approx(2 * copied)


def test_closing_frees_what_the_context_held_and_another_finds_it_free(rig, engine):
    other = rig.engine()
    before = other.memory()
    engine.host_alloc(MIB)
    engine.alloc(512 * MIB)
    engine.upload(engine.alloc(MIB), engine.host_alloc(MIB), MIB)

    engine.close()

    assert other.memory() == before
    engine.close()  # twice is no harm


def test_a_context_can_be_closed_and_opened_again(rig):
    wire = rig.wire(gpu=0)
    (address, *_) = wire.ok(Call.ALLOC, 4096)
    wire.ok(Call.CLOSE)
    assert wire.status(Call.MEMORY) == Status.NOT_OPEN

    assert wire.ok(Call.OPEN, 1)[1] == 1
    assert wire.status(Call.FREE, address) == Status.INVALID_ADDRESS


def test_a_connection_that_breaks_frees_all_it_held(rig, engine):
    before = engine.memory()
    wire = rig.wire(gpu=0)
    descriptors = len(list(Path("/dev/fd").iterdir()))
    wire.ok(Call.ALLOC, 512 * MIB)
    for _ in range(8):
        wire.ok(Call.HOST_ALLOC, MIB, 1)
        os.close(wire.descriptors[0])

    wire.sock.close()

    until(lambda: engine.memory() == before)
    until(lambda: len(list(Path("/dev/fd").iterdir())) < descriptors)


def test_a_hundred_host_buffers_leave_no_descriptor_behind(engine):
    engine.host_free(engine.host_alloc(4096))
    gc.collect()
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(100):
        engine.host_free(engine.host_alloc(4096))

    assert len(list(Path("/dev/fd").iterdir())) <= before


def test_devices_that_can_be_opened_are_told(rig):
    found = SimulatedEngine.devices(rig.host())

    assert [(device.target, device.name, device.uuid) for device in found] == [
        ("0", "Card 0", GPUS[0]),
        ("1", "Card 1", GPUS[1]),
    ]
    assert found[0] == rig.engine("0").describe()

    rig.do(rig.machine.site.remove, 0)
    assert [device.target for device in SimulatedEngine.devices(rig.host())] == ["1"]


def test_a_device_that_is_not_there_cannot_be_opened(rig):
    rig.do(rig.machine.site.remove, 1)
    host = rig.host()
    for target in ("1", "7"):
        with pytest.raises(DeviceGone) as refused:
            SimulatedEngine.open(host, target)
        assert refused.value.code == Status.NO_DEVICE


# What can be lost


def test_removal_in_the_middle_of_a_copy_is_device_lost_and_what_landed_has_landed(rig, engine):
    host, there = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB)
    host.view[:] = b"\1" * (16 * MIB)
    engine.upload(there, host, 16 * MIB)
    engine.synchronize()
    host.view[:] = b"\2" * (16 * MIB)
    engine.download(host, there, 16 * MIB)
    engine.download(host, there, 16 * MIB)
    with rig.machine.clock.lock:
        rig.machine.clock.at(LATENCY + 8.5 * MIB / D2H, lambda: rig.machine.site.remove(0))

    with pytest.raises(DeviceGone) as lost:
        engine.synchronize()

    assert lost.value.code == Status.DEVICE_LOST
    assert bytes(host.view[: 8 * MIB]) == b"\1" * (8 * MIB)
    assert bytes(host.view[8 * MIB :]) == b"\2" * (8 * MIB)
    with pytest.raises(DeviceGone):
        engine.alloc(1)
    with pytest.raises(DeviceGone):
        engine.synchronize()
    engine.close()


def test_removal_loses_all_streams_at_once_and_the_link_is_free_for_others(rig, engine):
    engine.record(stream=2)
    host, there = engine.host_alloc(16 * MIB), engine.alloc(16 * MIB)
    for stream in (1, 2, 3):
        engine.upload(there, host, 16 * MIB, stream=stream)
    with rig.machine.clock.lock:
        rig.machine.clock.at(LATENCY + 1e-3, lambda: rig.machine.site.remove(0))

    with pytest.raises(DeviceGone):
        engine.synchronize()

    assert rig.machine.clock.now() == pytest.approx(LATENCY + 1e-3)
    rig.do(rig.machine.attach, rig.machine.enclosures[0])
    rig.machine.clock.sleep("hand", 5.0)
    fresh = rig.engine()
    fresh.upload(fresh.alloc(MIB), fresh.host_alloc(MIB), MIB)
    assert spent(rig, fresh) == pytest.approx(LATENCY + MIB / H2D)


def test_after_it_came_back_an_old_context_is_lost_and_a_new_one_works(rig, engine):
    engine.alloc(MIB)
    left = rig.machine.enclosures[0]
    rig.do(rig.machine.detach, left)
    rig.machine.clock.sleep("hand", 1.0)
    rig.do(rig.machine.attach, left)
    rig.machine.clock.sleep("hand", 5.0)

    with pytest.raises(DriverError) as lost:
        engine.memory()

    assert lost.value.code == Status.CONTEXT_LOST
    assert not isinstance(lost.value, DeviceGone)
    engine.close()
    free, total = rig.engine().memory()
    assert free == total


def test_a_reset_loses_contexts_and_wipes_memory(rig, engine):
    host, there = engine.host_alloc(MIB), engine.alloc(MIB)
    host.view[:] = b"\xaa" * MIB
    engine.upload(there, host, MIB)
    engine.synchronize()
    plan = rig.do(lambda: rig.machine.reset(rig.machine.gpus[0].function, "flr", restores_config=True))
    with pytest.raises(DeviceGone):
        engine.memory()

    rig.machine.clock.sleep("hand", plan.seconds)

    with pytest.raises(DriverError) as lost:
        engine.free(there)
    assert lost.value.code == Status.CONTEXT_LOST
    fresh = rig.engine()
    host = fresh.host_alloc(MIB)
    fresh.download(host, fresh.alloc(MIB), MIB)
    fresh.synchronize()
    assert set(host.view) == {0}


def test_a_card_that_resets_does_not_disturb_the_other(rig, engine):
    other = rig.engine("1")
    there = other.alloc(MIB)
    rig.do(lambda: rig.machine.reset(rig.machine.gpus[0].function, "flr", restores_config=True))

    other.upload(there, other.host_alloc(MIB), MIB)
    other.synchronize()


# What only a fault brings about


class Script(Fault):
    """Does at driver calls, pieces and completions what a test says."""

    name, domain, story, seen_by = "script", "driver", "a test", "driver"

    def __init__(self, site: Site, **hooks: object) -> None:
        super().__init__(Trigger(), site)
        self.hooks = hooks

    def on_driver_call(self, call: DriverCall) -> None:
        if call.name in self.hooks:
            self.hooks[call.name](call)

    def on_chunk(self, chunk: Chunk) -> tuple[Chunk, ...]:
        return self.hooks.get("chunk", lambda chunk: (chunk,))(chunk)

    def on_vram_write(self, gpu: int, address: int, data: bytes) -> bytes:
        self.hooks.get("vram_write", lambda _: None)(self.site)
        return data

    def on_completion(self, completion: Completion) -> None:
        self.hooks.get("completion", lambda _: None)(completion)


@pytest.fixture
def scripted() -> Iterator[object]:
    rigs = []

    def start(**hooks: object) -> Rig:
        rigs.append(Rig(None, lambda site: Script(site, **hooks)))
        return rigs[-1]

    yield start
    for rig in rigs:
        rig.close()


def answer(status: int) -> object:
    def act(call: DriverCall) -> None:
        call.status = status

    return act


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (Status.TRANSFER_FAILED, DriverError, "TRANSFER_FAILED (11)"),
        (Status.OUT_OF_MEMORY, OutOfMemory, "OUT_OF_MEMORY (2)"),
        (Status.DEVICE_LOST, DeviceGone, "DEVICE_LOST (5)"),
        (719, DriverError, "code (719)"),
    ],
)
def test_a_code_comes_out_as_its_error_known_or_not(scripted, status, kind, words):
    engine = scripted(alloc=answer(status)).engine()

    with pytest.raises(kind) as refused:
        engine.alloc(4096)

    assert refused.value.code == status
    assert refused.value.operation == "driver call alloc"
    assert words in str(refused.value)


def test_a_call_that_is_answered_without_acting_does_nothing(scripted):
    engine = scripted(copy=answer(0)).engine()
    host, there = engine.host_alloc(16), engine.alloc(16)
    host.view[:] = b"\1" * 16
    engine.upload(there, host, 16)
    engine.download(host, there, 16)
    engine.synchronize()

    assert set(host.view) == {1}


@pytest.mark.parametrize(("call", "words"), [("open", "open answered OK"), ("host_alloc", "without memory")])
def test_an_empty_answer_is_an_error_of_the_driver(scripted, call, words):
    rig = scripted(**{call: answer(0)})

    with pytest.raises(DriverError, match=words):
        rig.engine().host_alloc(16)


def test_a_failed_copy_is_told_once_at_the_next_synchronize(scripted):
    def fail(completion: Completion) -> None:
        completion.status = Status.TRANSFER_FAILED if completion.copy == 1 else 0

    engine = scripted(completion=fail).engine()
    host, there = engine.host_alloc(16), engine.alloc(16)
    engine.upload(there, host, 16)
    engine.upload(there, host, 16)

    with pytest.raises(DriverError) as failed:
        engine.synchronize()
    assert failed.value.code == Status.TRANSFER_FAILED
    engine.synchronize()


def test_news_that_comes_late_delays_the_next_copy_and_not_its_bytes(scripted):
    def later(completion: Completion) -> None:
        completion.delay = 0.5

    rig = scripted(completion=later)
    engine = rig.engine()
    host, there = engine.host_alloc(16), engine.alloc(16)
    engine.upload(there, host, 16)

    assert spent(rig, engine) == pytest.approx(0.5 + LATENCY, abs=1e-6)


def test_a_call_that_takes_long_takes_the_machines_time(scripted):
    def slow(call: DriverCall) -> None:
        call.delay = 0.25

    rig = scripted(memory=slow)
    engine = rig.engine()
    engine.memory()

    assert rig.machine.clock.now() == 0.25


def test_a_removal_while_news_is_late_leaves_the_copy_lost(scripted):
    def later(completion: Completion) -> None:
        completion.delay = 0.5

    rig = scripted(completion=later)
    engine = rig.engine()
    engine.upload(engine.alloc(16), engine.host_alloc(16), 16)
    with rig.machine.clock.lock:
        rig.machine.clock.at(0.25, lambda: rig.machine.site.remove(0))

    with pytest.raises(DeviceGone):
        engine.synchronize()
    assert rig.machine.clock.now() == 0.25


def test_a_cable_that_is_pulled_as_bytes_land_loses_the_copy(scripted):
    engine = scripted(vram_write=lambda site: site.remove(0)).engine()
    engine.upload(engine.alloc(16), engine.host_alloc(16), 16)

    with pytest.raises(DeviceGone):
        engine.synchronize()


def test_a_link_that_stalls_is_free_again_once_the_copy_on_it_is_gone(scripted):
    stalled = []

    def stall(chunk: Chunk) -> tuple[Chunk, ...]:
        if not stalled:
            stalled.append(chunk)
            chunk.delay = math.inf
        return (chunk,)

    rig = scripted(chunk=stall)
    host = rig.host()
    stuck = rig.engine(host=host)
    stuck.upload(stuck.alloc(MIB), stuck.host_alloc(MIB), MIB)
    waiting = Task(stuck.synchronize)
    until(lambda: rig.machine.clock._waits)
    other = rig.engine()
    other.upload(other.alloc(MIB), other.host_alloc(MIB), MIB)

    host.close()  # as a killed process would
    stuck._sock.close()
    other.synchronize()

    with pytest.raises(DeviceHung):
        waiting.result()
    assert rig.machine.clock.now() == pytest.approx(2 * LATENCY + MIB / H2D)


def test_bytes_that_arrive_nowhere_are_lost_and_harm_nobody(scripted):
    def astray(chunk: Chunk) -> tuple[Chunk, ...]:
        chunk.destination = -5 if chunk.copy % 2 else 1 << 40
        return (chunk,)

    rig = scripted(chunk=astray)
    engine = rig.engine()
    host, there = engine.host_alloc(16), engine.alloc(16)
    host.view[:] = b"\1" * 16
    for _ in range(2):
        engine.upload(there, host, 16)
        engine.download(host, there, 16)
    engine.upload(there, host, 16)
    engine.download(host, there, 16)
    engine.synchronize()

    assert set(host.view) == {1}


def test_a_mistake_in_a_fault_is_told_as_one_and_not_as_a_finding(scripted, capsys):
    def wrong(call: DriverCall) -> None:
        raise ZeroDivisionError(call.name)

    engine = scripted(alloc=wrong).engine()

    with pytest.raises(BenchFault, match=r"fault script: on_driver_call raised ZeroDivisionError\('alloc'\)"):
        engine.alloc(16)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_mistake_in_a_fault_while_a_copy_runs_is_told_to_who_waits_and_to_all_after(scripted, capsys):
    def wrong(chunk: Chunk) -> tuple[Chunk, ...]:
        raise KeyError(chunk.copy)

    rig = scripted(chunk=wrong)
    engine, host = rig.engine(), rig.host()
    engine.upload(engine.alloc(16), engine.host_alloc(16), 16)

    with pytest.raises(BenchFault, match="fault script: on_chunk raised KeyError"):
        engine.synchronize()
    with pytest.raises(BenchFault, match="on_chunk raised KeyError"):
        host.clock.now()
    with pytest.raises(BenchFault, match="on_chunk raised KeyError"):
        engine.memory()
    assert "KeyError" in capsys.readouterr().err


# The end of the machine


def test_a_machine_that_is_switched_off_hangs_up_on_a_call_under_way(rig, engine):
    rig.machine.clock.begin("hold", "hold", math.inf, lambda _: None)
    engine.upload(engine.alloc(16), engine.host_alloc(16), 16)
    waiting = Task(engine.synchronize)
    until(lambda: rig.machine.clock._waits)

    rig.server.switch_off()

    with pytest.raises(DeviceHung, match="synchronize never came back"):
        waiting.result()


def test_who_has_no_machine_has_no_devices(rig):
    class Elsewhere:
        def connect(self, address: str) -> object:
            raise FileNotFoundError(2, "No such file", address)

    assert SimulatedEngine.devices(Elsewhere()) == []


def test_facts_cross_the_wire_as_json(rig):
    status, results, text = rig.wire().call(Call.DEVICES)

    assert (status, results[0]) == (0, 2)
    assert {device["uuid"] for device in json.loads(text)} == set(GPUS)
    assert rig.wire(gpu=0).status(Call.SYNCHRONIZE, ALL_STREAMS) == Status.OK
