"""Blocks that hold each other's data because their addresses differ in one bit, and that bit has no effect."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hil.integrity import Kind
from hil.model import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.bench.operations.places import Block
    from hil.integrity import Finding, Report

ADVICE = "look at the address lines and decoder of the memory, and at masks of addresses in the driver"


def with_aliases(checked: Sequence[tuple[Block, Report]]) -> list[Report]:
    """Reports on blocks that were all written before the first was read, with aliases told as such.

    One block that holds another's data may have been misplaced on its way. Where of every two blocks whose addresses
    differ in that one bit alone one holds the other's, the bit does it.
    """
    # A wrong block that nobody looked into says nothing either way.
    looked_at = [(block, report) for block, report in checked if report.intact or report.findings]
    partners = {block.address: _partner(block, report) for block, report in looked_at}
    dead = {bit for bit in filter(None, partners.values()) if _is_dead(bit, partners)}
    return [
        _told(report, bit) if (bit := partners.get(block.address, 0)) in dead else report for block, report in checked
    ]


def _partner(block: Block, report: Report) -> int:
    """The one bit in which the address that the block's data belong to differs from its own; 0 if there is none."""
    main = report.headline
    if main is None or not main.displacement:
        return 0
    differ = block.address ^ (block.address - main.displacement)
    return differ if differ.bit_count() == 1 and differ >= block.nbytes else 0


def _is_dead(bit: int, partners: dict[int, int]) -> bool:
    pairs = [(address, address ^ bit) for address in partners if address ^ bit in partners]
    return bool(pairs) and all(bit in (partners[one], partners[other]) for one, other in pairs)


def _told(report: Report, bit: int) -> Report:
    main = report.headline
    return replace(report, findings=tuple(_alias(f, bit) if f is main else f for f in report.findings))


def _alias(found: Finding, bit: int) -> Finding:
    number, side = bit.bit_length() - 1, "below" if (found.displacement or 0) > 0 else "above"
    return replace(
        found,
        kind=Kind.ALIAS,
        address_bit=number,
        advice=ADVICE,
        sentence=(
            f"{Kind.ALIAS}: {size_text(found.nbytes)} at {found.offset:#x} hold what belongs {size_text(bit)} {side}: "
            f"addresses that differ in bit {number} alone are one place (bit {number} of the address has no effect)"
        ),
    )
