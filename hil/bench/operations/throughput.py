"""Samples of copies' durations, taken where the engine lives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.errors import HilError, NotSupported
from hil.model import Direction, Gpu, from_dict, to_dict
from hil.throughput import measure_reuse, sample, sample_both, sample_streams, soak, sweep
from hil.watch.telemetry import sample as read_sensors
from hil.watch.telemetry import sampling

if TYPE_CHECKING:
    from hil.bench.worker import Context
    from hil.watch import TelemetrySample

_SENSELESS = "throughput: no sensors"


def measure(
    context: Context,
    *,
    direction: str,
    nbytes: int,
    rounds: int,
    warmups: int,
    pinned: bool = True,
    streams: int = 1,
    offset: int = 0,
    rows: int = 1,
) -> dict[str, Any]:
    """`rounds` samples of one copy of `nbytes` bytes after `warmups` more; a `Samples` as a dict.

    With several `streams`, of as many copies at once, which have neither `offset` nor rows.
    """
    engine, clock, way = session(context).engine, context.host.clock, Direction(direction)
    if streams > 1:
        taken = sample_streams(engine, clock, way, nbytes, streams=streams, rounds=rounds, warmups=warmups)
    else:
        taken = sample(engine, clock, way, nbytes, rounds, warmups, pinned=pinned, offset=offset, rows=rows)
    facts: dict[str, Any] = to_dict(taken)
    return facts


def measure_both(context: Context, *, nbytes: int, rounds: int, warmups: int) -> dict[str, Any]:
    """Samples of H2D and D2H at the same time; a `BothWays` as a dict."""
    engine = session(context).engine
    facts: dict[str, Any] = to_dict(sample_both(engine, context.host.clock, nbytes, rounds=rounds, warmups=warmups))
    return facts


def measure_sizes(context: Context, *, direction: str, sizes: list[int], budget: int) -> list[dict[str, Any]]:
    """Samples of each of `sizes`, within `budget` bytes a size; `Samples` as dicts."""
    engine = session(context).engine
    found = sweep(engine, context.host.clock, Direction(direction), sizes, budget=budget)
    return [to_dict(samples) for samples in found]


def reuse(context: Context, *, nbytes: int, reads: list[int], rounds: int) -> dict[str, Any]:
    """A buffer read again and again, resident and sent anew; a `Reused` as a dict."""
    engine = session(context).engine
    facts: dict[str, Any] = to_dict(measure_reuse(engine, context.host.clock, nbytes, reads=reads, rounds=rounds))
    return facts


def run_soak(
    context: Context, *, direction: str, nbytes: int, seconds: float, every: float, gpu: dict[str, Any] | None
) -> dict[str, Any]:
    """The rate over `seconds`, with the card's sensors where there are any; a `Soak` as a dict."""
    engine, clock, way = session(context).engine, context.host.clock, Direction(direction)
    if gpu is None or sensed(context, gpu=gpu) is None:
        found = soak(engine, clock, way, nbytes, seconds=seconds, every=every)
    else:
        told: list[TelemetrySample] = []
        with sampling(context.host, from_dict(Gpu, gpu)) as take:
            found = soak(
                engine, clock, way, nbytes, seconds=seconds, every=every, meanwhile=lambda: told.append(take())
            )
        found = replace(found, sensors=tuple(told))
    facts: dict[str, Any] = to_dict(found)
    return facts


def sensed(context: Context, *, gpu: dict[str, Any]) -> dict[str, Any] | None:
    """One reading of the card's sensors, a `TelemetrySample` as a dict; `None` where nothing tells them."""
    if context.state.get(_SENSELESS):
        return None
    try:
        facts: dict[str, Any] = to_dict(read_sensors(context.host, from_dict(Gpu, gpu)))
    except NotSupported:
        context.state[_SENSELESS] = True  # no library, no driver for it: that does not change within a process
        return None
    except HilError:
        return None  # the card is lost, or will not tell: the copies themselves say so better
    return facts


def driver_version(context: Context) -> str:
    """Of the driver that the engine speaks to; empty where it does not tell."""
    return session(context).engine.describe().driver_version
