"""hil.integrity: guard zones, several passes over one memory, and the picture of a buffer."""

from __future__ import annotations

import random
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from hil.integrity import (
    GUARD_BYTES,
    Finding,
    Kind,
    Report,
    check_guards,
    fill,
    fill_guards,
    merged,
    picture,
    verify,
)
from hil.integrity.findings import INTACT, letter
from hil.model import KIB, MIB, from_dict, to_dict

EPOCH, BUFFER, SIZE = 9, 3, 10_000
SVG = "{http://www.w3.org/2000/svg}"


def guarded() -> np.ndarray:
    memory = np.zeros(SIZE + 2 * GUARD_BYTES, np.uint8)
    fill_guards(memory, GUARD_BYTES, SIZE, epoch=EPOCH - 1)
    fill(memory, epoch=EPOCH, buffer_id=BUFFER, offset=GUARD_BYTES, nbytes=SIZE)
    return memory


def looked_at(memory: np.ndarray) -> tuple[Finding, ...]:
    return check_guards(memory, GUARD_BYTES, SIZE, epoch=EPOCH - 1)


def test_guards_that_nobody_touched_give_no_finding_whatever_the_data_are():
    memory = guarded()
    memory[GUARD_BYTES : GUARD_BYTES + SIZE] = 0
    assert looked_at(memory) == ()


@pytest.mark.parametrize("nbytes", [1, 2, 8, 100, 4096])
@pytest.mark.parametrize("what", ["data", "noise"])
def test_what_is_written_past_either_end_is_an_overrun_or_underrun(nbytes: int, what: str):
    extra = np.empty(nbytes, np.uint8)
    fill(extra, epoch=EPOCH, buffer_id=BUFFER, first_byte=SIZE)
    for kind, low in ((Kind.OVERRUN, SIZE), (Kind.UNDERRUN, -nbytes)):
        memory = guarded()
        part = memory[GUARD_BYTES + low :][:nbytes]
        part[:] = extra if what == "data" else part ^ 0x77
        (finding,) = looked_at(memory)
        assert (finding.kind, finding.length) == (kind, nbytes)
        assert finding.offset == low
        assert "guard zone" in finding.sentence


def test_what_is_written_away_from_the_edge_tells_how_far():
    memory = guarded()
    fill(memory[GUARD_BYTES + SIZE + 1000 :][:64], epoch=EPOCH, buffer_id=BUFFER, first_byte=64)
    (finding,) = looked_at(memory)
    assert (finding.kind, finding.offset) == (Kind.OVERRUN, SIZE + 1000)
    assert "1000 B away" in finding.sentence


def test_a_bit_that_flips_in_a_guard_is_a_bit_that_flips():
    memory = guarded()
    memory[100] ^= 2
    (finding,) = looked_at(memory)
    assert (finding.kind, finding.offset) == (Kind.BIT_FLIP, 100 - GUARD_BYTES)
    assert "bit 1 of the byte at 0x64 reads" in finding.sentence
    assert "in the guard zone below the buffer" in finding.sentence


@pytest.mark.parametrize("old", ["zeros", "an older guard"])
def test_a_guard_that_never_got_there_is_not_called_an_overrun(old: str):
    memory = guarded()
    upper = memory[GUARD_BYTES + SIZE :]
    upper[:] = 0
    if old != "zeros":
        fill(upper, epoch=EPOCH - 4, buffer_id=200, first_byte=GUARD_BYTES + SIZE)
    (finding,) = looked_at(memory)
    assert finding.kind is (Kind.ZEROS if old == "zeros" else Kind.STALE)


def test_zones_that_were_fetched_without_their_data_are_told_by_the_datas_own_offsets():
    zones = np.zeros(2 * GUARD_BYTES, np.uint8)
    fill_guards(zones, GUARD_BYTES, 0, epoch=4, buffer_id=9)
    assert check_guards(zones, GUARD_BYTES, 0, epoch=4, buffer_id=9, absent=SIZE) == ()
    fill(zones[GUARD_BYTES : GUARD_BYTES + 100], epoch=5)
    (finding,) = check_guards(zones, GUARD_BYTES, 0, epoch=4, buffer_id=9, absent=SIZE, name="the card's buffer")
    assert (finding.kind, finding.offset) == (Kind.OVERRUN, SIZE)
    assert "behind the end of the card's buffer" in finding.sentence


def test_a_report_takes_findings_of_its_guards_in():
    memory = guarded()
    memory[GUARD_BYTES + SIZE :][:500] = 0xCC
    data = verify(memory, epoch=EPOCH, buffer_id=BUFFER, offset=GUARD_BYTES, nbytes=SIZE)
    assert data.with_findings(()) is data
    report = data.with_findings(looked_at(memory))
    assert not report.intact
    assert report.text().startswith("all 10000 B are intact, what lies around them is not:\n  overrun: 500 B")
    assert "overrun" in picture(report)


