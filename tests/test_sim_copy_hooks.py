"""What a fault may do to copies, memory and calls of the driver beyond changing them: the machine follows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from copies_under_fault import D2D, D2H, H2D, HEAP, MARGIN, carried, data_of, fault, intact, old_of, reset
from sim_rig import MIB, Rig, rigs, until

from hil.errors import DeviceGone, DriverError
from hil.hosts.wires.driver import Call, Status
from hil.sim import arrivals, transfers
from hil.sim.faults.base import Chunk, DriverAnswer, DriverCall, Fault, Submission, Trigger
from hil.sim.machine import Machine

N = 5 * MIB + 7
WAYS = [pytest.param(way, id=str(way)) for way in (H2D, D2H, D2D)]


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield lambda kind: start(None, lambda site: kind(Trigger(), site))


# Chunks ---------------------------------------------------------------------------------------------------------------


class Watching(Fault):
    """Remembers chunks and lets them pass."""

    name = "watching"

    def __init__(self, parameters, site):
        super().__init__(parameters, site)
        self.seen: list[Chunk] = []

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        self.seen.append(replace(chunk))
        return (chunk,)


def test_a_chunk_says_where_it_comes_from_and_how_far_its_copy_is(switch_on):
    rig = switch_on(Watching)
    carried(rig, H2D, data_of(N))

    seen = fault(rig).seen
    assert [(c.position, len(c.data), c.total, c.row_bytes) for c in seen] == [
        (0, 2 * MIB, N, N),
        (2 * MIB, 2 * MIB, N, N),
        (4 * MIB, MIB + 7, N, N),
    ]
    assert [c.source - MARGIN for c in seen] == [c.position for c in seen]
    # The second of two allocations of a little more than 5 MiB, which are given out in whole pages.
    assert [c.destination - MARGIN - c.position for c in seen] == [HEAP + 5 * MIB + 65536] * 3


@pytest.mark.parametrize("way", WAYS)
def test_chunks_may_arrive_in_another_order(switch_on, way):
    order: list[int] = []

    class Reordering(Fault):
        name = "reordering"
        held: Chunk | None = None

        def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
            if chunk.position == 0:
                self.held = chunk
                return ()
            arriving = (chunk, self.held) if self.held else (chunk,)
            self.held = None
            order.extend(c.position for c in arriving)
            return arriving

    assert carried(switch_on(Reordering), way, data_of(N)) == intact(data_of(N))
    assert order == [2 * MIB, 0, 4 * MIB]


@pytest.mark.parametrize("way", WAYS)
def test_a_chunk_that_is_held_back_lands_when_the_fault_says_so(switch_on, way):
    class Late(Fault):
        name = "late"

        def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
            if chunk.position:
                return (chunk,)
            self.site.after(10.0, lambda: self.site.land(chunk))
            return ()

    rig = switch_on(Late)
    engine = rig.engine()
    here, one, other = engine.host_alloc(N), engine.alloc(N), engine.alloc(N)
    here.view[:] = data_of(N)
    rig.do(rig.machine.site.poke, 0, other.address, data_of(N))

    def there() -> bytes:
        return bytes(here.view) if way is D2H else rig.do(rig.machine.site.peek, 0, one.address, N)

    if way is D2H:
        here.view[:] = bytes(N)
        engine.download(here, other, N)
    elif way is H2D:
        engine.upload(one, here, N)
    else:
        engine.move(one, other, N)
    engine.synchronize()
    assert there() == bytes(2 * MIB) + data_of(N)[2 * MIB :]

    rig.machine.clock.sleep("hand", 11.0)

    assert there() == data_of(N)


def hold(rig: Rig, engine, way) -> Chunk:
    """The only chunk of a copy, which a `Holding` fault holds back."""
    here, there = engine.host_alloc(64), engine.alloc(64)
    here.view[:] = b"\1" * 64
    if way is H2D:
        engine.upload(there, here, 64)
    else:
        engine.download(here, there, 64)
    engine.synchronize()
    return fault(rig).held


class Holding(Fault):
    name = "holding"
    held: Chunk

    def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
        self.held = chunk
        return ()


@pytest.mark.parametrize("lose", ["unplug", "reset", "replug"])
def test_what_is_held_back_is_lost_with_its_card(switch_on, lose):
    rig = switch_on(Holding)
    chunk = hold(rig, rig.engine(), H2D)
    assert rig.do(rig.machine.site.held, chunk) == bytes(64)
    if lose == "reset":
        reset(rig)
    else:
        rig.do(rig.machine.detach, rig.machine.enclosures[0])
    if lose == "replug":
        rig.do(rig.machine.attach, rig.machine.enclosures[0])
    if lose != "unplug":
        rig.machine.clock.sleep("hand", 10.0)

    rig.do(rig.machine.site.land, chunk)

    assert rig.do(rig.machine.site.held, chunk) == b""
    assert rig.do(rig.machine.site.peek, 0, HEAP, 64) == bytes(64)


@pytest.mark.parametrize("end", ["host_free", "close"])
def test_what_is_held_back_is_lost_with_its_buffer(switch_on, end):
    rig = switch_on(Holding)
    wire = rig.wire(gpu=0)
    (handle, *_), (address, *_) = wire.ok(Call.HOST_ALLOC, 64, 1), wire.ok(Call.ALLOC, 64)
    wire.ok(Call.COPY, 2, 0, address, 0, handle, 0, 64, 1, 0, 0)
    wire.ok(Call.SYNCHRONIZE, 0)
    chunk = fault(rig).held
    assert rig.do(rig.machine.site.held, chunk) == bytes(64)
    if end == "host_free":
        wire.ok(Call.HOST_FREE, handle)
    else:
        wire.sock.close()
        until(lambda: not rig.do(rig.machine.site.held, chunk))

    rig.do(rig.machine.site.land, chunk)

    assert rig.do(rig.machine.site.held, chunk) == b""


def test_a_chunk_may_go_to_another_copys_buffer_and_to_another_card(switch_on):
    class Astray(Fault):
        name = "astray"

        def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
            if chunk.direction is H2D:
                return (chunk, replace(chunk, gpu=1))
            return (replace(chunk, copy=chunk.copy - 1),) if chunk.copy == 3 else (chunk,)

    rig = switch_on(Astray)
    engine = rig.engine()
    sent, first, second, there = *(engine.host_alloc(16) for _ in range(3)), engine.alloc(16)
    sent.view[:] = b"\1" * 16
    engine.upload(there, sent, 16)
    engine.download(first, there, 16)
    engine.synchronize()
    assert rig.do(rig.machine.site.peek, 1, there.address, 16) == b"\1" * 16
    rig.do(rig.machine.site.poke, 0, there.address, b"\2" * 16)

    engine.download(second, there, 16)
    engine.synchronize()

    assert bytes(first.view) == b"\2" * 16
    assert bytes(second.view) == bytes(16)


def test_a_chunk_of_a_copy_that_is_forgotten_or_never_was_lands_nowhere(switch_on, monkeypatch):
    monkeypatch.setattr(arrivals, "REMEMBERED", 2)
    rig = switch_on(Holding)
    engine = rig.engine()
    first = hold(rig, engine, D2H)
    hold(rig, engine, H2D)
    latest = hold(rig, engine, D2H)

    for chunk in (first, replace(latest, copy=1000), replace(latest, copy=2)):  # the second goes to the card
        rig.do(rig.machine.site.land, chunk)
        assert rig.do(rig.machine.site.held, chunk) == b""
    assert rig.do(rig.machine.site.held, latest) == b"\1" * 64


@pytest.mark.parametrize("way", [H2D, D2H], ids=str)
def test_of_a_chunk_that_reaches_beyond_memory_only_what_is_inside_lands(switch_on, way):
    class Shifting(Fault):
        name = "shifting"

        def on_chunk(self, chunk: Chunk) -> Sequence[Chunk]:
            low, high = replace(chunk, destination=-4), replace(chunk, destination=where)
            self.site.log(f"{len(self.site.held(low))} {len(self.site.held(high))}")
            return (low, high)

    where = (1024 * MIB if way is H2D else 4096) - 5
    rig = switch_on(Shifting)
    engine = rig.engine()
    here, there = engine.host_alloc(4096), engine.alloc(16)
    here.view[:] = b"\1" * 4096
    rig.do(rig.machine.site.poke, 0, there.address, bytes(range(16)))
    if way is H2D:
        here.view[:16] = bytes(range(16))
        engine.upload(there, here, 16)
    else:
        engine.download(here, there, 16)
    engine.synchronize()

    found = (
        (rig.do(rig.machine.site.peek, 0, 0, 12), rig.do(rig.machine.site.peek, 0, where, 16))
        if way is H2D
        else (bytes(here.view[:12]), bytes(here.view[where:]))
    )
    assert found == (bytes(range(4, 16)), bytes(range(5)))
    assert rig.machine.lines[-1].text == "12 5"


# Memory ---------------------------------------------------------------------------------------------------------------


def test_a_write_to_the_card_may_be_torn_or_lost(switch_on):
    class Torn(Fault):
        name = "torn"

        def on_vram_write(self, gpu: int, address: int, data: bytes) -> bytes:
            return data[:1000]

    expected = bytearray(old_of(5000))
    expected[MARGIN : MARGIN + 1000] = data_of(5000)[:1000]
    assert carried(switch_on(Torn), H2D, data_of(5000)) == expected


def test_cells_are_seen_and_changed_without_hooks_and_never_outside(switch_on):
    class Inverting(Fault):
        name = "inverting"

        def on_vram_read(self, gpu: int, address: int, data: bytes) -> bytes:
            return bytes(255 - byte for byte in data)

    machine: Machine = switch_on(Inverting).machine
    size = machine.site.vram_bytes(0)
    for address in (-2, 100, size - 2, size + 5, -100):
        machine.site.poke(0, address, b"abcd")

    assert machine.site.peek(0, -2, 4) == b"cd"
    assert machine.site.peek(0, 100, 4) == b"abcd"
    assert machine.site.peek(0, size - 2, 4) == b"ab"
    assert machine.site.peek(0, size + 5, 4) == machine.site.peek(0, -100, 4) == b""


# Copies and calls -----------------------------------------------------------------------------------------------------


def submitting(**changes):
    class Reshaping(Fault):
        name = "reshaping"

        def on_submit(self, submission: Submission) -> None:
            for field, value in changes.items():
                setattr(submission, field, value(getattr(submission, field)))

    return Reshaping


def test_a_copy_may_become_shorter_and_go_elsewhere(switch_on):
    rig = switch_on(submitting(row_bytes=lambda n: n - 100, destination=lambda at: at + 10, source=lambda at: at + 20))
    expected = bytearray(old_of(5000))
    expected[MARGIN + 10 : MARGIN + 4910] = data_of(5000)[20:4920]

    assert carried(rig, H2D, data_of(5000)) == expected


def test_a_copy_may_become_nothing(switch_on):
    assert carried(switch_on(submitting(rows=lambda _: -1)), H2D, data_of(5000)) == old_of(5000)


@pytest.mark.parametrize(("by", "ones"), [(-3 * MIB, (0, 100)), (3 * MIB, (0, 100)), (-MARGIN - 10, (0, 10))])
def test_what_a_copy_reads_outside_of_its_source_is_all_ones(switch_on, by, ones):
    rig = switch_on(submitting(source=lambda at: at + by))
    expected = intact(data_of(100))
    inside = b"" if ones[1] == 100 else old_of(100)[:90]  # of the sending buffer, which held that
    expected[MARGIN : MARGIN + 100] = b"\xff" * ones[1] + inside

    assert carried(rig, H2D, data_of(100)) == expected


def test_latency_and_kind_of_memory_may_be_changed(switch_on):
    rig = switch_on(submitting(latency=lambda _: 1.5, pinned=lambda _: False))
    engine = rig.engine()
    engine.upload(engine.alloc(MIB), engine.host_alloc(MIB), MIB)
    engine.synchronize()

    assert rig.machine.clock.now() == pytest.approx(1.5 + MIB / (2e9 * transfers.PAGEABLE_FACTOR))


def test_a_cable_that_is_pulled_as_a_copy_is_submitted_loses_it(switch_on):
    class Pulling(Fault):
        name = "pulling"

        def on_submit(self, submission: Submission) -> None:
            self.site.remove(submission.gpu)

    engine = switch_on(Pulling).engine()
    here, there = engine.host_alloc(16), engine.alloc(16)
    engine.upload(there, here, 16)

    with pytest.raises(DeviceGone):
        engine.synchronize()


def test_a_call_may_be_asked_for_something_else(switch_on):
    class Doubling(Fault):
        name = "doubling"

        def on_driver_call(self, call: DriverCall) -> None:
            if call.name == "alloc":
                call.arguments = (2 * call.arguments[0], *call.arguments[1:])

    engine = switch_on(Doubling).engine()
    before, _ = engine.memory()
    engine.alloc(MIB)

    assert before - engine.memory()[0] == 2 * MIB


def answering(call: str, **changes):
    """A fault that changes what the driver answers to a call of that name."""

    class Answering(Fault):
        name = "answering"

        def on_driver_answer(self, answer: DriverAnswer) -> None:
            if answer.call.name == call:
                for field, value in changes.items():
                    setattr(answer, field, value)

    return Answering


def test_an_answer_may_be_an_error_though_the_call_did_what_it_should(switch_on):
    engine = switch_on(answering("alloc", status=Status.TRANSFER_FAILED, text="the fault's own words")).engine()
    before, _ = engine.memory()

    with pytest.raises(DriverError, match="the fault's own words") as failed:
        engine.alloc(MIB)
    assert failed.value.code == Status.TRANSFER_FAILED
    assert before - engine.memory()[0] == MIB


def test_two_allocations_may_be_given_the_same_address(switch_on):
    engine = switch_on(answering("alloc", results=(HEAP,))).engine()

    assert [engine.alloc(4096).address for _ in range(2)] == [HEAP, HEAP]


def test_an_error_that_is_swallowed_says_nothing_of_itself(switch_on):
    wire = switch_on(answering("open", status=0)).wire()

    assert wire.call(Call.OPEN, 7) == (Status.OK, (0, 0, 0, 0), "")


def test_results_are_cut_to_what_the_wire_carries(switch_on):
    assert switch_on(answering("memory", results=(-1, 1 << 70))).wire(gpu=0).ok(Call.MEMORY)[:2] == ((1 << 64) - 1, 0)


def test_memory_that_leaks_is_taken_in_whole_pages_as_long_as_there_is_some(switch_on):
    rig = switch_on(Watching)
    engine = rig.engine()
    free, _ = engine.memory()

    assert rig.do(rig.machine.site.leak, 0, 1) == 65536
    assert rig.do(rig.machine.site.leak, 0, free) == 0
    assert engine.memory()[0] == free - 65536
