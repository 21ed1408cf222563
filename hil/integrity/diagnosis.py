"""From what explains wrong bytes to findings: what is one cause becomes one finding, with a kind and a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hil.integrity.bits import bit_findings
from hil.integrity.evidence import Alias, Constant, Evidence, Flips, Run, Source
from hil.integrity.examine import Examination
from hil.integrity.findings import Finding, Kind
from hil.integrity.relations import Group, displacement, related
from hil.integrity.sentences import ADVICE, aliased, displaced, hexadecimal, of_words, told
from hil.integrity.tally import Tally, joined
from hil.model import KIB, size_text

_TOGETHER = 4  # runs alike that are one finding; fewer are told one by one
_PAGE, _LINE = 4 * KIB, 64
_TELLING = 15  # bytes of a pattern at any place hold a whole word of it; fewer cannot say what they are
_CHANCE = 2  # bytes at an end that may agree by chance


def diagnosed(examination: Examination) -> list[Finding]:
    """The findings of what was examined, in order of offset."""
    evidence = examination.evidence
    own, others = _parted(evidence, examination.runs)
    for cause, tally in examination.local.items():
        if isinstance(cause, Alias):
            # Words at the edges, of which only a part can be judged.
            delta = (1 if cause.upwards else -1) << cause.bit
            same = [run for run in own if displacement(run) == delta]
            own = [run for run in own if displacement(run) != delta]
            examination.local[cause] = joined([tally, *([_tally(same)] if same else [])])
    own, others = _absorbed(own, others)
    groups = related(evidence, own)
    others = [run for run in others if not any(_within_rows(group, run) for group in groups)]
    found = list(bit_findings(examination, [run for run in others if isinstance(run.cause, Flips)]))
    found += [_own_finding(evidence, group) for group in _gathered(groups)]
    for cause, tally in examination.local.items():
        if not isinstance(cause, Flips):
            found.append(_local_finding(evidence, cause, tally))
    for runs in _alike(run for run in others if not isinstance(run.cause, Flips)):
        found.append(_finding(evidence, runs))
    return sorted(found, key=lambda finding: finding.offset)


def _parted(evidence: Evidence, runs: Iterable[Run]) -> tuple[list[Run], list[Run]]:
    """Runs of the buffer's own data, and all others."""
    own: list[Run] = []
    others: list[Run] = []
    for run in runs:
        mine = isinstance(run.cause, Source) and run.cause.stream == evidence.expected
        (own if mine else others).append(run)
    return own, others


