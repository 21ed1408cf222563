"""What samplers copy with: buffers that are filled, and freed whatever happens; what their clocks told, looked at."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from hil.copy.base import Rows
from hil.errors import BenchFault, HilError, NotSupported
from hil.model import Direction, size_text
from hil.throughput.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hil.copy.base import CopyEngine, DeviceBuffer, HostBuffer

PADDING = 512
"""Bytes between the device's rows of a pitched copy: as cudaMallocPitch aligns them."""


def check(engine: CopyEngine, directions: Sequence[Direction], nbytes: int, rounds: int, warmups: int) -> None:
    """Refuse numbers that make no sense, and directions that the engine lacks.

    Raises:
        ValueError: a number is out of range.
        NotSupported: the engine has no copies in a direction.

    """
    for name, value, least in (("nbytes", nbytes, 1), ("rounds", rounds, 1), ("warmups", warmups, 0)):
        if value < least:
            raise ValueError(f"`{name}` must be at least {least}, not {value}")
    for direction in directions:
        if direction not in engine.directions:
            known = ", ".join(sorted(engine.directions))
            raise NotSupported(f"engine {engine.name} has no copies {direction}; it has {known}")


def copier(
    engine: CopyEngine,
    direction: Direction,
    nbytes: int,
    stack: ExitStack,
    *,
    pinned: bool = True,
    zeros: bool = False,
    offset: int = 0,
    rows: int = 1,
) -> Callable[[int], None]:
    """A function that submits one copy to a stream; what it copies from is freed with `stack`.

    It holds the pattern, or `zeros`, which some machines copy faster than any other data. The copy begins `offset`
    bytes behind the start of both buffers. With several `rows` it is a pitched one: the host's rows lie one behind the
    other, the device's `PADDING` bytes apart, as images do.
    """
    from hil.integrity import fill  # noqa: PLC0415  (numpy: the controller, which copies nothing, need not load it)

    size = offset + nbytes + (rows * PADDING if rows > 1 else 0)
    first = stack.enter_context(_device_memory(engine, size))
    second = stack.enter_context(_device_memory(engine, size)) if direction is Direction.D2D else first
    with ExitStack() as filling:
        keep = filling if direction is Direction.D2D else stack
        host = keep.enter_context(_host_memory(engine, size, pinned=pinned))
        if zeros:
            host.view[:] = bytes(size)  # written, for pages that nobody wrote to are not there
        else:
            fill(host.view, epoch=0, buffer_id=0)
        if direction is not Direction.H2D:
            engine.upload(first, host, size)
            engine.synchronize()
    if rows > 1:
        shape, up = _shape(direction, nbytes, offset, rows), direction is Direction.H2D
        target = host if direction is Direction.D2H else second
        return lambda stream: engine.copy_rows(direction, target, host if up else first, shape, stream=stream)
    at = {"dst_offset": offset, "src_offset": offset}
    if direction is Direction.D2D:
        return lambda stream: engine.move(second, first, nbytes, stream=stream, **at)
    if direction is Direction.H2D:
        return lambda stream: engine.upload(first, host, nbytes, stream=stream, **at)
    return lambda stream: engine.download(host, first, nbytes, stream=stream, **at)


def _shape(direction: Direction, nbytes: int, offset: int, rows: int) -> Rows:
    row_bytes = nbytes // rows
    apart = row_bytes + PADDING
    return Rows(
        row_bytes=row_bytes,
        rows=rows,
        src_pitch=row_bytes if direction is Direction.H2D else apart,
        dst_pitch=row_bytes if direction is Direction.D2H else apart,
        src_offset=offset,
        dst_offset=offset,
    )


@contextmanager
def _device_memory(engine: CopyEngine, nbytes: int) -> Iterator[DeviceBuffer]:
    buffer = engine.alloc(nbytes)
    with _afterwards(lambda: engine.free(buffer)):
        yield buffer


@contextmanager
def _host_memory(engine: CopyEngine, nbytes: int, *, pinned: bool) -> Iterator[HostBuffer]:
    buffer = engine.host_alloc(nbytes, pinned=pinned)
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


def gathered(engine: CopyEngine, direction: Direction, nbytes: int, times: Sequence[tuple[float, float]]) -> Samples:
    """`Samples` of (engine's seconds, host's seconds).

    Raises:
        BenchFault: a clock did not advance over a copy.

    """
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
