"""Faults of copies on their way: every byte in and around the destination is where the fault says it goes."""

from __future__ import annotations

import mmap
import os

import pytest
from copies_under_fault import D2D, D2H, H2D, HEAP, MARGIN, carried, data_of, fault, intact, old_of
from sim_rig import MIB, rigs

from hil.errors import UsageError
from hil.hosts.wires.driver import ALL_STREAMS, Call, Way
from hil.sim.faults import choice

KIB = 1 << 10
NAMES = (
    "address-truncated", "bit-flip", "chunk-dropped", "chunk-duplicated", "chunks-swapped", "overrun",
    "pages-permuted", "pitch-error", "posted-write-overtakes", "short-transfer", "stale-lines", "streams-mixed",
    "unaligned-shift",
)  # fmt: skip
WAYS = [pytest.param(way, id=str(way)) for way in (H2D, D2H, D2D)]
N = 3 * MIB + 1000
"""Two chunks of a machine, the second not whole."""


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_that_is_due_later_changes_nothing(switch_on, name):
    rig = switch_on(None, f"{name}:at_time=1000")

    assert carried(rig, H2D, data_of(N)) == intact(data_of(N))
    assert carried(rig, D2H, data_of(N)) == intact(data_of(N))
    assert fault(rig).struck == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_leaves_copies_on_another_card_alone(switch_on, name):
    rig = switch_on(None, f"{name}:gpu=1")

    assert carried(rig, D2H, data_of(N)) == intact(data_of(N))
    assert carried(rig, H2D, data_of(N)) == intact(data_of(N))


DIRECTED = [name for name in NAMES if name not in ("pitch-error", "posted-write-overtakes", "stale-lines")]


@pytest.mark.parametrize("name", DIRECTED)
def test_a_fault_leaves_copies_in_another_direction_alone(switch_on, name):
    rig = switch_on(None, f"{name}:direction=D2H")

    assert carried(rig, H2D, data_of(N)) == intact(data_of(N))


# Pieces ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_nth_piece_is_dropped_and_no_other(switch_on, way):
    rig = switch_on(None, "chunk-dropped:bytes=1000,rate=1,nth=3")
    expected = intact(data_of(N))
    expected[MARGIN + 2000 : MARGIN + 3000] = old_of(N)[MARGIN + 2000 : MARGIN + 3000]

    assert carried(rig, way, data_of(N)) == expected
    assert fault(rig).struck == 1


@pytest.mark.parametrize("rate", [0.02, 0.5])
def test_as_large_a_share_of_pieces_is_dropped_as_is_said(switch_on, rate):
    data, old = data_of(N), old_of(N)[MARGIN:-MARGIN]
    rig = switch_on(None, f"chunk-dropped:bytes=512,rate={rate},direction=D2H")

    found = carried(rig, D2H, data)[MARGIN:-MARGIN]

    # Pieces count from the beginning of each chunk of 2 MiB.
    kinds = [
        "new" if got == new else "old" if got == was else "?"
        for got, new, was in zip(pieces(found, 512), pieces(data, 512), pieces(old, 512), strict=True)
    ]
    assert "?" not in kinds
    assert kinds.count("old") == fault(rig).struck
    assert kinds.count("old") / len(kinds) == pytest.approx(rate, rel=0.25)


def test_a_rate_of_one_drops_everything(switch_on):
    rig = switch_on(None, "chunk-dropped:rate=1")

    assert carried(rig, H2D, data_of(5000)) == old_of(5000)
    assert fault(rig).struck == 2


def test_what_is_dropped_and_was_there_already_does_not_count(switch_on):
    rig = switch_on(None, f"chunk-dropped:rate=1,bytes={2 * MIB},at_bytes={2 * MIB}")

    assert carried(rig, H2D, data_of(2 * MIB), copies=3) == intact(data_of(2 * MIB))
    assert fault(rig).struck == 0


def test_the_same_seed_drops_the_same_pieces_and_another_drops_others(switch_on):
    runs = [carried(switch_on(None, f"chunk-dropped:rate=0.1,seed={seed}"), H2D, data_of(MIB)) for seed in (1, 1, 2)]

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("nth", "distance"), [(3, 0), (3, 5000), (2, 2 * MIB), (500, 100 * KIB)])
def test_a_piece_arrives_again_over_what_lies_further_on(switch_on, way, nth, distance):
    rig = switch_on(None, f"chunk-duplicated:bytes=4096,rate=1,nth={nth},distance={distance}")
    data, start = data_of(N), (nth - 1) * 4096
    second = MARGIN + start + (distance or 4096)
    expected = intact(data)
    expected[second : second + 4096] = data[start : start + 4096]

    assert carried(rig, way, data) == expected
    assert fault(rig).struck == 1


