"""Findings of wrong bits: a bit here and there, the same bits in many words, bits that never follow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from hil.integrity.evidence import Flips, Run, Stuck
from hil.integrity.examine import Examination
from hil.integrity.findings import Finding, Kind
from hil.integrity.sentences import ADVICE, spelled
from hil.integrity.tally import Tally, joined, whereabouts
from hil.model import KIB

_TOGETHER = 4  # words with the same wrong bits that are one finding
_ONE_BY_ONE = 8  # words with wrong bits of their own that are told one by one
Bits = Sequence[tuple[int, int, int]]


def bit_findings(examination: Examination, runs: Sequence[Run]) -> Iterator[Finding]:
    """The findings of all bits that flipped; those of `runs` are bits at the edges of what was examined."""
    by_mask = {cause.mask: tally for cause, tally in examination.local.items() if isinstance(cause, Flips)}
    nbytes = examination.evidence.nbytes
    rest = _fold_into_stuck(examination, by_mask, runs)
    # Of many words with bits of their own, some have the same by chance.
    many = max(_TOGETHER, sum(tally.places for tally in by_mask.values()) // 2 + 1)
    for mask, tally in by_mask.items():
        if mask and tally.places >= many:
            yield _in_many_words(mask, tally, nbytes)
        else:
            rest.append(tally)
    if not rest:
        return
    together = joined(rest)
    if together.places > _ONE_BY_ONE:
        yield _scattered(together, nbytes)
        return
    for offset, length in together.spans:
        flips = [flip for flip in together.flips if offset <= flip[0] < offset + length]
        yield _in_one_word(offset, offset + length, flips, examination.evidence.address, nbytes)


def _tally_of(run: Run, examination: Examination) -> Tally:
    tally = Tally(flips=examination.flips_of(run))
    tally.add(np.array([run.offset]), np.array([run.end]))
    return tally


def _fold_into_stuck(examination: Examination, by_mask: dict[int, Tally], runs: Sequence[Run]) -> list[Tally]:
    """Where few words show that bits are stuck, they look as if they had flipped: one finding, not two.

    Returns:
        `runs`, but for those of stuck bits.

    """
    left = list(runs)
    for cause in [cause for cause in examination.local if isinstance(cause, Stuck)]:
        same = [by_mask.pop(mask) for mask in list(by_mask) if mask and not mask & ~cause.mask]
        edges = [run for run in left if isinstance(run.cause, Flips) and not run.cause.mask & ~cause.mask]
        left = [run for run in left if run not in edges]
        same += [_tally_of(run, examination) for run in edges]
        examination.local[cause] = joined([examination.local[cause], *same])
    return [_tally_of(run, examination) for run in left]


def sentence_of(flips: Bits) -> str:
    """Which bits read what."""
    return ", ".join(f"bit {bit} of the byte at {place:#x} reads {value}" for place, bit, value in flips)


def _where(offset: int, nbytes: int) -> str:
    return f" ({whereabouts(offset)})" if nbytes > 4 * KIB else ""


def _in_one_word(start: int, end: int, flips: Bits, address: int, nbytes: int) -> Finding:
    return Finding(
        kind=Kind.BIT_FLIP,
        offset=start,
        length=end - start,
        sentence=f"{Kind.BIT_FLIP}: {sentence_of(flips)} and should not{_where(start, nbytes)}",
        advice=ADVICE[Kind.BIT_FLIP],
        nbytes=end - start,
        spans=((start, end - start),),
        bits=tuple((address + place) % 8 * 8 + bit for place, bit, _ in flips),
        words=1,
        flips=tuple(flips),
    )


def _in_many_words(mask: int, tally: Tally, nbytes: int) -> Finding:
    lanes = [bit for bit in range(64) if mask >> bit & 1]
    what = f"bit {lanes[0]}" if len(lanes) == 1 else f"bits {spelled(lanes)}"
    lie = tally.regularity(nbytes)
    sentence = (
        f"{Kind.BIT_FLIP}: {sentence_of(tally.flips[: len(lanes)])} and should not{_where(tally.first, nbytes)}; the "
        f"same in {tally.places} words up to {tally.end - 1:#x}{f', {lie}' if lie else ''}: {what} of 64"
    )
    return _of_tally(tally, sentence, tuple(lanes))


def _scattered(tally: Tally, nbytes: int) -> Finding:
    reads = {value for _, _, value in tally.flips}
    toward = f", all seen towards {reads.pop()}" if len(reads) == 1 else ""
    lie = tally.regularity(nbytes)
    sentence = (
        f"{Kind.BIT_FLIP}: {sentence_of(tally.flips[:1])} and should not{_where(tally.first, nbytes)}; other bits in "
        f"{tally.places - 1} other words up to {tally.end - 1:#x}{f', {lie}' if lie else ''}{toward}"
    )
    return _of_tally(tally, sentence, ())


def _of_tally(tally: Tally, sentence: str, bits: tuple[int, ...]) -> Finding:
    return Finding(
        kind=Kind.BIT_FLIP,
        offset=tally.first,
        length=tally.end - tally.first,
        sentence=sentence,
        advice=ADVICE[Kind.BIT_FLIP],
        places=tally.places,
        nbytes=tally.nbytes,
        spans=tuple(tally.spans),
        stride=tally.stride,
        bits=bits,
        words=tally.places,
        flips=tuple(tally.flips),
    )