def _absorbed(own: Sequence[Run], others: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """A stretch that was shifted leaves a gap at one end, of as many bytes: it belongs to the same finding."""
    ends = {run.end: run for run in others}
    starts = {run.offset: run for run in others}
    taken: set[int] = set()
    merged: list[Run] = []
    for run in own:
        delta = displacement(run)
        side = ends if delta > 0 else starts
        edge = run.offset if delta > 0 else run.end
        gap = next((side[edge + off] for off in range(-_CHANCE, _CHANCE + 1) if edge + off in side), None)
        if gap is not None and abs(delta) < run.length and gap.length <= abs(delta):
            taken.add(id(gap))
            merged.append(replace(run, offset=min(run.offset, gap.offset), end=max(run.end, gap.end)))
        else:
            merged.append(run)
    return merged, [run for run in others if id(run) not in taken]


def _within_rows(group: Group, run: Run) -> bool:
    """Whether `run` is a gap between rows that lie too far apart."""
    if group.kind is not Kind.ROW_PITCH or run.length > abs(group.step):
        return False
    return group.runs[0].offset - run.length - _CHANCE <= run.offset <= group.runs[-1].end + _CHANCE


def _gathered(groups: Sequence[Group]) -> Iterator[Group]:
    """Groups of one run each that are alike as one, where they are many."""
    alone: dict[tuple[Kind, int], list[Run]] = {}
    for group in groups:
        if group.kind in (Kind.MISPLACED, Kind.DUPLICATED, Kind.BYTE_SHIFTED):
            alone.setdefault((group.kind, displacement(group.runs[0])), []).extend(group.runs)
        else:
            yield group
    for (kind, _), runs in alone.items():
        for same in [runs] if len(runs) >= _TOGETHER else [[run] for run in runs]:
            yield Group(kind=kind, runs=same)


def _alike(runs: Iterable[Run]) -> Iterator[list[Run]]:
    by_cause: dict[Any, list[Run]] = {}
    for run in runs:
        by_cause.setdefault(run.cause, []).append(run)
    for same in by_cause.values():
        yield from [same] if len(same) >= _TOGETHER else [[run] for run in same]


def _tally(runs: Sequence[Run]) -> Tally:
    ordered = sorted(runs, key=lambda run: run.offset)
    tally = Tally(to_end=any(run.to_end for run in runs))
    tally.add(np.array([run.offset for run in ordered]), np.array([run.end for run in ordered]))
    return tally


def _built(kind: Kind, tally: Tally, sentence: str, **more: Any) -> Finding:
    return Finding(
        kind=kind,
        offset=tally.first,
        length=tally.end - tally.first,
        sentence=sentence,
        advice=ADVICE[kind],
        places=tally.places,
        nbytes=tally.nbytes,
        spans=tuple(tally.spans),
        stride=tally.stride,
        **more,
    )


def _local_finding(evidence: Evidence, cause: Any, tally: Tally) -> Finding:
    kind, sentence = of_words(cause, tally, evidence.nbytes)
    more: dict[str, Any] = {}
    if isinstance(cause, Alias):
        more["address_bit"] = cause.bit
        more["displacement"] = (1 if cause.upwards else -1) << cause.bit
    elif kind is Kind.STUCK_BIT:
        more["bits"] = tuple(bit for bit in range(64) if cause.mask >> bit & 1)
        more["words"], more["flips"] = tally.places, tuple(tally.flips)
    return _built(kind, tally, sentence, **more)


def _own_finding(evidence: Evidence, group: Group) -> Finding:
    """A finding of this buffer's own data at a wrong place."""
    tally, first, kind = _tally(group.runs), group.runs[0], group.kind
    delta = displacement(first)
    home = displaced(first.offset - delta, delta)
    match kind:
        case Kind.ALIAS:
            says = aliased(group.address_bit or 0, upwards=delta > 0)
        case Kind.ROW_PITCH:
            says = f"hold rows, each displaced by {hexadecimal(group.step)} bytes more than the one before"
        case Kind.SWAPPED:
            says = f"hold each other's data, {size_text(abs(delta))} apart"
        case Kind.PERMUTED:
            says = f"hold each other's data, {len(group.runs)} pieces misplaced among themselves; the first those{home}"
        case Kind.BYTE_SHIFTED:
            by = hexadecimal(abs(delta))
            says = f"hold data shifted {'up' if delta > 0 else 'down'} by {by} bytes: those{home}"
        case Kind.DUPLICATED:
            says = f"hold data{home}, which are there, too"
        case _:
            says = f"hold data{home}"
    return _built(
        kind,
        tally,
        told(kind, tally, evidence.nbytes, says),
        epoch=evidence.expected.epoch,
        buffer_id=evidence.expected.buffer_id,
        displacement=delta,
        address_bit=group.address_bit,
    )


def _finding(evidence: Evidence, runs: Sequence[Run]) -> Finding:
    """A finding of bytes that are not this buffer's own."""
    tally, cause = _tally(runs), runs[0].cause
    if isinstance(cause, Source):
        return _foreign_finding(evidence, runs, cause, tally)
    if isinstance(cause, Constant):
        kind, says = _constant(cause, tally)
        return _built(kind, tally, told(kind, tally, evidence.nbytes, says))
    if len(runs) == 1 and runs[0].offset and runs[0].end == evidence.nbytes and tally.nbytes < _TELLING:
        says = f"hold something else, up to the end: the transfer stopped after {size_text(tally.first)}"
        return _built(Kind.SHORT_TAIL, tally, told(Kind.SHORT_TAIL, tally, evidence.nbytes, says))
    says = "hold no pattern of this program: written by something else, or scrambled"
    return _built(Kind.GARBAGE, tally, told(Kind.GARBAGE, tally, evidence.nbytes, says))


def _constant(cause: Constant, tally: Tally) -> tuple[Kind, str]:
    if cause.value == b"\xff":
        return Kind.ALL_ONES, "are all ones"
    if cause.value != b"\x00":
        value = f"{int.from_bytes(cause.value, 'little'):#0{2 + 2 * len(cause.value)}x}"
        return Kind.CONSTANT, f"hold {value} again and again"
    if tally.to_end and tally.first and tally.places == 1:
        return Kind.SHORT_TAIL, f"are zeros, up to the end: the transfer stopped after {size_text(tally.first)}"
    return Kind.ZEROS, "are zeros"


def _foreign_finding(evidence: Evidence, runs: Sequence[Run], source: Source, tally: Tally) -> Finding:
    expected, found = evidence.expected, source.stream
    place = displaced(runs[0].offset - source.displacement, source.displacement) if source.displacement else ""
    other = "" if found.buffer_id == expected.buffer_id else f" of buffer {found.buffer_id}"
    pass_ = " (inverted)" if found.inverted else ""
    old = f"the data of epoch {found.epoch}{pass_}{other}{place}"
    before = found == evidence.unwritten and not source.displacement
    holds = "what they held before" if before else old
    if found.epoch == expected.epoch and other:
        kind = Kind.WRONG_BUFFER
        says = f"hold this epoch's data{other}{place} (buffer {expected.buffer_id} was expected)"
    elif tally.to_end and tally.first and tally.places == 1 and not other:
        kind, says = (
            Kind.SHORT_TAIL,
            f"hold, up to the end, {holds}: the transfer stopped after {size_text(tally.first)}",
        )
    elif not other and all(_broken_off(run) for run in runs):
        kind, says = Kind.TORN, f"hold {holds}, and begin or end in the middle of a page: a piece arrived in part"
    elif before:
        whole = "nothing arrived" if tally.nbytes >= evidence.nbytes - _CHANCE else "no data arrived there"
        kind, says = Kind.NOT_WRITTEN, f"hold what the destination was filled with before the transfer: {whole}"
    else:
        kind, says = Kind.STALE, f"hold {old} (epoch {expected.epoch} was expected)"
    return _built(
        kind,
        tally,
        told(kind, tally, evidence.nbytes, says),
        epoch=found.epoch,
        buffer_id=found.buffer_id,
        displacement=source.displacement,
    )


def _broken_off(run: Run) -> bool:
    """Whether old data end at a page on one side, and in the middle of one on the other."""
    start = run.offset - (run.offset % _LINE if run.offset % _LINE <= _CHANCE else 0)
    end = run.end + (-run.end % _LINE if -run.end % _LINE <= _CHANCE else 0)
    size = end - start
    whole_piece = size.bit_count() == 1 and start % size == 0
    return start > 0 and bool(start % _PAGE) != bool(end % _PAGE) and not whole_piece
