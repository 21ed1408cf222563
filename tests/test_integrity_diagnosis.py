"""hil.integrity: whether corruption is called what it is, kind by kind, over drawn parameters."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.corruptions import BUFFER, CORRUPTIONS, EPOCH, Corruption, Scene, ours
from benchmarks.diagnosis import first_wrong, is_right, judged, scene_for
from hil.integrity import Kind, Report, fill, verify
from hil.integrity import examine as examining
from hil.integrity.findings import UNEXPLAINED, letter
from hil.model import KIB, MIB

SIZE = 96 * KIB
DRAWS = 12


def written(nbytes: int, **more: int) -> np.ndarray:
    data = np.empty(nbytes, np.uint8)
    fill(data, **{"epoch": EPOCH, "buffer_id": BUFFER, **more})
    return data


def check(data: object, **more: int) -> Report:
    return verify(data, epoch=EPOCH, buffer_id=BUFFER, **{"unwritten_epoch": EPOCH - 1, **more})


def aliased(nbytes: int, bit: int, *, upper: bool) -> np.ndarray:
    places = np.arange(nbytes)
    return written(nbytes)[np.where((places >> bit & 1) == upper, places ^ 1 << bit, places)]


def test_kind_and_offset_are_right_in_99_of_100_draws_over_all_kinds():
    draws, wrong = 0, []
    for corruption in CORRUPTIONS:
        for draw in range(DRAWS):
            scene = scene_for(ours, random.Random(f"{corruption.name} {draw}"), SIZE)  # noqa: S311  (seeded)
            corruption.damage(scene)
            offset = first_wrong(scene)
            if offset is None:
                continue
            draws += 1
            report = judged(scene)
            assert not report.intact, corruption.name
            if not is_right(corruption, report, offset):
                wrong.append(f"{corruption.name}, draw {draw}:\n{report.text()}")
    assert draws > 300
    assert len(wrong) <= draws / 100, "\n".join(wrong)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CORRUPTIONS), st.integers(0, 2**32))
def test_whatever_changed_a_byte_is_found_and_what_did_not_gives_no_finding(corruption: Corruption, seed: int):
    scene = scene_for(ours, random.Random(seed), 40 * KIB)  # noqa: S311  (seeded)
    assert judged(scene).intact
    corruption.damage(scene)
    report, offset = judged(scene), first_wrong(scene)
    assert report.intact == (offset is None)
    if offset is not None:
        assert report.findings[0].offset == offset
        assert report.text().splitlines()[1].startswith(f"  {report.headline.kind}: ")


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("bit", [0, 1, 2, 3, 7, 12, 15, 16, 17, 18, 19])
def test_an_alias_is_called_by_its_bit(bit: int, upper: bool):
    report = check(aliased(max(4 << bit, 64 * KIB), bit, upper=upper))
    (finding,) = report.findings
    assert (finding.kind, finding.address_bit) == (Kind.ALIAS, bit)
    assert f"bit {bit} of the address has no effect" in finding.sentence


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize(("bit", "blocks"), [(21, 2), (21, 4), (22, 2), (22, 4)])
def test_an_alias_of_bits_21_and_22_is_not_called_duplicated(bit: int, blocks: int, upper: bool):
    (finding,) = check(aliased(blocks << bit, bit, upper=upper)).findings
    assert (finding.kind, finding.address_bit) == (Kind.ALIAS, bit)


def test_a_chunk_of_2_mib_that_was_sent_twice_is_not_called_an_alias():
    data, good = written(12 * MIB), written(12 * MIB)
    data[6 * MIB : 8 * MIB] = good[4 * MIB : 6 * MIB]
    (finding,) = check(data).findings
    assert (finding.kind, finding.offset, finding.displacement) == (Kind.DUPLICATED, 6 * MIB, 2 * MIB)


def test_an_alias_in_memory_whose_address_is_known_is_told_by_that_address():
    address, bit = 0x7008, 14
    places = address + np.arange(256 * KIB)
    data = written(256 * KIB)
    homes = np.where(places >> bit & 1, places ^ 1 << bit, places) - address
    data = data[np.where(homes >= 0, homes, places - address)]
    (finding,) = check(data, address=address).findings
    assert (finding.kind, finding.address_bit) == (Kind.ALIAS, bit)


@pytest.mark.parametrize(("first", "count", "step"), [(0, 1, 1), (1, 1, 1), (0, 2000, 1), (1, 500, 2), (6, 64, 4)])
def test_inverted_dwords_are_not_called_garbage(first: int, count: int, step: int):
    data = written(64 * KIB)
    dwords = data.view(np.uint32)
    dwords[first : first + count * step : step] ^= np.uint32(0xFFFFFFFF)
    (finding,) = check(data).findings
    assert (finding.kind, finding.offset) == (Kind.INVERTED, 4 * first)


def test_dwords_swapped_across_the_bounds_of_words_are_named_too():
    data = written(64 * KIB)
    dwords = data.view(np.uint32)
    dwords[101:1101] = dwords[101:1101].reshape(-1, 2)[:, ::-1].reshape(-1)
    assert check(data).headline.kind is Kind.DWORD_SWAP


def test_dwords_swapped_at_odd_offsets_of_the_pattern_are_told_by_the_memorys_words():
    data = written(64 * KIB, first_byte=5)
    dwords = data.view(np.uint32)
    dwords[100:1100] = dwords[100:1100].reshape(-1, 2)[:, ::-1].reshape(-1)
    (finding,) = check(data, first_byte=5).findings
    assert (finding.kind, finding.offset) == (Kind.DWORD_SWAP, 400)


def test_two_dwords_that_changed_places_far_apart_are_told_where_they_belong():
    data = written(64 * KIB)
    dwords = data.view(np.uint32)
    dwords[[1000, 3000]] = dwords[[3000, 1000]]
    (finding,) = check(data).findings
    assert (finding.kind, finding.offset, finding.displacement) == (Kind.SWAPPED, 4000, -8000)


def test_pages_that_moved_round_are_permuted_though_most_of_them_moved_together():
    good, data = written(64 * KIB), written(64 * KIB)
    data[8192:24576] = good[4096:20480]
    data[4096:8192] = good[20480:24576]
    (finding,) = check(data).findings
    assert (finding.kind, finding.offset) == (Kind.PERMUTED, 4096)
    assert "misplaced among themselves" in finding.sentence


def test_rows_at_a_wrong_pitch_are_one_finding_at_the_first_gap():
    good, data = written(64 * KIB), written(64 * KIB, epoch=EPOCH - 1)
    width, pitch = 500, 512
    for row in range(64 * KIB // pitch):
        data[row * pitch : row * pitch + width] = good[row * width : (row + 1) * width]
    (finding,) = check(data).findings
    assert finding.kind is Kind.ROW_PITCH
    assert "each displaced by 0xc bytes more than the one before" in finding.sentence


def test_a_piece_that_arrived_in_part_is_torn_and_one_that_never_did_is_not():
    old = written(64 * KIB, epoch=EPOCH - 1)
    for start, end, kind in (
        (4096 + 1000, 8192, Kind.TORN),
        (4096, 8192 - 1000, Kind.TORN),
        (4096, 3 * 4096, Kind.NOT_WRITTEN),
        (4096 + 2048, 8192, Kind.NOT_WRITTEN),
        (5000, 6000, Kind.NOT_WRITTEN),
        (5000, 64 * KIB, Kind.SHORT_TAIL),
        (0, 64 * KIB, Kind.NOT_WRITTEN),
    ):
        data = written(64 * KIB)
        data[start:end] = old[start:end]
        assert check(data).headline.kind is kind, (start, end)


def test_a_few_bytes_missing_at_the_end_are_a_short_tail_whatever_they_hold():
    for missing in (1, 3, 7):
        data = written(1000)
        data[-missing:] ^= np.arange(0x5B, 0x5B + missing, dtype=np.uint8)
        finding = check(data).headline
        assert (finding.kind, finding.offset) == (Kind.SHORT_TAIL, 1000 - missing)


def test_a_repeated_value_is_told_as_a_number_of_its_width():
    for unit, text in ((b"\xcc", "0xcc"), (b"\xef\xbe\xad\xde", "0xdeadbeef"), (b"\x01\x02", "0x0201")):
        data = written(64 * KIB)
        data[4097:8000] = np.frombuffer(unit * 4000, np.uint8)[4097 % len(unit) :][: 8000 - 4097]
        (finding,) = check(data).findings
        assert (finding.kind, finding.offset) == (Kind.CONSTANT, 4097)
        assert f"hold {text} again and again" in finding.sentence


def test_stuck_lanes_are_named_also_where_few_words_at_an_edge_show_them():
    data = written(256 * KIB + 40)
    words = data.view(np.uint64)
    words |= np.uint64(0x300)
    (finding,) = check(data).findings
    assert (finding.kind, finding.bits) == (Kind.STUCK_BIT, (8, 9))
    assert "bits 8-9 of every 8-byte word read 1" in finding.sentence


def test_lanes_stuck_at_different_values_are_told_as_one_number():
    data = written(64 * KIB)
    words = data.view(np.uint64)
    words[:] = words & ~np.uint64(0b11) | np.uint64(0b10)
    assert "bits 0-1 of every 8-byte word read 0x2" in check(data).text()


def test_a_weak_line_is_a_bit_that_flips_in_many_words():
    data = written(64 * KIB)
    data.view(np.uint64)[10:5000:7] ^= np.uint64(1 << 33)
    (finding,) = check(data).findings
    assert (finding.kind, finding.bits, finding.stride) == (Kind.BIT_FLIP, (33,), 56)
    assert "bit 33 of 64" in finding.sentence


def test_flips_all_over_tell_whether_they_go_one_way():
    data = written(64 * KIB)
    for place in range(1000, 60000, 1000):
        bit = next(bit for bit in range(8) if data[place] >> bit & 1)
        data[place] ^= 1 << bit
    (finding,) = check(data).findings
    assert (finding.kind, finding.words) == (Kind.BIT_FLIP, 59)
    assert "all seen towards 0" in finding.sentence


def test_a_burst_of_bits_over_several_bytes_of_a_word_is_a_flip():
    data = written(64 * KIB)
    data.view(np.uint64)[100] ^= np.uint64(0x0100_0104_0002_0001)
    (finding,) = check(data).findings
    assert (finding.kind, finding.bits) == (Kind.BIT_FLIP, (0, 17, 34, 40, 56))


def test_several_causes_in_one_buffer_are_all_named():
    good, data = written(128 * KIB), written(128 * KIB)
    data[5] ^= 1
    data[4096:8192] = written(4096, first_byte=4096, epoch=3)
    data[20000:20100] = 0xFF
    data[30000:31000] = good[29995:30995]
    data[65536:66536] ^= 0xFF
    assert [finding.kind for finding in check(data).findings] == [
        Kind.BIT_FLIP,
        Kind.STALE,
        Kind.ALL_ONES,
        Kind.BYTE_SHIFTED,
        Kind.INVERTED,
    ]


def test_data_of_an_inverted_pass_are_stale():
    data = written(64 * KIB)
    fill(data[8192:12288], epoch=3, buffer_id=BUFFER, first_byte=8192, inverted=True)
    (finding,) = check(data).findings
    assert (finding.kind, finding.epoch) == (Kind.STALE, 3)
    assert "epoch 3 (inverted)" in finding.sentence


def test_data_of_many_origins_end_at_the_budget_and_the_rest_is_marked_as_not_examined(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(examining, "MOST_RUNS", 10)
    data = written(MIB)
    for place in range(0, MIB, 8192):
        data[place : place + 64] = np.frombuffer(random.Random(place).randbytes(64), np.uint8)  # noqa: S311  (seeded)
    report = check(data)
    assert not report.complete
    assert report.wrong_bytes > 7000
    assert {UNEXPLAINED, letter(Kind.GARBAGE)} <= set(report.cells)
    monkeypatch.setattr(examining, "MOST_RUNS", 4096)
    monkeypatch.setattr(examining, "MOST_WINDOWS", 2)
    assert not check(data).complete


def test_scenes_of_known_ideas_are_damaged_alike():
    alias = next(corruption for corruption in CORRUPTIONS if corruption.kind is Kind.ALIAS)
    scene = Scene(ours, SIZE, random.Random(0), address_bit=9)  # noqa: S311  (seeded)
    alias.damage(scene)
    assert judged(scene).headline.address_bit == 9
