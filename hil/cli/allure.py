"""``hil report --allure``: an Allure report of a results folder, built by the pinned program."""

from __future__ import annotations

import json
from pathlib import Path

import click

from hil.report.allure_program import find
from hil.report.allure_report import build_allure


def report(results: Path, out: Path, history: Path | None, *, install: bool, as_json: bool) -> None:
    """Build the report of the folder `results` into the folder `out`; say where it is.

    Raises:
        UsageError: nothing can be shown, or Node or the program is missing.
        BenchFault: the program failed.

    """
    built = build_allure(results, out, lambda: find(install=install), history=history)
    if as_json:
        facts = {
            "page": str(built.page),
            "history": str(built.history),
            "results": built.results,
            "notes": list(built.notes),
        }
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    for note in built.notes:
        click.echo(f"hil: {note}", err=True)
    click.echo(f"page       {built.page}: {built.results} results")
    click.echo(f"history    {built.history}")
