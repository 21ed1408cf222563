"""What runs of a buffer's own data, each at a wrong place, are to each other: swapped, permuted, one address, …"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from hil.integrity.evidence import Evidence, Run, Source
from hil.integrity.findings import Kind

_SLACK = 15  # bytes by which an end may be off: bytes that agree by chance, or a word that is not whole
_CHANCE = 2  # bytes behind a piece that agree with it by chance
_LINE = 64  # bytes: by less, a piece is shifted rather than moved
_FAR = 4096  # bytes: an odd displacement by more is no slip of byte lanes
_LEAST_ALIAS = 3  # blocks that show an alias where they are not the whole buffer
_DISTANCES = 3  # over which pieces are swapped; more of them are a permutation
_ROUNDS = 64  # until no run is left whose place nobody else took
_ROWS = 3  # rows that show a pitch


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Runs that have one cause."""

    kind: Kind
    runs: Sequence[Run]
    address_bit: int | None = None
    step: int = 0
    """Bytes by which each row lies further off than the one before."""


def displacement(run: Run) -> int:
    """Bytes from where the data of `run` belong to where they lie."""
    assert isinstance(run.cause, Source)  # noqa: S101  (asked of such only)
    return run.cause.displacement


def related(evidence: Evidence, runs: Sequence[Run]) -> list[Group]:
    """All `runs` of a buffer's own data in groups.

    Args:
        evidence: the buffer.
        runs: in order of offset; each with a cause that is a `Source` of the expected pattern.

    """
    groups: list[Group] = []
    rest = list(runs)
    for look in (_aliases, _cycles, _rows):
        found = look(evidence, rest)
        groups += found
        taken = {id(run) for group in found for run in group.runs}
        rest = [run for run in rest if id(run) not in taken]
    return groups + [Group(kind=_alone(evidence, run), runs=[run]) for run in rest]


def _home(run: Run) -> tuple[int, int]:
    return run.offset - displacement(run), run.end - displacement(run)


def _alone(evidence: Evidence, run: Run) -> Kind:
    delta = displacement(run)
    if abs(delta) + _CHANCE < run.length or (delta % 4 and abs(delta) < _FAR):
        return Kind.BYTE_SHIFTED
    return Kind.DUPLICATED if evidence.is_right(*_home(run)) else Kind.MISPLACED


def _aliases(evidence: Evidence, runs: Sequence[Run]) -> list[Group]:
    by_delta: dict[int, list[Run]] = {}
    for run in runs:
        if abs(displacement(run)).bit_count() == 1:
            by_delta.setdefault(displacement(run), []).append(run)
    return [
        Group(kind=Kind.ALIAS, runs=same, address_bit=abs(delta).bit_length() - 1)
        for delta, same in by_delta.items()
        if _is_alias(evidence, delta, same)
    ]


def _is_alias(evidence: Evidence, delta: int, runs: Sequence[Run]) -> bool:
    """Whether `runs` are just the places that an address bit without effect would show at."""
    size, period, nbytes = abs(delta), 2 * abs(delta), evidence.nbytes
    slack = min(_SLACK, size // 4)
    whole = [run for run in runs if abs(run.length - size) <= slack]
    if not whole:
        return False
    phase = whole[0].offset % period
    if not all(min((run.offset - phase) % period, (phase - run.offset) % period) <= slack for run in whole):
        return False
    edges = [run for run in runs if abs(run.length - size) > slack]
    if any(run.length > size or (run.offset > slack and run.end < nbytes - slack) for run in edges):
        return False
    # Blocks that must show it: those whose other half lies in the buffer, too.
    starts = range(phase - period, nbytes, period)
    due = [start for start in starts if start >= -slack and start - delta + slack >= 0]
    due = [start for start in due if max(start, start - delta) + size <= nbytes + slack]
    if len(whole) < len(due):
        return len(whole) >= _LEAST_ALIAS and all(b.offset - a.offset <= period + slack for a, b in pairwise(whole))
    if len(whole) > 1:
        return True
    # A single block may have been sent twice instead, unless it shows what belongs further up, or is half of all.
    return (delta < 0 and phase <= slack) or 0 <= nbytes - period <= slack


def _rows(_: Evidence, runs: Sequence[Run]) -> list[Group]:
    groups: list[Group] = []
    start = 0
    while start + 1 < len(runs):
        step = displacement(runs[start + 1]) - displacement(runs[start])
        end = start + 1
        while end + 1 < len(runs) and displacement(runs[end + 1]) - displacement(runs[end]) == step:
            end += 1
        rows = runs[start : end + 1]
        far = {b.offset - a.offset for a, b in pairwise(rows)}
        if step and len(rows) >= _ROWS and max(far) - min(far) <= abs(step) + _SLACK and max(far) > abs(step):
            groups.append(Group(kind=Kind.ROW_PITCH, runs=rows, step=step))
            start = end
        start += 1
    return groups


def _cycles(_: Evidence, runs: Sequence[Run]) -> list[Group]:
    """Runs that lie at each other's places."""
    closed = [run for run in runs if abs(displacement(run)) + _CHANCE >= min(run.length, _LINE)]
    for _round in range(_ROUNDS):
        kept = [run for run in closed if _covered(_home(run), closed)]
        if len(kept) == len(closed):
            break
        closed = kept
    else:
        return []
    if len({displacement(run) > 0 for run in closed}) < 2:  # noqa: PLR2004  (both ways: else nothing came back)
        return []
    by_delta: dict[int, list[Run]] = {}
    for run in closed:
        by_delta.setdefault(displacement(run), []).append(run)
    swapped = all(_covered(_home(run), by_delta.get(-displacement(run), [])) for run in closed)
    if not swapped or len(by_delta) > 2 * _DISTANCES:
        return [Group(kind=Kind.PERMUTED, runs=closed)]
    there = sorted({abs(delta) for delta in by_delta})
    return [Group(kind=Kind.SWAPPED, runs=[r for r in closed if abs(displacement(r)) == far]) for far in there]


def _covered(span: tuple[int, int], runs: Sequence[Run]) -> bool:
    """Whether `runs`, in order and without overlap, cover `span`, but for a few bytes."""
    slack = min(_SLACK, (span[1] - span[0]) // 4)
    position = span[0]
    for run in islice(runs, bisect_right(runs, position, key=lambda run: run.end), None):
        if run.offset > position + slack:
            return False
        position = run.end
        if position >= span[1] - slack:
            return True
    return False