def test_a_guard_must_lie_in_its_buffer():
    with pytest.raises(ValueError, match="beyond the buffer"):
        fill_guards(bytearray(100), 50, 51, epoch=1)
    with pytest.raises(ValueError, match="`nbytes`"):
        check_guards(bytearray(100), 50, -1, epoch=1)


def passes(damage: object, count: int = 4) -> list[Report]:
    """Passes with data and complement in turn, over a memory that `damage` spoils after each write."""
    reports = []
    for number in range(count):
        memory, inverted = np.zeros(SIZE, np.uint8), bool(number % 2)
        fill(memory, epoch=EPOCH + number // 2, buffer_id=BUFFER, inverted=inverted)
        damage(memory, number)  # type: ignore[operator]
        reports.append(verify(memory, epoch=EPOCH + number // 2, buffer_id=BUFFER, inverted=inverted))
    return reports


@pytest.mark.parametrize("value", [0, 1])
def test_a_cell_that_reads_the_same_in_all_passes_is_stuck(value: int):
    def stuck(memory: np.ndarray, _: int) -> None:
        memory[777] = memory[777] | 4 if value else memory[777] & 0xFB

    report = merged(passes(stuck))
    (finding,) = report.findings
    assert (finding.kind, finding.offset, finding.flips) == (Kind.STUCK_BIT, 777, ((777, 2, value),))
    assert f"bit 2 of the byte at 0x309 reads {value} in all 4 passes, and should not in 2" in finding.sentence


def test_a_bit_that_flipped_once_or_both_ways_is_not_stuck():
    def once(memory: np.ndarray, number: int) -> None:
        memory[777] ^= 4 if number == 1 else 0

    def always(memory: np.ndarray, _: int) -> None:
        memory[777] ^= 4

    for damage in (once, always):
        assert {finding.kind for finding in merged(passes(damage)).findings} == {Kind.BIT_FLIP}
    assert "(in 1 of 4 passes)" in merged(passes(once)).findings[0].sentence


def test_what_else_is_wrong_in_several_passes_is_told_once_with_how_often():
    def dropped(memory: np.ndarray, number: int) -> None:
        memory[500] |= 1
        if number != 2:
            memory[4096:8192] = 0

    first, second = merged(passes(dropped)).findings
    assert (first.kind, second.kind, second.offset) == (Kind.STUCK_BIT, Kind.ZEROS, 4096)
    assert second.sentence.endswith("(in 3 of 4 passes)")


def test_passes_without_fault_are_intact_and_those_of_other_sizes_are_refused():
    reports = passes(lambda memory, number: None)
    assert merged(reports).intact
    with pytest.raises(ValueError, match="empty"):
        merged([])
    with pytest.raises(ValueError, match="of 10000, 3 bytes"):
        merged([reports[0], verify(bytearray(3))])


def shapes(text: str) -> list[ET.Element]:
    return list(ET.fromstring(text).iter(f"{SVG}rect"))


def test_the_picture_shows_what_is_wrong_where_and_says_what_colours_mean():
    memory = np.zeros(MIB, np.uint8)
    fill(memory)
    memory[512 * KIB : 640 * KIB] = 0
    memory[100] ^= 1
    report = verify(memory)
    assert report.cells.count(letter(Kind.ZEROS)) == 128
    assert report.cells[0] == letter(Kind.BIT_FLIP)
    text = picture(report)
    tips = [tip.text for shape in shapes(text) for tip in shape]
    assert "zeros: 0x80000 … 0x8ffff" in tips
    assert "bit flip: 0x0 … 0x3ff" in tips
    words = [word.text for word in ET.fromstring(text).iter(f"{SVG}text")]
    assert {"intact", "zeros", "bit flip", "one square is 1 KiB"} <= set(words)
    assert "prefers-color-scheme: dark" in text
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert len(text) < 40 * KIB


def test_the_picture_of_places_too_many_to_keep_shows_them_all():
    memory = np.zeros(4 * MIB, np.uint8)
    fill(memory)
    for page in range(0, 4 * MIB, 16 * KIB):
        memory[page + 128 : page + 192] = 0
    assert verify(memory).cells == (letter(Kind.ZEROS) + 3 * INTACT) * 256


def test_each_kind_has_a_colour_and_a_letter_of_its_own():
    cells = "".join(letter(kind) for kind in Kind)
    report = Report(intact=False, nbytes=len(cells), wrong_bytes=1, cells=cells + "?")
    fills = [shape.get("fill") for shape in shapes(picture(report)) if shape.get("fill")]
    assert len(set(fills)) == len(Kind)
    assert "wrong, not examined" in picture(report)


def test_the_picture_of_an_intact_or_empty_buffer_is_one_too():
    for nbytes in (0, 100):
        memory = bytearray(nbytes)
        fill(memory)
        assert "are intact" in picture(verify(memory))


def test_a_report_crosses_to_another_process_whole():
    memory = np.zeros(MIB, np.uint8)
    fill(memory)
    memory[::5000] ^= np.uint8(1 << random.Random(1).randrange(8))  # noqa: S311  (seeded)
    report = verify(memory)
    assert from_dict(Report, to_dict(report)) == report
