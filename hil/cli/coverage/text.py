"""The score as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hil.cli.coverage import arithmetic, spans
from hil.cli.coverage.ledger import Measured, digest_of
from hil.cli.coverage.plan import Kind
from hil.cli.coverage.score import CleanScore, FaultScore

_HEAD = ("fault", "caught by its kind", "95 %", "any", "mild→severe", "right", "to red", "first seen by")
_CLEAN = {Kind.CLEAN: "clean machines, quick", Kind.WHOLE: "clean machines, whole run", Kind.CONTROL: "control"}
PERCENT = 100
_SHOWN = 3
"""Examples of a kind; `hil coverage --json` keeps all."""


def lines(measured: Measured, lost: Sequence[str]) -> Iterator[str]:
    """The whole report. `lost`: what the baseline caught and this does not, a sentence each."""
    found = measured.score()
    yield f"{digest_of(measured.head)}, {len(measured.runs)} runs"
    for domain in dict.fromkeys(one.domain for one in found.faults):
        yield ""
        yield f"{domain}:"
        yield from _table([_HEAD, *(_row(one) for one in found.faults if one.domain == domain)])
        for one in found.faults:
            if one.domain == domain:
                yield from _notes(one)
    if found.unscored:
        yield ""
        yield "not scored yet:"
        yield from (f"  {name}: {why}" for name, why in found.unscored.items())
    yield ""
    for part in found.clean:
        yield _clean(part)
        yield from (f"  {options}: {said}" for options, said in part.alarmed[:_SHOWN])
    yield total(found.faults)
    if measured.left:
        yield not_made(measured.left)
    yield from (f"LOST {sentence}" for sentence in lost)


def total(faults: Sequence[FaultScore]) -> str:
    """The whole score in a line."""
    counted = sum(one.counted for one in faults)
    caught = sum(one.caught for one in faults)
    tried = [one for one in faults if one.counted]
    met = sum(one.caught >= 0.95 * one.counted for one in tried)
    judged, right = sum(one.judged for one in faults), sum(one.right for one in faults)
    low, high = arithmetic.wilson(caught, counted)
    told = f"caught by the expected kind of test: {caught} of {counted} draws ({span(low, high)})"
    told += f"; {met} of {len(tried)} faults in at least 95 % of theirs"
    return told + (f"; diagnosis right in {right} of {judged}" if judged else "")


def not_made(left: int) -> str:
    """What `left` runs that were not made mean for the figures above."""
    return f"{left} runs were not made: the figures above are of part of the measurement"


def span(low: float, high: float) -> str:
    """An interval in per cent; with a digit more where rounding would say that nothing was missed."""
    digits = 1 if 99 < low * PERCENT < PERCENT else 0  # noqa: PLR2004
    return f"{low * PERCENT:.{digits}f} … {high * PERCENT:.0f} %"


def ranked(counts: Mapping[str, int], most: int = 1) -> str:
    """The most frequent of `counts`, and how many others there are."""
    shown = list(counts)[:most]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" + {more}" if more else "")


def rate(part: CleanScore) -> str:
    """``0 alarms in 1000 runs (below 0.30 % with 95 % confidence)``, and the tests that raised some; or ``not run``."""
    if not part.runs:
        return "not run"
    bound = part.bound * PERCENT
    shown = f"{bound:.2g}" if bound < 10 else f"{bound:.0f}"  # noqa: PLR2004  (two digits tell enough)
    told = f"{part.alarms} alarms in {part.runs} runs (below {shown} % with 95 % confidence)"
    return told + (f": {ranked(part.tests, 3)}" if part.tests else "")


def _row(one: FaultScore) -> tuple[str, ...]:
    red = spans.words(one.seconds_to_red) if one.seconds_to_red is not None else "–"
    if one.host_seconds_to_red is not None:
        red += f" ({spans.words(one.host_seconds_to_red)} of the machine's)"
    return (
        one.name,
        f"{one.caught}/{one.counted} {one.seen_by}",
        span(one.low, one.high) if one.counted else "–",
        str(one.caught_by_any),
        arithmetic.curve(one.by_severity),
        f"{one.right}/{one.judged}" if one.judged else "–",
        red,
        ranked(one.first_seen_by) or "–",
    )


def _notes(one: FaultScore) -> Iterator[str]:
    for reason, count in one.left_out.items():
        yield f"  {one.name}: {count} of {one.drawn} draws left out: {reason}"
    if one.hung:
        yield f"  {one.name}: {one.hung} runs hung or crashed themselves, and count as missed"
    for options in one.missed[:_SHOWN]:
        yield f"  {one.name}: missed with {options}"
    if one.judged > one.right:
        yield f"  {one.name}: said {ranked(one.said, 3)}"


def _clean(part: CleanScore) -> str:
    return f"{_CLEAN[part.kind]} {part.name}".rstrip() + f": {rate(part)}"


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield ("  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))).rstrip()
