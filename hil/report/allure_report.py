"""An Allure report from a results folder: one file that asks nothing of any network, with the trends of its history."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hil.errors import BenchFault, UsageError
from hil.report.allure import CATEGORIES
from hil.report.allure_program import generate
from hil.report.allure_results import stage, tidy_history

PAGE: Final = "allure.html"
HISTORY: Final = "allure-history.jsonl"
KEPT: Final = 60
"""Runs in the history; it grows by about a kilobyte a test and run."""
POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; style-src 'unsafe-inline' data: blob:; "
    "img-src data: blob:; font-src data: blob:; media-src data: blob:; connect-src data: blob:; "
    "worker-src data: blob:; frame-src data: blob:"
)
"""What the report may load: what it brings with it."""
_ANALYTICS: Final = re.compile(
    r"<script\b[^>]*\bsrc=\"https?://[^\"]*\"[^>]*>\s*</script>|<script\b[^>]*>(?:(?!</script>)[^<])*\bgtag\((?:(?!</script>).)*?</script>",
    re.DOTALL,
)
CHARTS: Final = (
    {"type": "currentStatus", "title": "Tonight"},
    {"type": "statusDynamics", "title": "Night by night", "limit": KEPT},
    {"type": "testResultSeverities", "title": "By severity", "statuses": ["passed", "failed", "broken", "skipped"]},
    {"type": "durations", "title": "How long tests take", "groupBy": "none"},
    {"type": "durationDynamics", "title": "How long nights take", "limit": KEPT},
)
"""Of the charts that Allure knows those that say something of a bench."""
_HEAD: Final = re.compile(r"<head\b[^>]*>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A report that was built."""

    page: Path
    history: Path
    results: int
    """Tests in it."""
    notes: tuple[str, ...]


def build_allure(
    results: Path, out: Path, program: Callable[[], Sequence[str]], *, history: Path | None = None
) -> Built:
    """Build the report of the folder `results` into the folder `out`, whole or not at all.

    Args:
        results: what pytest wrote with ``--alluredir``.
        out: gets `PAGE`, and `HISTORY` where `history` is `None`.
        program: gives the command that runs Allure (see `hil.report.allure_program.find`); asked once there is anything
            to show.
        history: file that keeps what the runs before were like; this run is added to it.

    Raises:
        UsageError: there is nothing to show, the program is not there, or `out` cannot be written.
        BenchFault: the program failed.

    """
    page, past = out / PAGE, history or out / HISTORY
    with tempfile.TemporaryDirectory(prefix="hil-allure-") as name:
        work = Path(name)
        whole = work / "results"
        whole.mkdir()
        staged = stage(results, whole)
        command = program()
        try:
            out.mkdir(parents=True, exist_ok=True)
            past.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{out} cannot be written: {error.strerror or error}") from error
        grown = work / HISTORY
        notes = (*staged.notes, *tidy_history(past, staged.starts, grown))
        config = work / "allurerc.json"
        config.write_text(json.dumps(_config(work / "report", grown, _title(whole))), encoding="utf-8")
        generate(command, whole, config=config)
        html, lines = offline(_made(work / "report" / "index.html")), _made(grown)
        # The history last: where there is no report, it is as it was.
        _put(html, page)
        _put(lines, past.resolve())
    return Built(page=page, history=past, results=staged.results, notes=notes)


def offline(html: str) -> str:
    """`html`, a report of Allure, without the analytics that it asks a server for, and forbidden to ask any.

    Raises:
        BenchFault: it is not what Allure writes: there is no head in it.

    """
    stripped = _ANALYTICS.sub("", html)
    head = _HEAD.search(stripped)
    if head is None:
        raise BenchFault("what Allure wrote is no page: it has no head", operation="building the Allure report")
    policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    return f"{stripped[: head.end()]}\n    {policy}{stripped[head.end() :]}"


def _config(output: Path, history: Path, title: str) -> dict[str, Any]:
    page = {"reportName": title, "singleFile": True, "groupBy": ["parentSuite", "suite"], "charts": list(CHARTS)}
    return {
        "name": title,
        "output": str(output),
        "historyPath": str(history),
        "historyLimit": KEPT,
        "categories": {"rules": [_rule(category) for category in CATEGORIES]},
        "plugins": {"awesome": {"options": page}},
    }


def _rule(category: Mapping[str, Any]) -> dict[str, Any]:
    """One of `CATEGORIES` for Allure 3: it reads none from a results folder, and JavaScript has no ``(?s)``."""
    rule = {key: category[key] for key in ("name", "matchedStatuses", "messageRegex") if key in category}
    if "messageRegex" in rule:
        rule["messageRegex"] = rule["messageRegex"].replace("(?s)", "").replace(".*", r"[\s\S]*")
    return rule


def _title(results: Path) -> str:
    path = results / "environment.properties"
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
    told = dict(line.partition("=")[::2] for line in lines)
    return f"hil: {told['Bench']}".replace("\\", "") if told.get("Bench") else "hil"


def _made(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchFault(
            f"Allure ended well and wrote no {file.name}: {getattr(error, 'strerror', None) or error}",
            operation="building the Allure report",
        ) from error


def _put(text: str, place: Path) -> None:
    half = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(place)
    except OSError as error:
        raise UsageError(f"{place} cannot be written: {error.strerror or error}") from error
