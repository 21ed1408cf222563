"""Takes samples: copies of one size, one way or both ways at once, timed by the device where it can."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from hil.errors import BenchFault, HilError, NotSupported
from hil.integrity import fill
from hil.model import Direction, size_text
from hil.throughput.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hil.copy.base import CopyEngine, DeviceBuffer, HostBuffer
    from hil.hosts.base import Clock

_UP, _DOWN = 0, 1  # streams


@dataclass(frozen=True, slots=True, kw_only=True)
class BothWays:
    """Samples of H2D and D2H at once: ``nbytes / seconds`` of each is its direction's rate while both ran."""

    h2d: Samples
    d2h: Samples
    overlapped: tuple[bool, ...]
    """For each sample, whether the directions ran at once. Where not (the driver ran one after the other, or
    no device time tells), the rates are those over the whole span, which both directions shared."""


def sample(
    engine: CopyEngine,
    clock: Clock,
    direction: Direction,
    nbytes: int,
    rounds: int = 10,
    warmups: int = 4,
) -> Samples:
    """Time `rounds` copies of `nbytes` bytes, each waited for, after `warmups` copies that are not counted.

    Pinned host memory holds the pattern, so that neither untouched pages nor data that compress well make a
    copy look fast. Buffers are allocated once and freed at the end, also after an error.

    Raises:
        NotSupported: the engine has no copies in this `direction`.
        ValueError: a number is out of range.
        BenchFault: a clock did not advance over a copy: it is too coarse for this size.
        DeviceFault: what the driver or the device did wrong.

    """
    _check(engine, (direction,), nbytes, rounds, warmups)
    with ExitStack() as stack:
        copy = _copier(engine, direction, nbytes, stack)
        times: list[tuple[float, float]] = []
        for _ in range(warmups + rounds):
            began = clock.now()
            start = engine.record(_UP) if engine.device_time else None
            copy(_UP)
            end = engine.record(_UP) if engine.device_time else None
            engine.synchronize(_UP)
            host = clock.now() - began
            times.append((engine.elapsed(start, end) if engine.device_time else host, host))
    return _samples(engine, direction, nbytes, times[warmups:])


def sample_both(
    engine: CopyEngine,
    clock: Clock,
    nbytes: int,
    rounds: int = 10,
    warmups: int = 4,
    depth: int = 4,
) -> BothWays:
    """Time H2D and D2H at once, on two streams, with buffers of their own.

    A round submits `depth` copies of `nbytes` bytes to each stream in turn and waits for all. Only the window
    in which both directions surely ran counts: from when each has finished its first copy, to when one has
    finished its last. A copy that lies partly in the window counts by the share of its time. This needs
    device time; without it, and where the driver does not overlap the two, the window is the whole round.

    Args:
        engine: the open engine.
        clock: the host's clock.
        nbytes: bytes of one copy.
        rounds: samples to take.
        warmups: rounds before that are not counted.
        depth: copies of each direction in a round, at least 2.

    Raises:
        NotSupported: the engine lacks one of the directions.
        ValueError: a number is out of range.
        BenchFault: a clock did not advance over a round.
        DeviceFault: what the driver or the device did wrong.

    """
    _check(engine, (Direction.H2D, Direction.D2H), nbytes, rounds, warmups)
    if depth < 2:  # noqa: PLR2004  (the first copy only opens the window)
        raise ValueError(f"`depth` must be at least 2, not {depth}")
    with ExitStack() as stack:
        up = _copier(engine, Direction.H2D, nbytes, stack)
        down = _copier(engine, Direction.D2H, nbytes, stack)
        found = [_both_round(engine, clock, up, down, depth) for _ in range(warmups + rounds)][warmups:]
    return BothWays(
        h2d=_samples(engine, Direction.H2D, nbytes, [(up_s, host / depth) for up_s, _, host, _ in found]),
        d2h=_samples(engine, Direction.D2H, nbytes, [(down_s, host / depth) for _, down_s, host, _ in found]),
        overlapped=tuple(overlapped for _, _, _, overlapped in found),
    )


