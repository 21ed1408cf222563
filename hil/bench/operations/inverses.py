"""Blocks that hold the inverse of what they should, where that was there before: nobody has written them."""

from __future__ import annotations

from dataclasses import replace

from hil.integrity import Finding, Kind, Report, letter
from hil.integrity.sentences import ADVICE, TURNED

LEFT = "hold what was there before, its inverse"


def not_written(report: Report) -> Report:
    """`report` on a block that held the inverse before it was written: what still holds it was not written.

    (Or was turned round on its way in every bit; a write that is lost is what happens.)
    """
    if not any(finding.kind is Kind.INVERTED for finding in report.findings):
        return report
    return replace(
        report,
        findings=tuple(map(_told, report.findings)),
        cells=report.cells.replace(letter(Kind.INVERTED), letter(Kind.NOT_WRITTEN)),
    )


def _told(found: Finding) -> Finding:
    if found.kind is not Kind.INVERTED:
        return found
    says = found.sentence.removeprefix(Kind.INVERTED)
    for was, now in ((TURNED, LEFT), (f"is{TURNED[3:]}", f"holds{LEFT[4:]}")):
        says = says.replace(was, now)
    return replace(found, kind=Kind.NOT_WRITTEN, advice=ADVICE[Kind.NOT_WRITTEN], sentence=f"{Kind.NOT_WRITTEN}{says}")
