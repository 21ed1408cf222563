"""Faults of a card's memory: every cell holds what the fault says, and only reads of wrong cells count."""

from __future__ import annotations

import random

import pytest
from copies_under_fault import D2H, H2D, HEAP, carried, data_of, fault, intact, reset
from fault_rig import machine_of
from hypothesis import given
from hypothesis import strategies as st
from sim_rig import MIB, rigs

from hil.errors import UsageError
from hil.sim.faults.base import SleepPlan
from hil.sim.faults.cells import Spans

KIB = 1 << 10
GIB = 1 << 30
NAMES = ("address-alias", "coupling", "soft-flips", "stuck-bit")


@pytest.fixture
def switch_on():
    with rigs() as start:
        yield start


class Card:
    """The memory of the first card of a rig, as copies write and read it."""

    def __init__(self, rig):
        self.machine = rig.machine
        self._do = rig.do

    def write(self, address: int, data: bytes) -> None:
        self._do(self.machine.vram_write, self.machine.gpus[0], address, data)

    def read(self, address: int, nbytes: int) -> bytes:
        return self._do(self.machine.vram_read, self.machine.gpus[0], address, nbytes)

    @property
    def struck(self) -> int:
        return self.machine.hooks.faults[0].struck


@pytest.fixture
def card(switch_on):
    return lambda text: Card(switch_on(None, text))


@pytest.mark.parametrize("name", NAMES)
def test_a_fault_that_is_due_later_changes_nothing(switch_on, name):
    rig = switch_on(None, f"{name}:at_time=1000")

    assert carried(rig, H2D, data_of(MIB)) == intact(data_of(MIB))
    assert carried(rig, D2H, data_of(MIB)) == intact(data_of(MIB))
    assert fault(rig).struck == 0


@pytest.mark.parametrize("name", NAMES)
def test_another_card_keeps_its_memory(switch_on, name):
    rig = switch_on(None, f"{name}:gpu=1")

    assert carried(rig, D2H, data_of(MIB)) == intact(data_of(MIB))
    assert fault(rig).struck == 0


# Soft flips -----------------------------------------------------------------------------------------------------------


def flips(found: bytes, data: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(found, data, strict=True))


def test_as_many_bits_flip_as_are_said_of_what_is_read(card):
    memory, data = card("soft-flips:rate=65536"), data_of(4 * MIB)
    memory.write(HEAP, data)

    found = memory.read(HEAP, len(data))

    assert flips(found, data) == memory.struck
    assert memory.struck == pytest.approx(65536 * len(data) / GIB, rel=0.2)


def test_a_flipped_bit_stays_until_it_is_written(card):
    memory, data = card("soft-flips:rate=100000,times=1"), data_of(MIB)
    memory.write(HEAP, data)

    first, second = memory.read(HEAP, MIB), memory.read(HEAP, MIB)

    assert flips(first, data) == 1
    assert second == first
    memory.write(HEAP, data)
    assert memory.read(HEAP, MIB) == data
    assert memory.struck == 1


def test_flips_are_counted_over_many_small_reads(card):
    memory = card("soft-flips:rate=1000000,gpu=0")
    for _ in range(2000):
        memory.read(HEAP, 4096)

    assert memory.struck == pytest.approx(1e6 * 2000 * 4096 / GIB, rel=0.2)


