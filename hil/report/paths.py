"""What the series of one device say together: the size sweep, what bounds its rate, what is better off resident."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from statistics import median
from typing import Any, Final

from hil.history import Key, Verdict
from hil.model import MIB, Direction, LaneLink, LinkKind
from hil.report.lines import usual_nights
from hil.throughput.bottleneck import Measured, Path, bottleneck
from hil.throughput.hockney import Hockney, fit
from hil.throughput.residency import UNIFIED, Residency

LARGE: Final = 16 * MIB
"""Bytes of a copy from which on its fixed cost hardly shows."""
READ_AND_WRITTEN: Final = 2
"""A D2D copy of n bytes reads n and writes n."""
_LANES = re.compile(r"(\d+) × ([\d.]+) Gb/s")
_ONE_WAY: Final = (Direction.H2D, Direction.D2H)

Sizes = dict[int, tuple[float, float]]
"""By bytes: seconds of a copy on the last night, and on the nights that it is held against."""


def paths(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """``sweeps``, ``bottlenecks`` and ``residency`` of one device on one bench, in builtin types; empty = not known."""
    mine = [verdict for verdict in verdicts if verdict.nights]
    if not mine:
        return {"sweeps": [], "bottlenecks": [], "residency": ""}
    # A device that trained to another link has series of its own there: only those of its last night speak.
    night = max(verdict.nights[-1].date for verdict in mine)
    mine = [verdict for verdict in mine if verdict.nights[-1].date == night]
    sweeps = {str(way): _sizes(mine, str(way)) for way in _ONE_WAY}
    fits = {way: _fit({n: now for n, (now, _) in sizes.items()}) for way, sizes in sweeps.items()}
    return {
        "sweeps": [_sweep(way, sizes, fits[way]) for way, sizes in sweeps.items() if len(sizes) > 1],
        "bottlenecks": [{"direction": way, "told": told} for way, told in _bottlenecks(mine, fits)],
        "residency": _residency(mine, fits.get("H2D")),
    }


def _sizes(verdicts: Iterable[Verdict], direction: str) -> Sizes:
    found: Sizes = {}
    for verdict in verdicts:
        key = verdict.key
        if key.direction != direction or not key.nbytes or key.metric not in ("bandwidth", "latency p50"):
            continue
        first, last = usual_nights(verdict)
        before = [night.value for night in verdict.nights[first : min(last, len(verdict.nights) - 1)]]
        before = before or [verdict.nights[-1].value]
        values = (verdict.nights[-1].value, median(before))
        seconds = values if key.unit == "s" else tuple(key.nbytes / value for value in values)
        found[key.nbytes] = (seconds[0], seconds[1])
    return dict(sorted(found.items()))


def _fit(seconds: Mapping[int, float]) -> Hockney | None:
    with suppress(ValueError):  # too few sizes, or none that a bandwidth bounds
        return fit(seconds.items())
    return None


def _sweep(direction: str, sizes: Sizes, now: Hockney | None) -> dict[str, Any]:
    before = _fit({nbytes: usual for nbytes, (_, usual) in sizes.items()})
    return {
        "direction": direction,
        "sizes": list(sizes),
        "now": [round(nbytes / seconds / 1e9, 6) for nbytes, (seconds, _) in sizes.items()],
        "usual": [round(nbytes / usual / 1e9, 6) for nbytes, (_, usual) in sizes.items()],
        "fit": _fitted(now),
        "usual_fit": _fitted(before),
    }


def _fitted(found: Hockney | None) -> dict[str, float] | None:
    return None if found is None else {"alpha_us": round(found.alpha * 1e6, 2), "beta": round(found.beta / 1e9, 3)}


def _bottlenecks(verdicts: Sequence[Verdict], fits: Mapping[str, Hockney | None]) -> Iterable[tuple[str, str]]:
    for way, other in (("H2D", "D2H"), ("D2H", "H2D")):
        large = _largest(verdicts, way, "bandwidth")
        if large is None:
            continue
        rate, key = large
        fitted = fits.get(way)
        measured = Measured(
            rate=rate,
            other_direction=_rate(verdicts, other, "bandwidth"),
            both_at_once=_rate(verdicts, f"{way} while {other}", "bandwidth"),
            pageable=_rate(verdicts, way, "bandwidth pageable"),
            fixed_seconds=fitted.alpha if fitted is not None else None,
            nbytes=key.nbytes,
        )
        yield way, bottleneck(Path(kind=_kind(key.declared), link=_link(key.negotiated)), measured).sentence


def _largest(verdicts: Iterable[Verdict], direction: str, metric: str) -> tuple[float, Key] | None:
    found = [
        (verdict.nights[-1].value, verdict.key)
        for verdict in verdicts
        if verdict.key.direction == direction and verdict.key.metric == metric and verdict.key.nbytes >= LARGE
    ]
    return max(found, key=lambda pair: pair[1].nbytes, default=None)


def _rate(verdicts: Iterable[Verdict], direction: str, metric: str) -> float | None:
    found = _largest(verdicts, direction, metric)
    return None if found is None else found[0]


def _residency(verdicts: Sequence[Verdict], path: Hockney | None) -> str:
    inside = _rate(verdicts, "D2D", "bandwidth")
    if path is None or inside is None:
        return ""
    return Residency(path=path, vram=READ_AND_WRITTEN * inside, unified=UNIFIED).sentence()


def _kind(text: str) -> LinkKind:
    return LinkKind(text) if text in list(LinkKind) else LinkKind.UNKNOWN


def _link(text: str) -> LaneLink | None:
    found = _LANES.fullmatch(text)
    return LaneLink(lanes=int(found[1]), lane_gbps=float(found[2])) if found else None