def test_a_piece_that_would_fall_behind_the_copy_is_not_duplicated(switch_on):
    rig = switch_on(None, "chunk-duplicated:bytes=4096,rate=1")
    expected = intact(data_of(8192 + 5))
    expected[MARGIN + 4096 : MARGIN + 8192] = data_of(8192 + 5)[:4096]

    assert carried(rig, H2D, data_of(8192 + 5)) == expected
    assert fault(rig).struck == 1


def test_a_duplicate_of_the_same_bytes_does_not_count(switch_on):
    rig = switch_on(None, "chunk-duplicated:rate=1")

    assert carried(rig, D2H, b"\1" * MIB) == intact(b"\1" * MIB)
    assert fault(rig).struck == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("nth", "distance"), [(3, 0), (3, 5000), (2, 2 * MIB), (500, 100 * KIB), (512, 2 * KIB)])
def test_two_pieces_trade_places(switch_on, way, nth, distance):
    rig = switch_on(None, f"chunks-swapped:bytes=4096,rate=1,nth={nth},distance={distance}")
    data, first = data_of(N), (nth - 1) * 4096
    second = first + max(distance, 4096)
    expected = intact(data)
    expected[MARGIN + first : MARGIN + first + 4096] = data[second : second + 4096]
    expected[MARGIN + second : MARGIN + second + 4096] = data[first : first + 4096]

    assert carried(rig, way, data) == expected
    assert fault(rig).struck == 1


def test_swapped_pieces_are_never_swapped_again_and_none_is_lost(switch_on):
    data = data_of(N)
    rig = switch_on(None, "chunks-swapped:bytes=1024,distance=3072,rate=0.5")

    found = carried(rig, H2D, data)

    assert found[:MARGIN] + found[-MARGIN:] == old_of(N)[:MARGIN] + old_of(N)[-MARGIN:]
    now, before = pieces(found[MARGIN:-MARGIN], 1024), pieces(data, 1024)
    moved = {now.index(piece) - at for at, piece in enumerate(before) if now[at] != piece}
    assert sorted(now) == sorted(before)
    assert moved == {3, -3}
    assert sum(piece != other for piece, other in zip(now, before, strict=True)) == 2 * fault(rig).struck


def test_pieces_that_are_alike_or_have_no_partner_are_not_swapped(switch_on):
    rig = switch_on(None, "chunks-swapped:rate=1")

    assert carried(rig, H2D, b"\1" * MIB) == intact(b"\1" * MIB)
    assert carried(rig, H2D, data_of(6000)) == intact(data_of(6000))
    assert fault(rig).struck == 0


# Whole copies and chunks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("missing", [1, 64, 100_000, 2 * MIB])
def test_the_end_of_a_copy_is_missing(switch_on, way, missing):
    rig = switch_on(None, f"short-transfer:missing={missing}")
    expected = intact(data_of(N))
    cut = MARGIN + N - missing
    expected[cut : MARGIN + N] = old_of(N)[cut : MARGIN + N]

    assert carried(rig, way, data_of(N)) == expected
    assert fault(rig).struck == 1


def test_a_copy_shorter_than_what_is_missing_does_not_arrive_at_all(switch_on):
    rig = switch_on(None, "short-transfer:missing=5000")

    assert carried(rig, D2H, data_of(100)) == old_of(100)


def test_each_copy_is_an_opportunity_to_be_short(switch_on):
    rig = switch_on(None, "short-transfer:nth=2")

    assert carried(rig, D2H, data_of(N)) == intact(data_of(N))
    assert carried(rig, D2H, data_of(N)) != intact(data_of(N))
    assert carried(rig, D2H, data_of(N)) == intact(data_of(N))


def test_a_short_copy_of_what_was_there_already_does_not_count(switch_on):
    rig = switch_on(None, f"short-transfer:at_bytes={N}")

    assert carried(rig, D2H, data_of(N), copies=2) == intact(data_of(N))
    assert fault(rig).struck == 0


