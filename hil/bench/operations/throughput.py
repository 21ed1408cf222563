"""Samples of copies' durations, taken where the engine lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.bench.operations.session import session
from hil.model import Direction, to_dict
from hil.throughput import sample, sample_both

if TYPE_CHECKING:
    from hil.bench.worker import Context


def measure(context: Context, *, direction: str, nbytes: int, rounds: int, warmups: int) -> dict[str, Any]:
    """`rounds` samples of one copy of `nbytes` bytes after `warmups` more; a `Samples` as a dict."""
    engine = session(context).engine
    taken = sample(engine, context.host.clock, Direction(direction), nbytes, rounds=rounds, warmups=warmups)
    facts: dict[str, Any] = to_dict(taken)
    return facts


def measure_both(context: Context, *, nbytes: int, rounds: int, warmups: int) -> dict[str, Any]:
    """Samples of H2D and D2H at the same time; a `BothWays` as a dict."""
    engine = session(context).engine
    facts: dict[str, Any] = to_dict(sample_both(engine, context.host.clock, nbytes, rounds=rounds, warmups=warmups))
    return facts
