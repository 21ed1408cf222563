"""``hil report``: the page that is opened in the morning, from records of runs and the history."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hil.cli.whole_file import write_whole
from hil.errors import UsageError
from hil.history import Verdict, open_history
from hil.history.place import VARIABLE, history_path
from hil.report.contents import contents
from hil.report.digest import markdown
from hil.report.lines import judged
from hil.report.morning import Morning, mornings
from hil.report.nights import SUFFIX, Loaded, load, record_files
from hil.report.page import build

PAGE = "index.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is to report."""

    loaded: Loaded
    verdicts: tuple[Verdict, ...]
    notes: tuple[str, ...]

    @property
    def told(self) -> list[Morning]:
        """The last night of real and of simulated benches."""
        return mornings(self.loaded.visits, self.verdicts)


def report(places: Sequence[Path], history: Path | None, out: Path, *, as_markdown: bool, as_json: bool) -> None:
    """Write the page of what `places` and the history hold into the folder `out`; say so, or what it says.

    Raises:
        UsageError: there is nothing that could be shown, or the page cannot be written.

    """
    found = gather(places, history)
    if as_markdown:
        click.echo(markdown(found.told, found.notes), nl=False)
        return
    page = write(found, out)
    if as_json:
        click.echo(json.dumps({"page": str(page), **facts(found)}, indent=2, ensure_ascii=False))
        return
    for note in found.notes:
        click.echo(f"hil: {note}", err=True)
    for morning in found.told:
        nature = "simulated" if morning.simulated else "real"
        click.echo(f"{morning.night}  {nature} benches: {morning.headline}")
    click.echo(f"page       {page}")


def gather(places: Sequence[Path], history: Path | None) -> Found:
    """Read the records in `places` and the history; what cannot be read is among the notes.

    Raises:
        UsageError: nothing could be read.

    """
    loaded = load(record_files(places))
    notes = [*loaded.complaints, *filter(None, map(_without_records, places))]
    verdicts: list[Verdict] = []
    path = history_path(history)
    # A file that somebody has named is missed; "none" is pytest's word for no file.
    named = history is not None or os.environ.get(VARIABLE, "none") not in ("", "none")
    if named or path.exists():
        try:
            with open_history(path, must_exist=True) as opened:
                verdicts = judged(opened, notes)
        except UsageError as error:
            notes.append(f"left out: {error}")
    if not loaded.visits and not verdicts:
        told = "; ".join(notes) or "no record was named, and there is no history"
        raise UsageError(f"nothing to report: {told}. `pytest suites/ --hil-record FILE` writes a record")
    return Found(loaded=loaded, verdicts=tuple(verdicts), notes=tuple(notes))


def _without_records(place: Path) -> str:
    if not place.is_dir() or record_files([place]):
        return ""
    allure = next(place.glob("*-result.json"), None)
    hint = f"; it holds Allure results, of which `hil report --allure {place}` makes a report" if allure else ""
    return f"{place} holds no record, no file that ends in {SUFFIX}{hint}"


def write(found: Found, out: Path) -> Path:
    """Write the page into the folder `out`, whole or not at all; its path.

    Raises:
        UsageError: it cannot be written.

    """
    made = datetime.now(UTC).astimezone().isoformat(timespec="minutes")
    text = build(contents(found.loaded.visits, found.verdicts, found.notes, made=made))
    page = out / PAGE
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{page} cannot be written: {error.strerror or error}") from error
    write_whole(page, text)
    return page


def facts(found: Found) -> dict[str, Any]:
    """What the page's first screen says, in builtin types."""
    return {
        "nights": [
            {
                "simulated": morning.simulated,
                "night": morning.night,
                "good": morning.good,
                "verdict": morning.verdict,
                "headline": morning.headline,
                "counts": dict(morning.counts),
                "benches": morning.benches,
                "items": [asdict(item) | {"bad": item.bad} for item in morning.items],
            }
            for morning in found.told
        ],
        "notes": list(found.notes),
    }