@pytest.mark.parametrize("way", WAYS)
def test_whole_pages_are_permuted_within_a_chunk(switch_on, way):
    data = data_of(N)
    rig = switch_on(None, "pages-permuted:page=65536")

    found = carried(rig, way, data)

    assert found[:MARGIN] + found[-MARGIN:] == old_of(N)[:MARGIN] + old_of(N)[-MARGIN:]
    for start, end in ((0, 2 * MIB), (2 * MIB, N)):
        now, before = pieces(found[MARGIN + start : MARGIN + end], 65536), pieces(data[start:end], 65536)
        assert now != before
        assert sorted(now) == sorted(before)
        assert all(len(page) == 65536 for page in now[:-1])
    assert fault(rig).struck == 2


def test_pages_that_are_alike_or_alone_are_not_permuted(switch_on):
    rig = switch_on(None, "pages-permuted")

    assert carried(rig, H2D, b"\1" * MIB) == intact(b"\1" * MIB)
    assert carried(rig, H2D, data_of(8000)) == intact(data_of(8000))
    assert fault(rig).struck == 0


def test_addresses_beyond_the_limit_are_nowhere(switch_on):
    # The first allocation holds what is copied from the card; the second, 64 KiB further on, is the target.
    rig = switch_on(None, f"address-truncated:offset={(1 << 32) - HEAP - 64 * KIB - MARGIN - 5000}")
    expected = intact(data_of(50_000))
    expected[MARGIN + 5000 : -MARGIN] = old_of(50_000)[MARGIN + 5000 : -MARGIN]
    assert carried(rig, H2D, data_of(50_000)) == expected
    assert fault(rig).struck == 1


def test_addresses_without_their_upper_bits_are_others_addresses(switch_on):
    rig = switch_on(None, "address-truncated:bits=16,direction=D2H")
    data = data_of(200_000)
    expected = bytearray(old_of(200_000))
    for at in range(200_000):
        expected[(MARGIN + at) % 65536] = data[at]

    assert carried(rig, D2H, data) == expected
    assert fault(rig).struck == 1


def test_truncated_addresses_that_make_no_difference_do_not_count(switch_on):
    rig = switch_on(None, f"address-truncated:bits=13,at_bytes={MIB}")

    carried(rig, D2H, b"\1" * MIB, copies=2)
    assert fault(rig).struck == 1

    once = switch_on(None, "address-truncated:bits=30,direction=D2H")
    assert carried(once, D2H, data_of(N)) == intact(data_of(N))
    assert fault(once).struck == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("nbytes", "shift"), [(1000, 1), (100, 63), (64 * KIB + 3, 8)])
def test_unaligned_data_is_shifted(switch_on, way, nbytes, shift):
    rig = switch_on(None, f"unaligned-shift:bytes={shift}")
    data = data_of(nbytes)
    expected = intact(data)
    expected[MARGIN : MARGIN + shift] = old_of(nbytes)[MARGIN : MARGIN + shift]
    expected[MARGIN + shift : MARGIN + nbytes] = data[:-shift]

    assert carried(rig, way, data) == expected
    assert fault(rig).struck == 1


def test_aligned_data_and_short_bursts_are_not_shifted(switch_on):
    rig = switch_on(None, "unaligned-shift:bytes=7")

    for nbytes in (64, 128 * KIB, 22):
        assert carried(rig, H2D, data_of(nbytes)) == intact(data_of(nbytes))
    assert fault(rig).struck == 0


def test_a_shift_of_what_was_there_already_does_not_count(switch_on):
    rig = switch_on(None, "unaligned-shift:bytes=7,nth=2")

    assert carried(rig, H2D, b"\1" * 66, copies=2) == intact(b"\1" * 66)
    assert fault(rig).struck == 0


@pytest.mark.parametrize("line", [64, 128])
def test_lines_of_the_host_keep_what_they_held(switch_on, line):
    rig = switch_on(None, f"stale-lines:probability=0.05,line={line}")
    data, nbytes = data_of(MIB - 24), MIB - 24

    found = carried(rig, D2H, data)

    lines = zip(pieces(found, line), pieces(bytes(intact(data)), line), pieces(old_of(nbytes), line), strict=True)
    stale = [got != new for got, new, old in lines if new != old and got in (new, old)]
    assert sum(stale) == fault(rig).struck
    assert sum(stale) / len(stale) == pytest.approx(0.05, rel=0.15)
    assert sum(a != b for a, b in zip(found, intact(data), strict=True)) > 0.95 * line * sum(stale)
    assert carried(switch_on(None, "stale-lines:probability=1"), H2D, data) == intact(data)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("nbytes", [1, 64, 300])
