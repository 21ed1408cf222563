"""hil.throughput: samples and their numbers, bands, and sampling on an engine whose speed is known."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.copy import CopyEngine, EngineDevice
from hil.errors import BenchFault, DeviceGone, NotSupported
from hil.integrity import verify
from hil.model import BANDS, GB, KIB, MIB, Direction, LinkKind
from hil.throughput import Samples, judge, sample, sample_both

if TYPE_CHECKING:
    from collections.abc import Iterator

UP, DOWN = 3.0 * GB, 2.0 * GB
RATES = {Direction.H2D: UP, Direction.D2H: DOWN, Direction.D2D: 100.0 * GB}
SUBMIT = 1e-5


class TickingClock:
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    @contextmanager
    def operation(self, name: str, deadline: float) -> Iterator[None]:
        yield


@dataclass(eq=False)
class Memory:
    nbytes: int
    pinned: bool
    view: memoryview
    address: int = 0


class SteadyEngine(CopyEngine):
    """Copies take exactly bytes / rate; each stream has a timeline of its own, or all share one."""

    name: ClassVar[str] = "steady"
    device_time: ClassVar[bool] = True
    fresh_process_after_replug: ClassVar[bool] = False
    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)

    def __init__(self, clock: TickingClock, *, serial: bool = False, lost_after: int = 10**9) -> None:
        self.clock, self.serial, self.copies_left = clock, serial, lost_after
        self.ready: dict[int, float] = {}
        self.live: set[Memory] = set()
        self.sources: list[Memory] = []
        self.freed_while_lost = 0

    @classmethod
    def devices(cls, host: object) -> list[EngineDevice]:
        return []

    @classmethod
    def open(cls, host: object, target: str) -> SteadyEngine:
        raise NotSupported("made by the tests")

    def describe(self) -> EngineDevice:
        return EngineDevice(target="0", name="steady", vram_bytes=MIB)

    def host_alloc(self, nbytes: int, *, pinned: bool = True) -> Memory:
        memory = Memory(nbytes, pinned, memoryview(bytearray(nbytes)))
        self.live.add(memory)
        return memory

    def host_free(self, buffer: Memory) -> None:
        self.free(buffer)

    def alloc(self, nbytes: int) -> Memory:
        return self.host_alloc(nbytes)

    def free(self, buffer: Memory) -> None:
        self.live.remove(buffer)
        if self.copies_left <= 0:
            self.freed_while_lost += 1
            raise DeviceGone("free on a lost device")

    def upload(self, dst, src, nbytes, *, dst_offset=0, src_offset=0, stream=0) -> None:
        self._copy(dst, src, Direction.H2D, stream)

    def download(self, dst, src, nbytes, *, dst_offset=0, src_offset=0, stream=0) -> None:
        self._copy(dst, src, Direction.D2H, stream)

    def move(self, dst, src, nbytes, *, dst_offset=0, src_offset=0, stream=0) -> None:
        self._copy(dst, src, Direction.D2D, stream)

    def _copy(self, dst: Memory, src: Memory, direction: Direction, stream: int) -> None:
        self.copies_left -= 1
        if self.copies_left <= 0:
            raise DeviceGone("copy on a lost device")
        self.clock.time += SUBMIT
        line = 0 if self.serial else stream
        dst.view[:] = src.view
        self.sources.append(src)
        self.ready[line] = max(self.ready.get(line, 0.0), self.clock.time) + src.nbytes / RATES[direction]

    def synchronize(self, stream: int | None = None) -> None:
        self.clock.time = max([self.clock.time, *self.ready.values()])

    def record(self, stream: int = 0) -> float:
        return max(self.ready.get(0 if self.serial else stream, 0.0), self.clock.time)

    def elapsed(self, start: float, end: float) -> float:
        return end - start

    def memory(self) -> tuple[int, int]:
        return MIB, MIB

    def close(self) -> None:
        self.live.clear()


class HostTimedEngine(SteadyEngine):
    device_time: ClassVar[bool] = False
    directions: ClassVar[frozenset[Direction]] = frozenset({Direction.H2D, Direction.D2H})

    def record(self, stream: int = 0) -> float:
        raise AssertionError("an engine without device time must not be asked for it")


class TimelessEngine(SteadyEngine):
    def elapsed(self, start: float, end: float) -> float:
        return 0.0


def made(*seconds: float, nbytes: int = 1000) -> Samples:
    return Samples(direction=Direction.H2D, nbytes=nbytes, seconds=seconds, host_seconds=seconds, device_time=True)


def test_rate_and_spread_do_not_heed_one_bad_sample():
    samples = made(1.0, 1.0, 1.25, 1.0, 1000.0)
    assert samples.rate == 1000.0
    assert samples.spread == 0.0
    assert made(1.0, 2.0, 4.0).rate == 500.0
    assert made(1.0, 2.0, 4.0).spread == pytest.approx(1.4826 * 250.0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=20))
def test_samples_survive_json(seconds: list[float]):
    samples = made(*seconds)
    assert Samples.from_dict(json.loads(json.dumps(samples.to_dict()))) == samples


def test_samples_say_what_they_are_in_one_line():
    samples = made(1e-3, 1e-3, nbytes=3 * MIB)
    assert samples.text() == "H2D 3 MiB: 3.15 GB/s ± 0.0 % (2 samples, device time)"


@pytest.mark.parametrize(("seconds", "nbytes"), [((), 1), ((0.0,), 1), ((float("nan"),), 1), ((1.0,), 0)])
def test_samples_that_have_no_rate_are_refused(seconds: tuple[float, ...], nbytes: int):
    with pytest.raises(ValueError, match=r"`(seconds|nbytes)`"):
        made(*seconds, nbytes=nbytes)


@pytest.mark.parametrize("kind", list(BANDS))
def test_a_rate_below_the_band_fails_within_and_above_passes(kind: LinkKind):
    band = BANDS[kind]
    below, floor, above = judge(0.99 * band.low, kind), judge(band.low, kind), judge(1.01 * band.high, kind)
    assert below is not None
    assert floor is not None
    assert above is not None
    assert (below.ok, floor.ok, above.ok) == (False, True, True)
    assert "1 % under its floor" in below.sentence
    assert "lies in the band" in floor.sentence
    assert "1 % over its top" in above.sentence
    assert (floor.low, floor.high, floor.ratio) == (band.low, band.high, 1.0)


def test_the_verdict_names_the_link_and_decimal_rates():
    verdict = judge(3.1e9, LinkKind.USB4)
    assert verdict is not None
    assert verdict.sentence == "3.10 GB/s lies in the band of a USB4 link, 2.80 GB/s to 3.90 GB/s"


def test_an_unknown_link_has_no_verdict_and_no_rate_is_no_rate():
    assert judge(1e9, LinkKind.UNKNOWN) is None
    for rate in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="`rate`"):
            judge(rate, LinkKind.USB4)


@pytest.mark.parametrize("direction", list(Direction))
def test_samples_hold_the_device_time_of_each_copy(direction: Direction):
    clock = TickingClock()
    engine = SteadyEngine(clock)
    samples = sample(engine, clock, direction, 64 * KIB, rounds=5, warmups=2)
    assert samples.direction is direction
    assert len(samples.seconds) == len(samples.host_seconds) == 5
    assert samples.device_time
    wanted = 64 * KIB / RATES[direction] + SUBMIT  # the mark before is passed as soon as it is submitted
    assert samples.seconds == pytest.approx([wanted] * 5)
    assert engine.live == set()


def test_what_is_copied_is_the_pattern():
    clock = TickingClock()
    for direction in Direction:
        engine = SteadyEngine(clock)
        sample(engine, clock, direction, 999, rounds=1, warmups=0)
        assert engine.sources
        assert all(verify(source.view, epoch=0, buffer_id=0).intact for source in engine.sources)


def test_without_device_time_the_hosts_clock_counts():
    clock = TickingClock()
    samples = sample(HostTimedEngine(clock), clock, Direction.D2H, MIB, rounds=3)
    assert not samples.device_time
    assert samples.seconds == samples.host_seconds
    assert samples.rate == pytest.approx(MIB / (MIB / DOWN + SUBMIT))


def test_both_ways_at_once_each_direction_keeps_its_own_rate():
    clock = TickingClock()
    engine = SteadyEngine(clock)
    both = sample_both(engine, clock, 8 * MIB, rounds=3, warmups=1)
    assert both.overlapped == (True, True, True)
    assert both.h2d.rate == pytest.approx(UP, rel=1e-6)
    assert both.d2h.rate == pytest.approx(DOWN, rel=1e-6)
    assert (both.h2d.direction, both.d2h.direction) == (Direction.H2D, Direction.D2H)
    assert engine.live == set()


@pytest.mark.parametrize("kind", [SteadyEngine, HostTimedEngine])
def test_directions_that_run_one_after_the_other_share_the_span(kind: type[SteadyEngine]):
    clock = TickingClock()
    both = sample_both(kind(clock, serial=True), clock, 8 * MIB, rounds=2, warmups=0, depth=2)
    shared = 1 / (1 / UP + 1 / DOWN)
    assert both.h2d.rate == pytest.approx(shared, rel=0.02)
    assert both.h2d.rate == both.d2h.rate
    if not both.h2d.device_time:
        assert both.overlapped == (False, False)


def test_a_driver_that_queues_all_of_one_direction_first_does_not_overlap():
    class Hoarder(SteadyEngine):
        def record(self, stream: int = 0) -> tuple[int, int]:  # type: ignore[override]
            self.counts[stream] = self.counts.get(stream, -1 if stream == 0 else 0) + 1
            return stream, self.counts[stream]

        def elapsed(self, start: tuple[int, int], end: tuple[int, int]) -> float:  # type: ignore[override]
            stream, number = end
            return (number + 4 * stream) * 1e-3

    clock = TickingClock()
    engine = Hoarder(clock)
    engine.counts = {}
    both = sample_both(engine, clock, MIB, rounds=1, warmups=0, depth=4)
    assert both.overlapped == (False,)
    assert both.h2d.seconds == both.d2h.seconds == pytest.approx((2e-3,))


def test_what_goes_wrong_while_sampling_is_told_and_everything_is_freed():
    clock = TickingClock()
    engine = SteadyEngine(clock, lost_after=5)
    with pytest.raises(DeviceGone, match="copy on a lost device"):
        sample(engine, clock, Direction.D2D, KIB)
    assert engine.live == set()
    assert engine.freed_while_lost == 2


def test_a_clock_too_coarse_for_the_size_is_a_fault_of_the_bench():
    clock = TickingClock()
    with pytest.raises(BenchFault, match="too coarse"):
        sample(TimelessEngine(clock), clock, Direction.H2D, KIB)


def test_a_direction_that_the_engine_lacks_is_refused():
    clock = TickingClock()
    with pytest.raises(NotSupported, match="steady has no copies D2D; it has D2H, H2D"):
        sample(HostTimedEngine(clock), clock, Direction.D2D, KIB)


@pytest.mark.parametrize("wrong", [{"nbytes": 0}, {"rounds": 0}, {"warmups": -1}, {"depth": 1}])
def test_numbers_out_of_range_are_refused_by_name(wrong: dict[str, int]):
    clock = TickingClock()
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}`"):
        sample_both(SteadyEngine(clock), clock, **{"nbytes": KIB, **wrong})


@pytest.mark.parametrize("wrong", [{"offset": -1}, {"rows": 0}, {"rows": 3}])
def test_shapes_that_cannot_be_are_refused_with_their_numbers(wrong: dict[str, int]):
    clock = TickingClock()
    with pytest.raises(ValueError, match="`offset` must be at least 0 and `nbytes` a multiple of `rows`, not "):
        sample(SteadyEngine(clock), clock, Direction.H2D, KIB, **wrong)