def _both_round(
    engine: CopyEngine, clock: Clock, up: Callable[[int], None], down: Callable[[int], None], depth: int
) -> tuple[float, float, float, bool]:
    """Seconds of a copy up and of one down while both run, host seconds of the round, whether both ran."""
    began = clock.now()
    zero = engine.record(_UP) if engine.device_time else None
    marks: tuple[list[object], list[object]] = ([], [])
    for _ in range(depth):
        for stream, copy in ((_UP, up), (_DOWN, down)):
            copy(stream)
            if engine.device_time:
                marks[stream].append(engine.record(stream))
    engine.synchronize()
    host = clock.now() - began
    if not engine.device_time:
        return host / depth, host / depth, host, False
    ends = [[engine.elapsed(zero, mark) for mark in side] for side in marks]
    opens, closes = max(ends[_UP][0], ends[_DOWN][0]), min(ends[_UP][-1], ends[_DOWN][-1])
    copies = [_copies_within(side, opens, closes) for side in ends]
    if closes <= opens or not all(copies):
        span = max(ends[_UP][-1], ends[_DOWN][-1])
        return span / depth, span / depth, host, False
    return (closes - opens) / copies[_UP], (closes - opens) / copies[_DOWN], host, True


def _copies_within(ends: Sequence[float], opens: float, closes: float) -> float:
    """How many copies, in parts, ran between two moments, given when each ended."""
    count = 0.0
    for start, end in pairwise(ends):
        inside = min(end, closes) - max(start, opens)
        if inside > 0:
            count += inside / (end - start)
    return count


def _check(engine: CopyEngine, directions: Sequence[Direction], nbytes: int, rounds: int, warmups: int) -> None:
    for name, value, least in (("nbytes", nbytes, 1), ("rounds", rounds, 1), ("warmups", warmups, 0)):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}, not {value}")
    for direction in directions:
        if direction not in engine.directions:
            known = ", ".join(sorted(engine.directions))
            raise NotSupported(f"engine {engine.name} has no copies {direction}; it has {known}")


def _copier(engine: CopyEngine, direction: Direction, nbytes: int, stack: ExitStack) -> Callable[[int], None]:
    """A function that submits one copy to a stream; what it copies from is filled, and freed with `stack`."""
    first = stack.enter_context(_device_memory(engine, nbytes))
    second = stack.enter_context(_device_memory(engine, nbytes)) if direction is Direction.D2D else first
    with ExitStack() as filling:
        keep = filling if direction is Direction.D2D else stack
        host = keep.enter_context(_host_memory(engine, nbytes))
        fill(host.view, epoch=0, buffer_id=0)
        if direction is not Direction.H2D:
            engine.upload(first, host, nbytes)
            engine.synchronize(_UP)
    if direction is Direction.D2D:
        return lambda stream: engine.move(second, first, nbytes, stream=stream)
    if direction is Direction.H2D:
        return lambda stream: engine.upload(first, host, nbytes, stream=stream)
    return lambda stream: engine.download(host, first, nbytes, stream=stream)


@contextmanager
def _device_memory(engine: CopyEngine, nbytes: int) -> Iterator[DeviceBuffer]:
    buffer = engine.alloc(nbytes)
    with _afterwards(lambda: engine.free(buffer)):
        yield buffer


@contextmanager
def _host_memory(engine: CopyEngine, nbytes: int) -> Iterator[HostBuffer]:
    buffer = engine.host_alloc(nbytes, pinned=True)
    with _afterwards(lambda: engine.host_free(buffer)):
        yield buffer


@contextmanager
def _afterwards(free: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(HilError):  # a device that is lost refuses this too; the first error is the one that tells
            free()
        raise
    free()


def _samples(engine: CopyEngine, direction: Direction, nbytes: int, times: Sequence[tuple[float, float]]) -> Samples:
    shortest = min(seconds for seconds, _ in times)
    if shortest <= 0:
        raise BenchFault(
            f"sampling {direction} {size_text(nbytes)} through engine {engine.name}: the "
            f"{'device' if engine.device_time else 'host'}'s clock told {shortest} s for a copy; "
            "it is too coarse for this size: take a larger one",
            operation=f"sample {direction}",
        )
    return Samples(
        direction=direction,
        nbytes=nbytes,
        seconds=tuple(seconds for seconds, _ in times),
        host_seconds=tuple(host for _, host in times),
        device_time=engine.device_time,
    )
