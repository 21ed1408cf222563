"""``hil profiles``: the simulated machines that come with hil."""

from __future__ import annotations

import json

import click

from hil.hosts.selection import DEFAULT_PROFILE
from hil.sim import profile


def show(*, as_json: bool) -> None:
    """Print name and summary of each."""
    found = {name: profile.load(name).summary for name in profile.known()}
    if as_json:
        rows = [{"name": name, "summary": text, "default": name == DEFAULT_PROFILE} for name, text in found.items()]
        click.echo(json.dumps({"profiles": rows}, indent=2))
        return
    width = max(map(len, found), default=0)
    for name, text in found.items():
        click.echo(f"{name:{width}}  {text}{' (default)' if name == DEFAULT_PROFILE else ''}")
