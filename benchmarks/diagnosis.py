"""``python -m benchmarks.diagnosis [--json]``: how often corruption is found and called what it is, beside known ideas.

Each of the kinds in `benchmarks.corruptions` is done to the same scene with the data of each pattern. *Caught* is what
makes a tool's own data differ from what it wrote; *right* is a finding of ours with the kind and the offset of the
first wrong byte. Clean scenes must give no finding.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from benchmarks.corruptions import BUFFER, CORRUPTIONS, EPOCH, TOOLS, Corruption, Make, Scene, ours
from hil.integrity import GUARD_BYTES, Kind, Report, check_guards, verify
from hil.model import KIB, MIB

CLEAN = "clean"
HIGH_BITS = (21, 22)
"""Address bits that look like a copy's 2 MiB chunks; they need large scenes, and a row of their own."""


@dataclass(slots=True)
class Row:
    """How one kind of corruption fared."""

    name: str
    kind: str
    draws: int = 0
    """That changed a byte of our pattern."""
    found: int = 0
    right: int = 0
    caught: dict[str, float] = field(default_factory=dict)
    """Share of draws that each known idea's data show, 0 … 1."""
    called: dict[str, int] = field(default_factory=dict)
    """What wrong answers said."""


def judged(scene: Scene) -> Report:
    """What `hil.integrity` says of a scene with its own pattern."""
    report = verify(scene.data, epoch=EPOCH, buffer_id=BUFFER, unwritten_epoch=EPOCH - 1)
    return report.with_findings(check_guards(scene.memory, GUARD_BYTES, scene.nbytes, epoch=EPOCH - 1))


def first_wrong(scene: Scene) -> int | None:
    """Offset of the first byte that differs from what should be there; in a guard zone the one beside the data."""
    right = Scene(scene.make, scene.nbytes, random.Random(0))
    wrong = np.flatnonzero(np.frombuffer(scene.memory, np.uint8) != np.frombuffer(right.memory, np.uint8))
    return int(wrong[0]) - GUARD_BYTES if wrong.size else None


def is_right(corruption: Corruption, report: Report, offset: int) -> bool:
    """Whether the main finding, or one of two where a piece leaves a gap behind, has the right kind and offset."""
    main = report.headline
    if corruption.kind is Kind.MISPLACED:
        return report.findings[0].offset == offset and any(f.kind is Kind.MISPLACED for f in report.findings)
    return main is not None and (main.kind, main.offset) == (corruption.kind, offset)


def scene_for(make: Make, dice: random.Random, nbytes: int) -> Scene:
    """A scene of `nbytes`, or a little less: buffers need not be of round sizes."""
    return Scene(make, nbytes - dice.choice([0, 0, 8, 64, 3, 4096]), dice)


def measured(corruption: Corruption, draws: int, nbytes: int, seed: int) -> Row:
    """Do `corruption` to `draws` scenes of our pattern, and to the same of every known idea."""
    row = Row(corruption.name, corruption.kind.value)
    seen = dict.fromkeys(TOOLS, 0)
    for draw in range(draws):
        key = f"{seed} {corruption.name} {draw}"
        scene = scene_for(ours, random.Random(key), nbytes)
        corruption.damage(scene)
        offset = first_wrong(scene)
        if offset is None:
            continue
        report = judged(scene)
        row.draws += 1
        row.found += not report.intact
        if is_right(corruption, report, offset):
            row.right += 1
        else:
            main = report.headline
            said = f"{main.kind} at {main.offset - offset:+}" if main else "nothing"
            row.called[said] = row.called.get(said, 0) + 1
        for name, make in TOOLS.items():
            other = scene_for(make, random.Random(key), nbytes)
            corruption.damage(other)
            seen[name] += bytes(other.data) != other.right(0, other.nbytes)
    row.caught = {name: count / max(row.draws, 1) for name, count in seen.items()}
    return row


def high_bits(seed: int) -> Row:
    """Aliases at `HIGH_BITS`, in scenes of two, four and some such blocks."""
    row = Row("address bits 21 and 22 have no effect", Kind.ALIAS.value)
    alias = next(corruption for corruption in CORRUPTIONS if corruption.kind is Kind.ALIAS)
    for bit in HIGH_BITS:
        for blocks in (2, 4, 6):
            scene = Scene(ours, blocks << bit, random.Random(seed + bit), address_bit=bit)
            alias.damage(scene)
            report = judged(scene)
            main = report.headline
            row.draws += 1
            row.found += not report.intact
            row.right += main is not None and (main.kind, main.address_bit) == (Kind.ALIAS, bit)
    return row


def clean(draws: int, nbytes: int, seed: int) -> int:
    """How many of `draws` clean scenes gave a finding."""
    dice = random.Random(seed)
    return sum(not judged(scene_for(ours, dice, nbytes)).intact for _ in range(draws))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON; 1 if a clean scene gave a finding or corruption was not found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.diagnosis", description="Is corruption called by name?")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument("--draws", type=int, default=100, metavar="N", help="of each kind (default: 100)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all draws (default: 0)")
    chosen = parser.parse_args(arguments)
    if chosen.draws < 1:
        parser.error(f"--draws: {chosen.draws} is less than 1")
    rows = [measured(corruption, chosen.draws, 256 * KIB, chosen.seed) for corruption in CORRUPTIONS]
    rows.append(high_bits(chosen.seed))
    alarms = clean(chosen.draws, MIB, chosen.seed)
    print(as_json(rows, alarms, chosen.draws) if chosen.json else as_table(rows, alarms, chosen.draws))
    return int(alarms > 0 or any(row.found < row.draws for row in rows))


def _totals(rows: Sequence[Row]) -> tuple[int, int, int]:
    return sum(row.draws for row in rows), sum(row.found for row in rows), sum(row.right for row in rows)


def _kinds_caught(rows: Sequence[Row], tool: str) -> float:
    """Mean share of draws that a known idea shows, over the kinds."""
    shares = [row.caught[tool] for row in rows if row.caught]
    return sum(shares) / len(shares)


def as_json(rows: Sequence[Row], alarms: int, draws: int) -> str:
    """All rows as one JSON object."""
    total, found, right = _totals(rows)
    facts = {
        "kinds": [asdict(row) for row in rows],
        "draws": total,
        "found": found,
        "right": right,
        "share_found": found / total,
        "share_right": right / total,
        "clean": {"draws": draws, "findings": alarms},
        "caught_by_known_ideas": {tool: _kinds_caught(rows, tool) for tool in TOOLS},
    }
    return json.dumps(facts, indent=2)


def as_table(rows: Sequence[Row], alarms: int, draws: int) -> str:
    """All rows as text, a line each."""
    head = ("corruption", "called", "found", "right", *TOOLS)
    lines = [
        (
            row.name,
            row.kind,
            f"{row.found}/{row.draws}",
            f"{row.right}/{row.draws}",
            *(f"{100 * row.caught[tool]:.0f} %" if row.caught else "" for tool in TOOLS),
        )
        for row in rows
    ]
    total, found, right = _totals(rows)
    means = tuple(f"{100 * _kinds_caught(rows, tool):.0f} %" for tool in TOOLS)
    lines.append(("all", "", f"{100 * found / total:.1f} %", f"{100 * right / total:.1f} %", *means))
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    told = ["  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in [head, *lines]]
    told.append(f"{draws} clean scenes: {alarms} findings")
    return "\n".join(told)


if __name__ == "__main__":
    sys.exit(main())
