"""What an operation tells of many checked parts: which one is worst, what it holds, how many others are wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hil.integrity import picture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hil.integrity import Report


def verdict(checked: Iterable[tuple[str, Report]]) -> dict[str, Any]:
    """One answer on many reports, each with the name of what it is on.

    Returns:
        ``intact``; ``checked`` parts and ``wrong`` ones; and where one is wrong: the ``name`` of the part with most
        wrong bytes among those that were gone into, its ``kind`` and ``text``, a ``picture`` of it as SVG, and
        ``names`` of the wrong parts, the first few.

    """
    parts = list(checked)
    wrong = [(name, report) for name, report in parts if not report.intact]
    facts: dict[str, Any] = {"intact": not wrong, "checked": len(parts), "wrong": len(wrong)}
    if wrong:
        # Of many wrong parts not all are gone into.
        name, worst = max(wrong, key=lambda one: (bool(one[1].findings), one[1].wrong_bytes))
        kind = worst.headline.kind.value if worst.headline else ""
        facts |= {"name": name, "kind": kind, "text": worst.text(), "picture": picture(worst)}
        facts["names"] = [other for other, _ in wrong[:SHOWN]]
    return facts


SHOWN = 16
"""Names of wrong parts that are told."""