# Stuck bit ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 1])
@pytest.mark.parametrize("bit", [0, 7, 8, 63])
def test_a_bit_reads_as_its_value_and_counts_only_where_that_differs(card, value, bit):
    memory = card(f"stuck-bit:value={value},bit={bit},address={HEAP + 800}")
    right, wrong = bytes(1600), bytearray(1600)
    if value:
        wrong[800 + bit // 8] = 1 << bit % 8
    else:
        right, wrong = b"\xff" * 1600, bytearray(b"\xff" * 1600)
        wrong[800 + bit // 8] ^= 1 << bit % 8

    memory.write(HEAP, right)
    assert memory.read(HEAP, 1600) == wrong
    assert memory.read(HEAP + 808, 100) == right[808:908]
    assert memory.read(HEAP + 700, 100) == right[700:800]
    assert memory.struck == 1
    memory.write(HEAP, bytes(wrong))
    assert memory.read(HEAP, 1600) == wrong
    assert memory.struck == 1


def test_a_bit_may_stick_now_and_then(card):
    memory = card("stuck-bit:nth=2")

    assert [memory.read(HEAP, 1) for _ in range(3)] == [b"\0", b"\1", b"\0"]


@pytest.mark.parametrize(
    "text",
    ["stuck-bit:address=99999999999999", "coupling:distance=-1,address=0", "address-alias:bit=40",
     "coupling:address=4294967296000", "stuck-bit:gpu=1,address=99999999999999"],
)  # fmt: skip
def test_memory_that_no_card_has_is_refused(text):
    with pytest.raises(UsageError, match=rf"fault {text.split(':')[0]}: there is no memory at .* ends at 0x"):
        machine_of("linux-two-enclosures", text)


# Alias ----------------------------------------------------------------------------------------------------------------


class Aliased:
    """A memory in which addresses that differ in one bit are one, byte by byte."""

    def __init__(self, bit: int) -> None:
        self.cells: dict[int, int] = {}
        self.mask = ~(1 << bit)

    def write(self, address: int, data: bytes) -> None:
        for at, byte in enumerate(data, address):
            self.cells[at & self.mask] = byte

    def read(self, address: int, nbytes: int) -> bytes:
        return bytes(self.cells.get(at & self.mask, 0) for at in range(address, address + nbytes))


@pytest.mark.parametrize("bit", [9, 10, 12, 15])
@pytest.mark.parametrize("seed", range(4))
def test_addresses_that_differ_in_one_bit_are_one(card, bit, seed):
    memory, model = card(f"address-alias:bit={bit}"), Aliased(bit)
    dice = random.Random(seed)  # noqa: S311  (seeded)
    for _ in range(30):
        start, nbytes = HEAP + dice.randrange(64 * KIB), dice.choice([1, 100, 512, 5000, 20000])
        data = dice.randbytes(nbytes)
        memory.write(start, data)
        model.write(start, data)
        where = HEAP + dice.randrange(64 * KIB)
        assert memory.read(where, 8192) == model.read(where, 8192)


def test_only_reads_of_what_another_address_changed_count(card):
    memory = card("address-alias:bit=16")
    memory.write(HEAP, b"\1" * 4096)
    assert memory.read(HEAP, 65536) == b"\1" * 4096 + bytes(65536 - 4096)
    assert memory.struck == 0
    assert memory.read(HEAP + 65536, 10) == b"\1" * 10
    assert memory.struck == 1
    memory.write(HEAP + 65536, b"\2" * 100)
    memory.read(HEAP + 65536, 100)
    assert memory.struck == 1
    assert memory.read(HEAP, 101) == b"\2" * 100 + b"\1"
    assert memory.struck == 2
    memory.write(HEAP, b"\2" * 100)  # what is there already
    memory.read(HEAP + 65536, 100)
    assert memory.struck == 2


def test_a_partner_beyond_the_memory_is_no_cell(card):
    memory = card("address-alias:bit=29")  # of a card of 1 GiB

    memory.write((1 << 30) - 512, b"\1" * 512)

    assert memory.read((1 << 29) - 512, 512) == b"\1" * 512
    assert memory.read((1 << 30) - 512, 512) == b"\1" * 512


def test_what_is_freed_or_loses_power_is_not_wrong_any_more(switch_on):
    rig = switch_on(None, "address-alias:bit=16")
    memory, engine = Card(rig), rig.engine()
    first, second = engine.alloc(65536), engine.alloc(65536)
    memory.write(first.address, b"\1" * 10)
    engine.free(second)

    assert memory.read(second.address, 10) == bytes(10)
    assert memory.struck == 0

    memory.write(first.address, b"\2" * 10)
    reset(rig)
    rig.machine.clock.sleep("hand", 1.0)
    assert memory.read(second.address, 10) == bytes(10)
    memory.write(first.address, b"\3" * 10)
    rig.do(rig.machine.detach, rig.machine.enclosures[0])
    memory.read(second.address, 10)
    assert memory.struck == 0


@pytest.mark.parametrize("survives", [True, False])
def test_memory_that_loses_power_in_a_sleep_is_not_wrong_any_more(switch_on, survives):
    rig = switch_on(None, "address-alias:bit=16")
    memory = Card(rig)
    memory.write(HEAP, b"\1")

    fault(rig).on_sleep(SleepPlan(10.0, 1.0, vram_survives=survives, context_survives=False))

    memory.read(HEAP + 65536, 1)
    assert memory.struck == survives


def test_an_alias_acts_as_often_as_it_may(card):
    memory = card("address-alias:bit=16,times=1")
    memory.write(HEAP, b"\1")
    memory.write(HEAP, b"\2")

    assert memory.read(HEAP + 65536, 1) == b"\1"


ranges = st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(st.tuples(st.booleans(), ranges)), ranges)
def test_ranges_are_a_set_of_addresses(steps, probe):
    spans, model = Spans(), set()
    for adds, (start, end) in steps:
        (spans.add if adds else spans.remove)(start, end)
        (model.update if adds else model.difference_update)(range(start, end))

    assert spans.overlaps(*probe) == bool(model & set(range(*probe)))
    assert [at for at in range(90) if spans.overlaps(at, at + 1)] == sorted(model)


# Coupling -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", [-64, -1, 1, 5000])
def test_writing_the_aggressor_flips_the_victim(card, distance):
    memory = card(f"coupling:distance={distance},bit=5,address={HEAP + 9000}")
    victim = HEAP + 9000 + distance
    memory.write(victim, b"\x0f")

    memory.write(HEAP + 9000, b"x")
    assert memory.read(victim, 1) == b"\x2f"
    assert memory.struck == 1
    memory.write(HEAP + 9000, b"x")
    assert memory.read(victim, 1) == b"\x0f"
    memory.write(HEAP + 9000, b"x")
    memory.write(victim, b"\x0f")
    assert memory.read(victim, 1) == b"\x0f"
    assert memory.struck == 1
    assert memory.read(HEAP + 9000, 1) == b"x"


def test_in_one_write_a_victim_below_is_flipped_and_one_above_is_written_after(card):
    data = data_of(10_000)
    below, above = card(f"coupling:distance=-100,address={HEAP + 500}"), card(f"coupling:distance=100,address={HEAP}")
    expected = bytearray(data)
    expected[400] ^= 1
    for memory in (below, above):
        memory.write(HEAP, data)

    assert below.read(HEAP, 10_000) == expected
    assert above.read(HEAP, 10_000) == data
    assert (below.struck, above.struck) == (1, 0)


def test_a_card_that_was_wiped_has_no_wrong_victim(switch_on):
    rig = switch_on(None, f"coupling:address={HEAP + 64}")
    memory = Card(rig)
    memory.write(HEAP + 64, b"x")
    reset(rig)
    rig.machine.clock.sleep("hand", 1.0)

    assert memory.read(HEAP, 1) == b"\0"
    assert memory.struck == 0


def test_copies_meet_these_cells(switch_on):
    # `carried` reads its data from the first allocation, which begins at 64 MiB.
    rig = switch_on(None, f"stuck-bit:address={HEAP + 8192},value=1")

    assert carried(rig, D2H, bytes(MIB)) != intact(bytes(MIB))
    assert fault(rig).struck == 1
