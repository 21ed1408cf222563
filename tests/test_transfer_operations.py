"""Operations of the transfer suite: silent on a sound machine, and outspoken about what a machine does to bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from operations_rig import Bench
from sim_rig import Task, round_numbers, until

from hil.bench.operations import (
    canaries,
    far,
    grid,
    marching,
    overlapping,
    pitch,
    places,
    placing,
    promises,
    reuse,
    session,
    streams,
)
from hil.bench.operations.verdicts import verdict
from hil.errors import DataCorrupt, DeviceGone, NotSupported, UsageError
from hil.integrity import Report, verify
from hil.model import GIB, KIB, MIB, Direction
from hil.sim.faults.base import Chunk, Fault, Site, Submission, Trigger

ROOMY = round_numbers(vram_mib=16 * 1024)
SMALL = [0, 1, 7, 64, 4097, 65537]
CELLS = [[n, src, dst, b] for n in SMALL for src, dst, b in ((0, 63, 0), (1, 7, 4096), (63, 0, 65536))]
WIDE = {"row_bytes": 100, "rows": 40, "src_pitch": 128, "dst_pitch": 192, "src_offset": 9, "dst_offset": 70}
Plant = Callable[[Site], Fault]


@pytest.fixture
def switch_on() -> Iterator[Callable[..., Any]]:
    benches: list[Bench] = []

    def start(*faults: Any) -> Any:
        benches.append(Bench(ROOMY, *faults))
        return benches[-1].context

    yield start
    for bench in benches:
        bench.close()


def on_chunks(change: Callable[[Chunk], Any], direction: str = "", *, least: int = 0) -> Plant:
    """What `change` makes of each chunk in `direction` of a copy of at least so many bytes."""

    def act(_: Fault, chunk: Chunk) -> Any:
        wanted = chunk.total >= least and direction in ("", chunk.direction)
        return change(chunk) if wanted else (chunk,)

    return lambda site: type("Planted", (Fault,), {"name": "planted", "on_chunk": act})(Trigger(), site)


def on_submissions(change: Callable[[Submission], None]) -> Plant:
    return lambda site: type(
        "Planted", (Fault,), {"name": "planted", "on_submit": lambda _, submission: change(submission)}
    )(Trigger(), site)


def last_byte_wrong(chunk: Chunk) -> Any:
    return (replace(chunk, data=chunk.data[:-1] + bytes([chunk.data[-1] ^ 4])),)


def one_too_far(chunk: Chunk) -> Any:
    return (replace(chunk, data=chunk.data + b"\x99" * 9) if chunk.total % 2 else chunk,)


# Rows of the grid


@pytest.mark.parametrize("way", ["H2D", "D2H", "D2D", "round trip"])
@pytest.mark.parametrize("pinned", [True, False])
def test_all_cells_of_a_sound_machine_are_intact(switch_on, way, pinned):
    facts = grid.copies(switch_on(), way=way, cells=CELLS, epoch=7, pinned=pinned)

    assert facts == {"intact": True, "checked": len(CELLS), "wrong": 0}


def test_a_row_of_large_copies_is_done_in_parts(switch_on, monkeypatch):
    monkeypatch.setattr(grid, "MOST", 256 * KIB)

    assert grid.copies(switch_on(), way="H2D", cells=CELLS, epoch=7)["checked"] == len(CELLS)


@pytest.mark.parametrize("way", ["H2D", "D2H", "D2D", "round trip"])
def test_a_wrong_byte_is_named_with_its_cell(switch_on, way):
    direction = "D2H" if way == "round trip" else way
    odd = on_chunks(lambda chunk: last_byte_wrong(chunk) if chunk.total == 4097 else (chunk,), direction)
    facts = grid.copies(switch_on(odd), way=way, cells=CELLS, epoch=7)

    assert (facts["intact"], facts["wrong"], facts["kind"]) == (False, 3, "bit flip")
    assert "the copy of 4097 B" in facts["name"]
    assert len(facts["names"]) == 3
    assert facts["picture"].startswith("<svg")


@pytest.mark.parametrize("way", ["H2D", "D2D"])
def test_what_went_wrong_on_the_way_back_is_told_apart(switch_on, way):
    seen: list[int] = []

    def once(chunk: Chunk) -> Any:
        seen.append(chunk.copy)
        return last_byte_wrong(chunk) if len(seen) == 1 else (chunk,)

    facts = grid.copies(switch_on(on_chunks(once, "D2H")), way=way, cells=CELLS, epoch=7)

    assert facts["wrong"] == 1
    assert "it went wrong on the way back" in facts["name"]


@pytest.mark.parametrize("way", ["H2D", "D2H", "D2D"])
def test_what_is_written_beyond_a_copy_is_an_overrun(switch_on, way):
    facts = grid.copies(switch_on(on_chunks(one_too_far, way)), way=way, cells=[[65, 1, 7, 0]], epoch=7)

    assert facts["kind"] == "overrun"
    assert "9 B in the guard zone behind the end of the destination" in facts["text"]


def test_a_copy_that_moves_nothing_is_not_written(switch_on):
    lost = on_chunks(lambda chunk: (), "D2D")
    facts = grid.copies(switch_on(lost), way="D2D", cells=[[4096, 0, 0, 0]], epoch=7)

    assert facts["kind"] in ("not written", "short tail")


def test_an_unknown_way_is_refused(switch_on):
    with pytest.raises(UsageError, match=r"no way of a copy is called 'up'; known: H2D, D2H, D2D, round trip"):
        grid.copies(switch_on(), way="up", cells=CELLS, epoch=7)


@pytest.mark.parametrize("base", [0, 64 * KIB, 2 * MIB - 4096])
@pytest.mark.parametrize("nbytes", [0, 1, 3, 63, 257, 65537, 2 * MIB + 1])
def test_places_keep_their_offset_and_lie_across_their_boundary(nbytes, base):
    cells = [placing.Cell(nbytes, src, 0, b) for src in (0, 1, 7, 63) for b in (0, 4096, 65536, 2 * MIB)]
    slots = placing.laid_out(cells, base=base, at_source=True)

    for cell, slot in zip(cells, slots, strict=True):
        begin = base + slot.begin
        assert begin % 64 == cell.src_offset
        assert slot.begin - slot.start >= 4096 <= slot.end - slot.begin - nbytes
        if cell.straddle and nbytes + cell.src_offset > 64:
            assert begin // cell.straddle != (begin + nbytes - 1) // cell.straddle
    assert all(one.end <= other.start for one, other in pairwise(slots))


# Rows of a rectangle


@pytest.mark.parametrize("direction", list(map(str, Direction)))
@pytest.mark.parametrize("shape", [WIDE, {"row_bytes": 64, "rows": 9, "src_pitch": 64, "dst_pitch": 64}])
def test_rows_arrive_and_padding_stays(switch_on, direction, shape):
    context = switch_on()

    assert promises.pitched(context)
    assert pitch.rows(context, direction=direction, shape=shape, epoch=7)["intact"]


@pytest.mark.parametrize("direction", list(map(str, Direction)))
def test_a_pitch_taken_from_the_wrong_end_is_found(switch_on, direction):
    def confuse(submission: Submission) -> None:
        if submission.rows > 1:
            submission.destination_pitch = submission.source_pitch

    facts = pitch.rows(switch_on(on_submissions(confuse)), direction=direction, shape=WIDE, epoch=7)

    assert (facts["wrong"], facts["checked"]) == (2, 2)


def test_a_byte_in_the_padding_is_found(switch_on):
    wide = on_chunks(lambda chunk: (replace(chunk, data=chunk.data + b"!"),) if chunk.row == 3 else (chunk,))
    facts = pitch.rows(switch_on(wide), direction="H2D", shape=WIDE, epoch=7)

    assert (facts["wrong"], facts["name"]) == (1, "the padding around the rows")


def test_an_engine_without_pitched_copies_says_so(switch_on):
    engine = session.session(switch_on()).engine

    with pytest.raises(NotSupported, match="engine simulated has no pitched copies: D2D of 40 rows"):
        super(type(engine), engine).copy_rows(Direction.D2D, None, None, pitch.Rows(**WIDE))
    assert super(type(engine), engine).in_host_memory is False


# Streams


@pytest.mark.parametrize("pinned", [True, False])
def test_streams_of_a_sound_machine_keep_their_data(switch_on, pinned):
    facts = streams.crossing(
        switch_on(), directions=["H2D", "D2H", "D2D"], nbytes=MIB, pieces=4, epoch=7, pinned=pinned
    )

    assert facts == {"intact": True, "checked": 3, "wrong": 0}


def test_data_of_another_stream_are_the_wrong_buffers(switch_on):
    seen: dict[int, bytes] = {}

    def mix(chunk: Chunk) -> Any:
        seen[chunk.stream] = chunk.data
        return (replace(chunk, data=seen.get(0, chunk.data) if chunk.stream == 2 else chunk.data),)

    context = switch_on(on_chunks(mix, "H2D", least=64 * KIB))
    facts = streams.crossing(context, directions=["H2D", "D2H", "H2D"], nbytes=256 * KIB, pieces=2, epoch=7)

    assert (facts["kind"], facts["name"]) == ("wrong buffer", "H2D on stream 2")


# One buffer again


def test_one_buffer_again_and_again_is_intact(switch_on):
    context = switch_on()

    assert reuse.back_to_back(context, nbytes=5000, epochs=[4, 5, 6])["intact"]
    assert reuse.relay(context, nbytes=5000, turns=3, epoch=9)["intact"]


def test_old_data_are_stale_and_their_turn_is_named(switch_on):
    uploads: list[int] = []

    def lose_second(chunk: Chunk) -> Any:
        uploads.append(chunk.copy)
        return () if len(uploads) == 2 else (chunk,)

    facts = reuse.back_to_back(switch_on(on_chunks(lose_second, "H2D")), nbytes=4096, epochs=[4, 5, 6])

    assert (facts["wrong"], facts["name"]) == (1, "turn 2 of 3")
    assert facts["kind"] in ("stale", "not written", "short tail")


def test_data_that_land_behind_their_completion_are_told(switch_on):
    def late(site: Site) -> Fault:
        def act(_: Fault, chunk: Chunk) -> Any:
            if chunk.direction != "D2H":
                return (chunk,)
            site.after(0.001, lambda: site.land(chunk))
            return ()

        return type("Planted", (Fault,), {"name": "planted", "on_chunk": act})(Trigger(), site)

    facts = reuse.back_to_back(switch_on(late), nbytes=4096, epochs=[4, 5])

    assert facts["wrong"] == 2
    assert facts["name"].endswith("a later look finds it intact: it landed after its completion had been told")


def test_a_move_that_is_lost_shows_the_buffer_before_it(switch_on):
    moves: list[int] = []

    def lose_second(chunk: Chunk) -> Any:
        moves.append(chunk.copy)
        return () if len(moves) == 2 else (chunk,)

    facts = reuse.relay(switch_on(on_chunks(lose_second, "D2D")), nbytes=4096, turns=3, epoch=9)

    assert (facts["wrong"], facts["name"]) == (1, "buffer 2 of 3")


def test_copies_go_on_until_the_device_is_gone():
    bench = Bench(ROOMY)
    running = Task(lambda: reuse.until_gone(bench.context, nbytes=64 * KIB, streams=2, epoch=7))
    until(lambda: bench.context.host.clock.now() > 0.01)

    bench.rig.do(bench.rig.machine.detach, bench.rig.machine.enclosures[0])

    with pytest.raises(DeviceGone):
        running.result()
    bench.close()


def test_what_was_reported_as_done_and_is_not_there_is_told(switch_on):
    context = switch_on(on_chunks(lambda chunk: () if chunk.copy > 9 else (chunk,), "D2H"))

    with pytest.raises(DataCorrupt, match=r"^(not written|short tail|stale): .*reported as done"):
        reuse.until_gone(context, nbytes=64 * KIB, streams=2, epoch=7)


def test_canaries_of_a_sound_machine_are_left_alone(switch_on):
    facts = canaries.watch(switch_on(), nbytes=64 * KIB, buffers=4, epoch=7)

    assert facts == {"intact": True, "checked": 8, "wrong": 0}


def test_a_stray_write_into_a_neighbour_is_found(switch_on):
    copies: list[int] = []

    def stray(chunk: Chunk) -> Any:
        copies.append(chunk.copy)
        return (chunk, replace(chunk, destination=chunk.destination + 64 * KIB)) if len(copies) > 6 else (chunk,)

    facts = canaries.watch(switch_on(on_chunks(stray, "H2D")), nbytes=64 * KIB, buffers=4, epoch=7)

    assert not facts["intact"]
    assert facts["kind"] == "wrong buffer"
    assert "not written to again" in facts["name"]


# Copies that overlap


@pytest.mark.parametrize("shift", [1, -1, 4099, -4099, 2 * MIB, -2 * MIB])
def test_an_overlapping_copy_of_the_reference_driver_is_a_memmove(switch_on, shift):
    context = switch_on()

    assert promises.overlap(context) == "memmove"
    assert overlapping.move(context, nbytes=5 * MIB + 3, shift=shift, epoch=7) == {
        "intact": True,
        "checked": 3,
        "wrong": 0,
        "refused": "",
    }


def test_a_refused_overlapping_copy_has_to_leave_the_buffer(switch_on):
    def refuse(_: Fault, call: Any) -> None:
        if call.name == "copy" and call.arguments[0] == 3:
            call.status = 11

    def plant(site: Site) -> Fault:
        return type("Planted", (Fault,), {"name": "planted", "on_driver_call": refuse})(Trigger(), site)

    facts = overlapping.move(switch_on(plant), nbytes=MIB, shift=64, epoch=7)

    assert facts["intact"]
    assert "TRANSFER_FAILED" in facts["refused"]


def test_an_overlapping_copy_that_moves_nothing_is_found(switch_on):
    facts = overlapping.move(switch_on(on_chunks(lambda _: (), "D2D")), nbytes=MIB, shift=64, epoch=7)

    assert (facts["wrong"], facts["name"]) == (1, "what was moved")


# Memory


def test_a_sound_card_keeps_what_it_is_given(switch_on):
    context = switch_on()
    filled = marching.fill_card(context, epoch=7, seed=1, inversions=2, budget=16 * MIB)

    assert filled == {"intact": True, "checked": 64, "wrong": 0, "nbytes": 16 * MIB}
    assert marching.march(context, nbytes=256 * KIB, block=64 * KIB, epoch=7)["intact"]
    assert marching.fade(context, nbytes=MIB, seconds=100.0, epoch=7)["intact"]
    assert context.host.clock.now() > 100


def test_of_a_card_that_is_wrong_everywhere_some_blocks_are_explained_and_all_are_counted(switch_on):
    dropped = on_chunks(lambda _: (), "H2D")
    facts = marching.fill_card(switch_on(dropped), epoch=7, seed=1, budget=32 * MIB)

    assert (facts["checked"], facts["wrong"], facts["kind"]) == (128, 128, "zeros")
    assert len(facts["names"]) == 16


@pytest.mark.parametrize("direction", ["H2D", "D2H"])
def test_a_write_or_a_read_that_is_lost_later_leaves_its_block_not_written(switch_on, direction):
    def lose(which: int) -> Any:
        seen: list[int] = []

        def on_chunk(chunk: Chunk) -> Any:
            seen.append(chunk.copy)
            return () if len(seen) == which else (chunk,)

        return switch_on(on_chunks(on_chunk, direction))

    marched = marching.march(lose(7), nbytes=256 * KIB, block=64 * KIB, epoch=7)
    filled = marching.fill_card(lose(70), epoch=7, seed=1, inversions=1, budget=16 * MIB)

    assert (marched["wrong"], marched["kind"]) == (1, "not written")
    assert (filled["wrong"], filled["kind"]) == (1, "not written")


def test_an_address_line_without_effect_is_an_alias(switch_on):
    folded = on_chunks(lambda chunk: (replace(chunk, destination=chunk.destination & ~(1 << 30)),), "H2D")
    facts = marching.fill_card(switch_on(folded), epoch=7, seed=1, budget=16 * MIB)

    assert facts["wrong"]
    assert facts["kind"] == "alias"
    assert "bit 30 of the address has no effect" in facts["text"]


def test_one_block_at_another_place_is_misplaced_and_no_alias(switch_on):
    seen: list[int] = []

    def once(submission: Submission) -> None:
        if submission.direction is Direction.H2D and submission.destination >= 1 << 30:
            seen.append(submission.destination)
            if len(seen) == 1:
                submission.destination ^= 1 << 30

    facts = marching.fill_card(switch_on(on_submissions(once)), epoch=7, seed=1, budget=16 * MIB)

    assert not facts["intact"]
    assert facts["kind"] != "alias"


def test_a_stuck_bit_is_told_from_one_that_flipped(switch_on):
    def stick(chunk: Chunk) -> Any:
        data = bytearray(chunk.data)
        data[100] |= 8
        return (replace(chunk, data=bytes(data)),)

    context = switch_on(on_chunks(stick, "D2H", least=64 * KIB))
    facts = marching.march(context, nbytes=256 * KIB, block=64 * KIB, epoch=7)

    assert (facts["wrong"], facts["kind"]) == (4, "stuck bit")


def test_a_faded_bit_is_found(switch_on):
    def fade(site: Site) -> Fault:
        def act(_: Fault, chunk: Chunk) -> Any:
            return last_byte_wrong(chunk) if site.now() > 50 and chunk.direction == "D2H" else (chunk,)

        return type("Planted", (Fault,), {"name": "planted", "on_chunk": act})(Trigger(), site)

    facts = marching.fade(switch_on(fade), nbytes=MIB, seconds=60.0, epoch=7)

    assert (facts["wrong"], facts["kind"]) == (4, "bit flip")


def test_a_sample_of_places_tells_every_address_bit_apart(switch_on):
    with places.whole_card(session.session(switch_on())) as memory:
        chosen = places.blocks(memory, budget=64 * MIB, seed=3)
        again = places.blocks(memory, budget=64 * MIB, seed=3)
    addresses = [block.address for block in chosen]
    start, end = memory[0][1], memory[0][1] + memory[0][0].nbytes
    told = {
        bit
        for bit in range(18, (end - 1).bit_length())
        if any((address ^ 1 << bit) in addresses for address in addresses)
    }

    assert chosen == again
    assert len(chosen) == 256
    assert {start, memory[-1][0].nbytes + memory[-1][1] - places.BLOCK} <= set(addresses)
    assert told == set(range(18, (end - 1).bit_length()))
    assert all(other - one >= places.BLOCK for one, other in pairwise(addresses))
    assert any(address // (2 * MIB) != (address + places.BLOCK - 1) // (2 * MIB) for address in addresses)


def test_without_a_budget_all_of_the_memory_is_gone_to(switch_on):
    with places.whole_card(session.session(switch_on())) as memory:
        everything = places.blocks(memory, budget=None, seed=0)
        size = sum(buffer.nbytes for buffer, _ in memory)

    assert sum(block.nbytes for block in everything) == size
    assert size > 15 * GIB


def test_scattered_memory_is_taken_in_pieces(switch_on):
    context = switch_on()
    work = session.session(context)
    held = [work.alloc(GIB) for _ in range(15)]
    for buffer in held[::2]:
        work.engine.free(buffer)
    with places.whole_card(work) as memory:
        assert len(memory) > 4
        assert len(places.blocks(memory, budget=4 * MIB, seed=0)) == 16


# Far


def test_far_spots_are_intact_and_an_offset_cut_short_is_found(switch_on):
    def cut(submission: Submission) -> None:
        if submission.destination > 4 * GIB:
            submission.destination -= 4 * GIB

    offsets = [2 * GIB, 4 * GIB]
    sound = far.spots(switch_on(), offsets=offsets, epoch=7)
    broken = far.spots(switch_on(on_submissions(cut)), offsets=offsets, epoch=7)

    assert (sound["intact"], sound["room"]) == (True, "")
    assert not broken["intact"]
    assert broken["name"].startswith("64 KiB at 0x")


def test_what_there_is_no_room_for_is_told(switch_on):
    context = switch_on()

    assert "OUT_OF_MEMORY" in far.spots(context, offsets=[20 * GIB], epoch=7)["room"]
    assert "its memory is the host's" in far.huge(context, nbytes=2 * GIB, epoch=7)["room"]


def test_a_huge_copy_is_checked_where_there_is_room(switch_on, monkeypatch):
    context = switch_on()
    monkeypatch.setattr(type(session.session(context).engine), "in_host_memory", property(lambda _: False))

    assert far.huge(context, nbytes=3 * MIB + 1, epoch=7) == {"intact": True, "checked": 1, "wrong": 0, "room": ""}
    assert "OUT_OF_MEMORY" in far.huge(context, nbytes=20 * GIB, epoch=7)["room"]


def test_whether_pinning_matters_is_told_by_name(switch_on):
    context = switch_on()

    assert promises.stages_pageable(context, name="simulated")
    assert not promises.stages_pageable(context, name="")


def test_the_worst_of_many_parts_is_told_first():
    intact = Report(intact=True, nbytes=8, wrong_bytes=0)

    assert verdict([("one", intact), ("other", intact)]) == {"intact": True, "checked": 2, "wrong": 0}


def test_wrong_bytes_that_are_not_to_be_explained_are_counted():
    data = bytearray(4096)

    report = verify(data, epoch=7, explain=False)

    assert (report.intact, report.findings, report.complete) == (False, (), False)
    assert report.wrong_bytes == verify(data, epoch=7).wrong_bytes
