"""hil.integrity: the pattern, and whether verification names what is wrong and where."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hil.integrity import EPOCHS, Kind, Origin, Report, Stream, decode, fill, verify
from hil.integrity.word import INDICES, PATTERN_BYTES, TILE_BYTES, mix, unmix

EPOCH, BUFFER = 5, 1
few = settings(max_examples=40, deadline=None)
starts = st.one_of(st.integers(0, 100), st.integers(TILE_BYTES - 600, TILE_BYTES + 8), st.integers(0, 1 << 38))
sizes = st.integers(1, 700)
big = st.integers(64, 700)


def written(nbytes: int, *, first_byte: int = 0, epoch: int = EPOCH, buffer_id: int = BUFFER) -> bytearray:
    data = bytearray(nbytes)
    fill(data, epoch=epoch, buffer_id=buffer_id, first_byte=first_byte)
    return data


def check(data: object, first_byte: int = 0, **more: int) -> Report:
    return verify(data, epoch=EPOCH, buffer_id=BUFFER, first_byte=first_byte, **more)  # type: ignore[arg-type]


@st.composite
def damaged_part(draw: st.DrawFn, least: int = 16) -> tuple[int, int, int, int]:
    """first_byte, size of the buffer, and the part ``low … high`` to damage, which ends before it, also by chance."""
    nbytes = draw(big)
    low = draw(st.integers(0, nbytes - least - 3))
    high = draw(st.integers(low + least, nbytes - 3))
    return draw(starts), nbytes, low, high


def wrong_span(data: bytearray, good: bytearray) -> tuple[int, int]:
    places = [i for i, (a, b) in enumerate(zip(data, good, strict=True)) if a != b]
    return places[0], places[-1] + 1 - places[0]


def only(report: Report) -> tuple[Kind, int, int]:
    assert len(report.findings) == 1, report.text()
    finding = report.findings[0]
    return finding.kind, finding.offset, finding.length


@few
@given(st.integers(0, (1 << 49) - 1))
def test_the_finalizer_can_be_undone(fields: int):
    assert unmix(mix(fields)) == fields


@few
@given(st.integers(0, EPOCHS - 1), st.integers(0, 255), st.integers(0, INDICES - 1))
def test_a_word_tells_its_origin(epoch: int, buffer_id: int, index: int):
    word = int.from_bytes(Stream(epoch, buffer_id).read(8 * index, 8).tobytes(), "little")
    assert decode(word) == Origin(epoch=epoch, buffer_id=buffer_id, index=index)


@pytest.mark.parametrize("word", [0, (1 << 64) - 1, 0xDEADBEEFDEADBEEF, 0xCCCCCCCCCCCCCCCC, 0xA5A5A5A5A5A5A5A5])
def test_what_memory_is_commonly_filled_with_is_no_word_of_the_pattern(word: int):
    assert decode(word) is None


def test_random_words_pass_the_check_once_in_256_times():
    random.seed(1)
    passed = sum(decode(random.getrandbits(64)) is not None for _ in range(20_000))
    assert 40 < passed < 120


def test_every_bit_of_the_pattern_changes_about_every_second_word():
    bits = np.unpackbits(Stream(EPOCH, BUFFER).read(0, TILE_BYTES)).reshape(-1, 64)
    changes = (bits[1:] != bits[:-1]).mean(axis=0)
    assert 0.47 < changes.min() <= changes.max() < 0.53


@few
@given(starts, sizes, st.integers(0, 7))
def test_filling_in_one_go_in_parts_and_at_any_address_gives_the_same_bytes(first: int, nbytes: int, shift: int):
    room = bytearray(nbytes + 16)
    part = memoryview(room)[shift : shift + nbytes]
    cut = nbytes // 3
    fill(part[:cut], epoch=EPOCH, buffer_id=BUFFER, first_byte=first)
    fill(part[cut:], epoch=EPOCH, buffer_id=BUFFER, first_byte=first + cut)
    assert bytes(part) == bytes(written(nbytes, first_byte=first))
    assert bytes(room[:shift]) == bytes(shift)
    assert bytes(room[shift + nbytes :]) == bytes(16 - shift)


@few
@given(starts, st.integers(0, 700))
def test_a_clean_buffer_is_intact(first: int, nbytes: int):
    report = check(written(nbytes, first_byte=first), first)
    assert (report.intact, report.nbytes, report.wrong_bytes, report.findings) == (True, nbytes, 0, ())
    assert "intact" in report.text()


def test_a_clean_buffer_of_several_tiles_is_intact_wherever_it_begins():
    for first in (0, 3, TILE_BYTES - 8, TILE_BYTES - 5):
        data = written(2 * TILE_BYTES + 13, first_byte=first)
        assert check(data, first).intact
        assert check(memoryview(data)[1:], first + 1).intact


class Tensor:
    """What offers DLPack alone, as tensors of other libraries do."""

    def __init__(self, array: np.ndarray, device: tuple[int, int] = (1, 0)) -> None:
        self._array, self._device = array, device

    def __dlpack__(self, **options: object) -> object:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._device


def test_a_tensor_in_the_hosts_memory_can_be_filled_and_verified():
    memory = np.zeros((16, 8), np.float32)
    fill(Tensor(memory), epoch=EPOCH, buffer_id=BUFFER)
    assert check(Tensor(memory)).intact
    assert check(memory).intact


def test_a_tensor_on_a_device_is_refused_and_the_message_says_what_to_do():
    for act in (fill, verify):
        with pytest.raises(ValueError, match=r"CUDA device \(number 1\).*copy it to the host first"):
            act(Tensor(np.zeros(8), (2, 1)))
        with pytest.raises(ValueError, match="DLPack type 99"):
            act(Tensor(np.zeros(8), (99, 0)))


def test_a_tensor_that_numpy_cannot_view_is_refused_in_one_sentence():
    class Strange(Tensor):
        def __dlpack__(self, **options: object) -> object:
            raise BufferError("bfloat16 is not known")

    with pytest.raises(ValueError, match=r"bfloat16 is not known.*as bytes"):
        verify(Strange(np.zeros(8)))


def test_a_part_of_a_buffer_can_be_filled_and_verified_by_itself():
    buffer = bytearray(1000)
    fill(buffer, offset=100, nbytes=300, first_byte=7)
    assert (bytes(buffer[:100]), bytes(buffer[400:])) == (bytes(100), bytes(600))
    assert verify(buffer, offset=100, nbytes=300, first_byte=7).intact
    assert verify(buffer, offset=150, nbytes=250, first_byte=57).intact
    buffer[160] ^= 1
    assert verify(buffer, offset=150, nbytes=250, first_byte=57).findings[0].offset == 10
    assert verify(buffer, offset=1000).intact


def test_half_floats_big_endian_numbers_and_records_can_be_filled_and_verified():
    for kind in (np.float16, ">u4", np.dtype([("a", "<u4"), ("b", "<f8")])):
        memory = np.zeros((4, 5), kind)
        fill(memory)
        assert verify(memory).intact


def test_an_inverted_pass_is_the_complement_and_not_taken_for_the_other():
    buffer, other = bytearray(999), bytearray(999)
    fill(buffer, epoch=EPOCH, first_byte=3)
    fill(other, epoch=EPOCH, first_byte=3, inverted=True)
    assert all(a ^ b == 0xFF for a, b in zip(buffer, other, strict=True))
    assert verify(other, epoch=EPOCH, first_byte=3, inverted=True).intact
    assert not verify(other, epoch=EPOCH, first_byte=3).intact


def test_any_object_with_a_buffer_can_be_filled_and_verified():
    data = np.zeros((4, 50), dtype=np.float32)
    fill(data, epoch=EPOCH, buffer_id=BUFFER)
    assert check(data).intact
    assert check(bytes(data.tobytes())).intact


@few
@given(starts, sizes, st.data())
def test_a_flipped_bit_is_named(first: int, nbytes: int, data: st.DataObject):
    buffer = written(nbytes, first_byte=first)
    place, bit = data.draw(st.integers(0, nbytes - 1)), data.draw(st.integers(0, 7))
    buffer[place] ^= 1 << bit
    report = check(buffer, first)
    assert only(report) == (Kind.BIT_FLIP, place, 1)
    assert report.wrong_bytes == 1
    assert report.findings[0].bits == (8 * (place % 8) + bit,)
    assert report.findings[0].flips == ((place, bit, buffer[place] >> bit & 1),)
    assert f"bit {bit} of the byte at {place:#x} reads {buffer[place] >> bit & 1}" in report.text()


def test_a_stuck_data_line_is_one_finding():
    buffer = np.frombuffer(written(1 << 16), dtype=np.uint64).copy()
    buffer |= np.uint64(1 << 21)
    finding = check(buffer).findings[0]
    assert finding.kind is Kind.STUCK_BIT
    assert finding.bits == (21,)
    assert finding.words > 3000
    assert "bit 21 of every 8-byte word reads 1" in finding.sentence


@few
@given(damaged_part(), st.integers(0, EPOCHS - 1).filter(lambda epoch: epoch != EPOCH))
def test_data_of_another_epoch_are_stale(part: tuple[int, int, int, int], epoch: int):
    first, nbytes, low, high = part
    good, buffer = written(nbytes, first_byte=first), written(nbytes, first_byte=first)
    buffer[low:high] = written(nbytes, first_byte=first, epoch=epoch)[low:high]
    report = check(buffer, first)
    assert only(report) == (Kind.STALE, *wrong_span(buffer, good))
    assert report.findings[0].epoch == epoch
    assert f"epoch {epoch}" in report.text()


@few
@given(damaged_part(), st.integers(0, 255).filter(lambda buffer_id: buffer_id != BUFFER))
def test_data_of_another_buffer_are_named(part: tuple[int, int, int, int], other: int):
    first, nbytes, low, high = part
    good, buffer = written(nbytes, first_byte=first), written(nbytes, first_byte=first)
    buffer[low:high] = written(nbytes, first_byte=first, buffer_id=other)[low:high]
    report = check(buffer, first)
    assert only(report) == (Kind.WRONG_BUFFER, *wrong_span(buffer, good))
    assert report.findings[0].buffer_id == other


@few
@given(damaged_part(least=24), st.integers(-5000, 5000).filter(bool))
def test_data_at_a_wrong_place_are_named_with_their_displacement_even_if_it_is_odd(
    part: tuple[int, int, int, int], delta: int
):
    first, nbytes, low, high = part
    assume(first + low - delta >= 0)
    assume(abs(delta).bit_count() > 1)  # an alias, perhaps
    good, buffer = written(nbytes, first_byte=first), written(nbytes, first_byte=first)
    buffer[low:high] = written(high - low, first_byte=first + low - delta)
    report = check(buffer, first)
    kind, *span = only(report)
    assert tuple(span) == wrong_span(buffer, good)
    assert report.findings[0].displacement == delta
    assert (kind is Kind.BYTE_SHIFTED) == (abs(delta) < high - low - 2 or (delta % 4 != 0 and abs(delta) < 4096))
    assert kind in (Kind.BYTE_SHIFTED, Kind.MISPLACED, Kind.DUPLICATED)


@few
@given(damaged_part(least=4), st.booleans())
def test_what_the_destination_was_filled_with_is_not_written(part: tuple[int, int, int, int], known: bool):
    first, nbytes, low, high = part
    assume(known or high - low >= 16)
    good, buffer = written(nbytes, first_byte=first), written(nbytes, first_byte=first)
    buffer[low:high] = written(nbytes, first_byte=first, epoch=900)[low:high]
    kind, offset, length = only(check(buffer, first, unwritten_epoch=900) if known else check(buffer, first))
    assert (offset, length) == wrong_span(buffer, good)
    assert kind is (Kind.NOT_WRITTEN if known else Kind.STALE)


@few
@given(damaged_part(least=8), st.sampled_from([(0x00, Kind.ZEROS), (0xFF, Kind.ALL_ONES)]))
def test_zeros_and_ones_are_named(part: tuple[int, int, int, int], what: tuple[int, Kind]):
    first, nbytes, low, high = part
    good, buffer = written(nbytes, first_byte=first), written(nbytes, first_byte=first)
    buffer[low:high] = bytes([what[0]]) * (high - low)
    assert only(check(buffer, first)) == (what[1], *wrong_span(buffer, good))


@few
@given(starts, big, st.data())
def test_a_tail_that_was_not_transferred_is_named(first: int, nbytes: int, data: st.DataObject):
    stop = data.draw(st.integers(1, nbytes - 8))
    before = data.draw(st.sampled_from([900, EPOCH - 1, None]))
    good, buffer = written(nbytes, first_byte=first), bytearray(nbytes)
    if before is not None:
        fill(buffer, epoch=before, buffer_id=BUFFER, first_byte=first)
    buffer[:stop] = good[:stop]
    report = check(buffer, first, unwritten_epoch=900)
    assert only(report) == (Kind.SHORT_TAIL, *wrong_span(buffer, good))
    assert "the transfer stopped after" in report.text()


@few
@given(damaged_part(least=24), st.integers(0, 2**32))
def test_what_is_no_pattern_is_garbage(part: tuple[int, int, int, int], seed: int):
    first, nbytes, low, high = part
    noise = random.Random(seed)  # noqa: S311  (test data)
    good, buffer = written(nbytes, first_byte=first), written(nbytes, first_byte=first)
    buffer[low:high] = bytes(byte ^ noise.randrange(1, 256) for byte in buffer[low:high])
    report = check(buffer, first)
    assert {finding.kind for finding in report.findings} <= {Kind.GARBAGE, Kind.BIT_FLIP}
    assert report.findings[0].offset == wrong_span(buffer, good)[0]
    assert report.findings[-1].offset + report.findings[-1].length == high
    assert any(finding.kind is Kind.GARBAGE for finding in report.findings)


@few
@given(starts, sizes, st.randoms(use_true_random=False))
def test_any_damage_is_found_and_covered_in_order_without_overlap(first: int, nbytes: int, chance: random.Random):
    good, buffer = written(nbytes, first_byte=first), written(nbytes, first_byte=first)
    for _ in range(chance.randrange(1, 6)):
        low = chance.randrange(nbytes)
        length = chance.choice([1, 2, 7, 8, 9, 40, 200])
        other = written(length, first_byte=chance.randrange(1 << 20), epoch=chance.randrange(EPOCHS))
        fresh = chance.choice([bytes(length), b"\xff" * length, chance.randbytes(length), bytes(other)])
        buffer[low : low + length] = fresh[: nbytes - low]
    wrong = {i for i, (a, b) in enumerate(zip(buffer, good, strict=True)) if a != b}
    report = check(buffer, first, limit=1000)
    assert report.wrong_bytes == len(wrong)
    assert report.intact == (not wrong)
    spans = sorted((range(low, low + size) for f in report.findings for low, size in f.spans), key=lambda r: r.start)
    assert wrong <= {i for span in spans for i in span}
    assert all(span[0] in wrong and span[-1] in wrong for span in spans)
    assert all(a.stop <= b.start for a, b in pairwise(spans))


def test_swapped_pages_in_a_large_buffer_are_one_finding():
    size, page = 3 * TILE_BYTES, 4096
    buffer = written(size)
    one, two = slice(page, 2 * page), slice(TILE_BYTES + 5 * page, TILE_BYTES + 6 * page)
    buffer[one], buffer[two] = buffer[two], buffer[one]
    (finding,) = check(buffer).findings
    assert (finding.kind, finding.displacement) == (Kind.SWAPPED, -TILE_BYTES - 4 * page)
    assert finding.spans == ((page, page), (TILE_BYTES + 5 * page, page))
    assert "hold each other's data, 272 KiB apart" in finding.sentence


def test_garbage_across_tiles_ends_where_an_explanation_begins():
    buffer = written(3 * TILE_BYTES, first_byte=3)
    end = TILE_BYTES + 8 * 4000 + 5
    buffer[:end] = np.random.default_rng(2).bytes(end)
    buffer[end : end + 8192] = written(8192, first_byte=3 + end, epoch=77)
    first, second = check(buffer, 3).findings
    assert (first.kind, first.offset, first.offset + first.length) == (Kind.GARBAGE, 0, second.offset)
    assert (second.kind, second.epoch) == (Kind.STALE, 77)


def test_all_of_a_large_buffer_may_be_garbage():
    buffer = np.random.default_rng(3).bytes(TILE_BYTES + 100)
    kind, offset, length = only(check(buffer))
    assert (kind, offset, length > TILE_BYTES) == (Kind.GARBAGE, 0, True)


def test_stale_data_of_another_buffer_from_elsewhere_tell_all_three():
    buffer = written(8192)
    buffer[1024:2048] = written(1024, first_byte=1 << 20, epoch=3, buffer_id=9)
    (finding,) = check(buffer).findings
    assert finding.kind is Kind.STALE
    assert (finding.epoch, finding.buffer_id, finding.displacement) == (3, 9, 1024 - (1 << 20))
    assert finding.sentence.startswith(
        "stale: 1 KiB at 0x400 (page 0 + 0x400, 2 MiB block 0 + 0x400) hold the data of epoch 3 of buffer 9 that "
        "belong at 0x100000"
    )


def test_a_single_zero_byte_is_told_in_the_singular():
    buffer = written(64)
    place = next(i for i in range(8, 32) if buffer[i].bit_count() > 3)
    buffer[place] = 0
    assert f"1 B at {place:#x} is zeros" in check(buffer).text()


def test_a_single_byte_of_an_old_tail_is_told_in_the_singular():
    good, old = written(4096), written(4096, epoch=900)
    stop = next(i for i in range(64, 4096) if (good[i] ^ old[i]).bit_count() > 3)
    finding = check(good[:stop] + old[stop : stop + 1], unwritten_epoch=900).findings[0]
    assert finding.kind is Kind.SHORT_TAIL
    assert finding.sentence.startswith(f"short tail: 1 B at {stop:#x} holds, up to the end, what they held before")


def test_one_byte_is_not_called_stale_for_being_what_an_old_one_was():
    good, old = written(4096), written(4096, epoch=EPOCH - 1)
    place = next(i for i in range(64, 4096) if (good[i] ^ old[i]).bit_count() > 3)
    good[place] = old[place]
    assert only(check(good)) == (Kind.GARBAGE, place, 1)


def test_two_zeros_at_the_head_of_garbage_are_part_of_it():
    buffer = written(4096)
    place = next(i for i in range(64, 4096, 8) if 0 not in buffer[i : i + 16])
    buffer[place : place + 16] = bytes(2) + bytes(byte ^ 0x77 for byte in buffer[place + 2 : place + 16])
    assert only(check(buffer)) == (Kind.GARBAGE, place, 16)


def test_the_gap_that_shifted_data_leave_is_part_of_the_finding():
    buffer = bytearray(b"\x11\x22\x33") + written(61)
    assert only(check(buffer)) == (Kind.BYTE_SHIFTED, 0, 64)


def test_garbage_shorter_than_two_words_is_garbage():
    buffer = bytearray(byte ^ 0x5A for byte in written(10))
    assert only(check(buffer)) == (Kind.GARBAGE, 0, 10)


def test_diagnosis_stops_at_its_limit_and_says_so():
    buffer = written(4096)
    for number in range(40):
        buffer[100 * number : 100 * number + 20] = written(20, epoch=100 + number, first_byte=100 * number)
    report = check(buffer, limit=3)
    assert len(report.findings) == 3
    assert not report.complete
    assert report.wrong_bytes > 700
    assert report.text().endswith("stopped at its limit")


def test_many_places_alike_are_one_finding_that_tells_how_they_lie():
    buffer = written(1 << 16)
    for page in range(0, 1 << 16, 4096):
        buffer[page + 128 : page + 192] = bytes(64)
    (finding,) = check(buffer).findings
    assert (finding.kind, finding.offset, finding.places, finding.stride) == (Kind.ZEROS, 128, 16, 4096)
    assert finding.sentence.startswith("zeros: 1 KiB in 16 places of 64 B (every 4 KiB) from 0x80 (page 0 + 0x80,")


@pytest.mark.parametrize(
    ("numbers", "names"),
    [
        ({"nbytes": -1}, "`nbytes`"),
        ({"nbytes": 9}, "beyond the buffer's 8 bytes"),
        ({"offset": -1}, "`offset`"),
        ({"offset": 9}, "`offset`"),
        ({"offset": 4, "nbytes": 5}, "`offset` \\+ `nbytes` is 9"),
        ({"epoch": -1}, "`epoch`"),
        ({"epoch": EPOCHS}, "`epoch`"),
        ({"buffer_id": 256}, "`buffer_id`"),
        ({"first_byte": -1}, "`first_byte`"),
        ({"first_byte": PATTERN_BYTES - 7}, "`first_byte`"),
    ],
)
def test_numbers_out_of_range_are_refused_by_name(numbers: dict[str, int], names: str):
    wanted = {"epoch": 1, "buffer_id": 1, **numbers}
    for act in (fill, verify):
        with pytest.raises(ValueError, match=names):
            act(bytearray(8), **wanted)


@pytest.mark.parametrize(
    ("options", "names"),
    [({"limit": 0}, "`limit`"), ({"unwritten_epoch": EPOCH}, "`unwritten_epoch`"), ({"address": -8}, "`address`")],
)
def test_options_of_verify_that_make_no_sense_are_refused(options: dict[str, int], names: str):
    with pytest.raises(ValueError, match=names):
        check(bytearray(8), **options)


def test_what_has_no_buffer_or_none_that_can_be_used_is_refused():
    for act in (fill, verify):
        with pytest.raises(TypeError, match="int does not"):
            act(7)
        with pytest.raises(ValueError, match="object does not"):
            act(object())
        with pytest.raises(ValueError, match="contiguous"):
            act(np.zeros(64, np.uint8)[::2])
    with pytest.raises(ValueError, match="cannot be viewed"):
        verify(np.zeros(8, "datetime64[s]"))
    with pytest.raises(ValueError, match="read-only"):
        fill(b"abc")
    frozen = np.zeros(8)
    frozen.setflags(write=False)
    with pytest.raises(ValueError, match="read-only"):
        fill(frozen)
    with pytest.raises(ValueError, match="64 bits"):
        decode(1 << 64)
