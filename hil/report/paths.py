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
    """``sweeps``, ``bottlenecks`` and ``residency`` of one device on one bench, in builtin types; empty = not known.

    Each is told for each engine and link that the device was measured with on its last night; `of` names them where
    there are several.
    """
    mine = [verdict for verdict in verdicts if verdict.nights]
    # A device that trained to another link has series of its own there: only those of its last night speak.
    night = max((verdict.nights[-1].date for verdict in mine), default="")
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for verdict in mine:
        # No rate is zero: what says so was never measured.
        if verdict.nights[-1].date == night and verdict.nights[-1].value > 0:
            key = verdict.key
            groups.setdefault((key.engine, key.declared, key.negotiated), []).append(verdict)
    found: dict[str, Any] = {"sweeps": [], "bottlenecks": [], "residency": []}
    for (engine, declared, negotiated), group in groups.items():
        of = f"{negotiated or declared}, engine {engine}" if len(groups) > 1 else ""
        for name, told in _paths(group).items():
            found[name] += [{"of": of, **one} for one in told]
    return found


def _paths(verdicts: Sequence[Verdict]) -> dict[str, list[dict[str, Any]]]:
    sweeps = {str(way): _sizes(verdicts, str(way)) for way in _ONE_WAY}
    fits = {way: _fit({n: now for n, (now, _) in sizes.items()}) for way, sizes in sweeps.items()}
    residency = _residency(verdicts, fits.get("H2D"))
    return {
        "sweeps": [_sweep(way, sizes, fits[way]) for way, sizes in sweeps.items() if len(sizes) > 1],
        "bottlenecks": [{"direction": way, "told": told} for way, told in _bottlenecks(verdicts, fits)],
        "residency": [{"told": residency}] if residency else [],
    }


def _sizes(verdicts: Iterable[Verdict], direction: str) -> Sizes:
    found: Sizes = {}
    for verdict in verdicts:
        key = verdict.key
        if key.direction != direction or not key.nbytes or key.metric not in ("bandwidth", "latency p50"):
            continue
        first, last = usual_nights(verdict)
        nights = verdict.nights[first : min(last, len(verdict.nights) - 1)]
        before = [night.value for night in nights if night.value > 0]
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