def test_a_copy_writes_past_its_end(switch_on, way, nbytes):
    rig = switch_on(None, f"overrun:bytes={nbytes}")
    data = data_of(N)
    expected = intact(data)
    expected[MARGIN + N : MARGIN + N + nbytes] = data[-nbytes:]

    assert carried(rig, way, data) == expected
    assert fault(rig).struck == 1


def test_a_copy_writes_before_its_beginning(switch_on):
    rig = switch_on(None, "overrun:bytes=100,side=before")
    data = data_of(30)
    expected = intact(data)
    expected[MARGIN - 100 : MARGIN] = (data * 4)[:100]

    assert carried(rig, D2H, data) == expected


def test_an_overrun_that_falls_off_the_memory_does_not_count(switch_on):
    rig = switch_on(None, "overrun:side=before,direction=D2H")
    engine = rig.engine()

    engine.download(engine.host_alloc(64), engine.alloc(64), 64)
    engine.synchronize()

    assert fault(rig).struck == 0


# Two copies, rows, and the end of a copy ------------------------------------------------------------------------------


def two_streams(rig, way, sizes=(MIB, MIB)):
    """Copies of different data on streams 1 and 2 at once; what was sent, and what is there afterwards."""
    engine = rig.engine()
    sent = [data_of(size, seed) for seed, size in enumerate(sizes)]
    here, there = [engine.host_alloc(size) for size in sizes], [engine.alloc(size) for size in sizes]
    for number, data in enumerate(sent):
        if way is H2D:
            here[number].view[:] = data
            engine.upload(there[number], here[number], len(data), stream=number)
        else:
            rig.do(rig.machine.site.poke, 0, there[number].address, data)
            engine.download(here[number], there[number], len(data), stream=number)
    engine.synchronize()
    if way is H2D:
        return sent, [rig.do(rig.machine.site.peek, 0, buffer.address, buffer.nbytes) for buffer in there]
    return sent, [bytes(buffer.view) for buffer in here]


@pytest.mark.parametrize("way", [H2D, D2H], ids=str)
@pytest.mark.parametrize("probability", [0.2, 1.0])
def test_streams_that_are_under_way_at_once_exchange_pieces(switch_on, way, probability):
    rig = switch_on(None, f"streams-mixed:chunk=65536,probability={probability}")

    sent, found = two_streams(rig, way)

    before, now = [pieces(data, 65536) for data in sent], [pieces(data, 65536) for data in found]
    assert sorted(before[0] + before[1]) == sorted(now[0] + now[1])
    foreign = sum(piece in before[1] for piece in now[0])
    assert foreign == sum(piece in before[0] for piece in now[1])
    assert foreign > 0
    assert fault(rig).struck > 0


def test_streams_are_mixed_only_where_enough_are_under_way(switch_on):
    rig = switch_on(None, "streams-mixed:streams=3")
    sent, found = two_streams(rig, D2H)

    assert found == sent
    assert fault(rig).struck == 0


def test_a_copy_that_was_given_up_is_not_mixed_with_a_later_one(switch_on):
    rig = switch_on(None, "streams-mixed")
    engine = rig.engine()
    engine.upload(engine.alloc(64 * MIB), engine.host_alloc(64 * MIB), 64 * MIB)
    rig.machine.clock.sleep("hand", 0.01)
    engine.close()  # in the middle of it
    rig.machine.clock.sleep("hand", 1.0)

    assert carried(rig, H2D, data_of(MIB)) == intact(data_of(MIB))


def test_copies_one_after_the_other_are_not_mixed(switch_on):
    rig = switch_on(None, "streams-mixed")

    for way in (H2D, D2H, D2D):
        assert carried(rig, way, data_of(MIB), copies=2) == intact(data_of(MIB))


def test_pieces_that_are_alike_do_not_count_as_mixed(switch_on):
    rig = switch_on(None, "streams-mixed")
    engine = rig.engine()
    there = [engine.alloc(MIB), engine.alloc(MIB)]
    for number, buffer in enumerate(there):
        engine.upload(buffer, engine.host_alloc(MIB), MIB, stream=number)
    engine.synchronize()

    assert fault(rig).struck == 0


