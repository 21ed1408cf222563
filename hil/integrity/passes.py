"""Several passes over the same memory as one report: what is wrong every time, and bits that never follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hil.integrity.bits import sentence_of
from hil.integrity.findings import Finding, Kind, Report
from hil.integrity.pattern import Stream
from hil.integrity.sentences import ADVICE

_TWICE = 2  # a bit that was wrong once may have flipped on the way
_Place = tuple[int, int]  # offset of a byte, bit in it


def merged(passes: Sequence[Report]) -> Report:
    """Make one report of several passes over the same memory, each with data of its own.

    A bit that was wrong in two passes and more, and in all passes reads the same value, is stuck. To tell that from a
    bit that flips on and off, let it be asked for both values: a pass with ``inverted=True`` after one without, twice.

    Args:
        passes: reports of `verify` on the same buffer, one at least, in order.

    Returns:
        A report with stuck bits as findings of their own, and each other finding once, with how often it was made;
        `Report.wrong_bytes` is that of the worst pass.

    Raises:
        ValueError: there is no pass, or they are of different sizes.

    """
    if not passes:
        raise ValueError("`passes` is empty: there is nothing to merge")
    if len({report.nbytes for report in passes}) > 1:
        sizes = ", ".join(str(report.nbytes) for report in passes)
        raise ValueError(f"`passes` must be over the same buffer; these are of {sizes} bytes")
    worst = max(passes, key=lambda report: report.wrong_bytes)
    if worst.intact:
        return worst
    stuck = {place: value for place, value in _seen(passes).items() if value is not None}
    found: dict[tuple[Kind, int, int], list[Finding]] = {}
    for report in passes:
        for finding in report.findings:
            if finding.kind is Kind.BIT_FLIP and all((place, bit) in stuck for place, bit, _ in finding.flips):
                continue
            found.setdefault((finding.kind, finding.offset, finding.length), []).append(finding)
    findings = [_stuck_finding(place, bit, value, passes) for (place, bit), value in sorted(stuck.items())]
    findings += [
        replace(same[0], sentence=f"{same[0].sentence} (in {len(same)} of {len(passes)} passes)")
        for same in found.values()
    ]
    findings.sort(key=lambda finding: finding.offset)
    return replace(worst, findings=tuple(findings), complete=all(report.complete for report in passes))


def _seen(passes: Sequence[Report]) -> dict[_Place, int | None]:
    """Of every bit that was wrong: the value that it reads in all passes; `None` where it is not stuck."""
    wrong: dict[_Place, list[int]] = {}
    for report in passes:
        for finding in report.findings:
            if finding.kind is Kind.BIT_FLIP:
                for place, bit, value in finding.flips:
                    wrong.setdefault((place, bit), []).append(value)
    return {
        place: values[0] if len(values) >= _TWICE and _always(place, values, passes) else None
        for place, values in wrong.items()
    }


def _always(place: _Place, values: Sequence[int], passes: Sequence[Report]) -> bool:
    """Whether the bit at `place`, wrong with `values`, read the same in every pass, also where that was right."""
    asked = [_expected(report, place) for report in passes]
    return len(set(values)) == 1 and asked.count(1 - values[0]) == len(values)


def _expected(report: Report, place: _Place) -> int:
    offset, bit = place
    stream = Stream(report.epoch, report.buffer_id, report.inverted)
    return int(stream.read(report.first_byte + offset, 1)[0]) >> bit & 1


def _stuck_finding(place: int, bit: int, value: int, passes: Sequence[Report]) -> Finding:
    times = sum(_expected(report, (place, bit)) != value for report in passes)
    return Finding(
        kind=Kind.STUCK_BIT,
        offset=place,
        length=1,
        sentence=(
            f"{Kind.STUCK_BIT}: {sentence_of([(place, bit, value)])} in all {len(passes)} passes, "
            f"and should not in {times}"
        ),
        advice=ADVICE[Kind.STUCK_BIT],
        nbytes=1,
        spans=((place, 1),),
        bits=(place % 8 * 8 + bit,),
        words=1,
        flips=((place, bit, value),),
    )
