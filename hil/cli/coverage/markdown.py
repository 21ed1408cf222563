"""The score as the table that the README shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hil.cli.coverage import arithmetic, spans, text
from hil.cli.coverage.ledger import Measured, digest_of
from hil.cli.coverage.plan import Kind
from hil.cli.coverage.score import FaultScore

_HEAD = (
    "fault",
    "caught by the kind of test that ought to",
    "95 % interval",
    "by any",
    "mild → severe",
    "diagnosis right",
    "to red",
    "first seen by",
)
_CLEAN = {Kind.CLEAN: "clean machines, `quick`", Kind.WHOLE: "clean machines, the whole run"}


def lines(measured: Measured, lost: Sequence[str]) -> Iterator[str]:
    """The table, and below it what is not in it. `lost` as in `text.lines`."""
    found = measured.score()
    yield f"| {' | '.join(_HEAD)} |"
    yield "|---" * len(_HEAD) + "|"
    for domain in dict.fromkeys(one.domain for one in found.faults):
        yield f"| **{domain}** {'| ' * len(_HEAD)}".rstrip()
        yield from (_row(one) for one in found.faults if one.domain == domain)
    yield ""
    yield f"{text.total(found.faults)[0].upper()}{text.total(found.faults)[1:]}."
    yield ""
    yield "| nothing wrong with the machine | alarms |"
    yield "|---|---|"
    for part in found.clean:
        name = _CLEAN.get(part.kind) or f"`{part.name}` (negative control)"
        yield f"| {name} | {text.rate(part)} |"
    if found.unscored:
        yield ""
        told = [f"`{name}` ({why})" for name, why in found.unscored.items()]
        yield f"Not scored yet: {', '.join(told)}."
    if measured.left:
        yield ""
        yield f"{text.not_made(measured.left)}."
    if lost:
        yield ""
        yield from (f"* LOST {sentence}" for sentence in lost)
    yield ""
    yield f"Measured with {digest_of(measured.head)}."


def _row(one: FaultScore) -> str:
    left_out = one.drawn - one.counted
    cells = [
        f"`{one.name}`",
        f"{one.caught} of {one.counted} ({one.seen_by})" + (f", {left_out} left out" if left_out else ""),
        text.span(one.low, one.high) if one.counted else "–",
        str(one.caught_by_any),
        arithmetic.curve(one.by_severity),
        f"{one.right} of {one.judged}" if one.judged else "–",
        spans.words(one.seconds_to_red) if one.seconds_to_red is not None else "–",
        text.ranked({f"`{test.rpartition('::')[2]}`": count for test, count in one.first_seen_by.items()}) or "–",
    ]
    return f"| {' | '.join(cells)} |"