def rows(rig, shape, *, pitch, size=4096):
    """A host buffer after rows from the card landed in it at `pitch`; what was sent, and what is there."""
    nbytes, count = shape
    wire = rig.wire(gpu=0)
    (handle, *_) = wire.ok(Call.HOST_ALLOC, size, 1)
    with mmap.mmap(wire.descriptors[0], size) as host:
        os.close(wire.descriptors[0])
        (address, *_) = wire.ok(Call.ALLOC, nbytes * count)
        sent = data_of(nbytes * count)
        rig.do(rig.machine.site.poke, 0, address, sent)
        host[:] = b"." * size
        wire.ok(Call.COPY, Way.D2H, 0, address, 0, handle, 0, nbytes, count, 0, pitch)
        wire.ok(Call.SYNCHRONIZE, ALL_STREAMS)
        return pieces(sent, nbytes), host[:]


def test_rows_land_too_far_apart(switch_on):
    rig = switch_on(None, "pitch-error:bytes=24")
    sent, found = rows(rig, (100, 12), pitch=128)
    expected = bytearray(b"." * 4096)
    for number, row in enumerate(sent):
        expected[number * 152 : number * 152 + 100] = row

    assert found == expected
    assert fault(rig).struck == 1


def test_rows_that_land_behind_the_buffer_are_lost(switch_on):
    sent, found = rows(switch_on(None, "pitch-error:bytes=4000"), (100, 3), pitch=100)

    assert found == sent[0] + b"." * 3996  # the second begins at 4100


def test_a_copy_of_one_row_has_no_pitch(switch_on):
    rig = switch_on(None, "pitch-error")

    assert carried(rig, D2H, data_of(N)) == intact(data_of(N))
    assert fault(rig).struck == 0


@pytest.mark.parametrize("nbytes", [100, 10_000, N])
def test_the_news_of_a_copy_comes_before_its_last_bytes(switch_on, nbytes):
    rig = switch_on(None, "posted-write-overtakes:lead=5000,bytes=4096")
    engine, data = rig.engine(), data_of(nbytes)
    here, there = engine.host_alloc(nbytes), engine.alloc(nbytes)
    rig.do(rig.machine.site.poke, 0, there.address, data)
    here.view[:] = b"." * nbytes

    engine.download(here, there, nbytes)
    engine.synchronize()

    late = min(nbytes, 4096)
    assert bytes(here.view) == data[: nbytes - late] + b"." * late
    rig.machine.clock.sleep("hand", 4.9e-6)
    assert bytes(here.view) != data
    rig.machine.clock.sleep("hand", 0.2e-6)
    assert bytes(here.view) == data
    assert fault(rig).struck == 1


def test_bytes_that_come_late_find_their_buffer_freed_and_harm_nobody(switch_on):
    rig = switch_on(None, "posted-write-overtakes")
    engine = rig.engine()
    here, there = engine.host_alloc(MIB), engine.alloc(MIB)
    rig.do(rig.machine.site.poke, 0, there.address, data_of(MIB))
    engine.download(here, there, MIB)
    engine.synchronize()
    engine.host_free(here)
    again = engine.host_alloc(MIB)

    rig.machine.clock.sleep("hand", 1.0)

    assert bytes(again.view) == bytes(MIB)


def test_late_bytes_that_were_there_already_do_not_count(switch_on):
    rig = switch_on(None, "posted-write-overtakes:nth=2")

    carried(rig, D2H, data_of(MIB), copies=2)

    assert fault(rig).struck == 0
    assert carried(rig, H2D, data_of(MIB)) == intact(data_of(MIB))


def test_a_lead_that_is_over_before_anybody_looks_cannot_be_seen():
    kind = choice.make("posted-write-overtakes:lead=50", None)

    assert "50 ns after the news" in kind.below_sight(kind.parameters)
    assert type(kind).below_sight(type(kind).Parameters()) == ""


def test_bits_that_flip_are_different_ones(switch_on):
    rig = switch_on(None, "bit-flip:bits=8,direction=H2D")

    assert carried(rig, H2D, b"\0")[MARGIN] == 0xFF


@pytest.mark.parametrize(
    "text", ["chunk-dropped:bytes=0", "chunk-dropped:rate=0", "short-transfer:missing=0", "overrun:side=left",
             "stale-lines:line=96", "streams-mixed:streams=1", "address-truncated:bits=11"]
)  # fmt: skip
def test_parameters_out_of_range_are_refused(text):
    with pytest.raises(UsageError, match=text.split(":")[0]):
        choice.make(text, None)
