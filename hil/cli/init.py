"""``hil init``: write a bench file from what is attached now."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from hil.bench import roster
from hil.bench.file import ALIAS_LENGTH, RESERVED
from hil.bench.template import bench_file
from hil.cli.target import Target, opened
from hil.cli.whole_file import must_be_new, write_whole
from hil.discovery import discover
from hil.errors import UsageError
from hil.hosts.selection import BenchKind, Selection, parse
from hil.model import Inventory, gpu_aliases, slug


def write(path: Path, bench: str, *, force: bool, as_json: bool = False) -> None:
    """Write the bench file `path` for the bench named `bench`, and say what it lists.

    Raises:
        UsageError: there is no such bench, `path` is there already and `force` was not given, or it cannot be written.
        BenchFault: the bench cannot be looked at.

    """
    if path.suffix != ".toml":
        raise UsageError(f"{path}: the name of a bench file ends in .toml, so that --bench takes it for one")
    must_be_new(path, force=force)
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {path.parent}")
    with opened(parse(bench)) as target:
        inventory = discover(target.host)
    names = _aliases(target, inventory)
    name = _bench_name(target, inventory)
    text = bench_file(
        name=name, host=_host(target, path.parent), inventory=inventory, aliases=names, path=os.fspath(path)
    )
    write_whole(path, text)
    if as_json:
        devices = [{"alias": alias, "id": device} for device, alias in sorted(names.items(), key=lambda item: item[1])]
        click.echo(json.dumps({"file": os.fspath(path), "bench": name, "devices": devices}, indent=2))
        return
    click.echo(f"{path}: bench {name}, {len(names)} device{'s' * (len(names) != 1)}")
    for device, alias in sorted(names.items(), key=lambda item: item[1]):
        click.echo(f"  {alias}  {device}")
    if not names:
        click.echo("No NVIDIA GPU was found: `hil doctor` says what may be wrong. Until one is listed, all are used.")
    click.echo(f"Nothing destructive is allowed yet: see [allow] in it. Try: pytest suites/ --hil-bench {path}")


def _host(target: Target, folder: Path) -> dict[str, Any]:
    """Keys of ``[host]``; files as they are named from the bench file's folder."""
    if target.file is not None:
        return {
            key: _from(folder, value) if key in ("profile", "file") else value
            for key, value in target.file.host.model_dump().items()
            if value
        }
    selection = target.selection
    match selection.kind:
        case BenchKind.SIM if selection.address:
            return {"kind": "simulated", "address": selection.address}
        case BenchKind.SIM:
            return {"kind": "simulated", "profile": _from(folder, selection.profile)}
        case BenchKind.CAPTURED:
            return {"kind": "captured", "file": _from(folder, selection.address)}
    return {"kind": "local"}


def _from(folder: Path, value: str) -> str:
    # A shipped profile has a name and no file.
    return os.path.relpath(value, folder) if os.sep in value or Path(value).suffix else value


def _bench_name(target: Target, inventory: Inventory) -> str:
    if target.file is not None:
        return target.file.name
    selection: Selection = target.selection
    if target.simulated:
        return _short(slug(f"sim {Path(selection.profile).stem}"))
    return _short(slug(inventory.host.hostname or inventory.host.model))


def _aliases(target: Target, inventory: Inventory) -> dict[str, str]:
    """Alias of each GPU by its id: the one that it has in the bench file that was named, else the usual one."""
    chosen = roster.aliases(target.file, inventory) if target.file else {}
    for device, usual in sorted(gpu_aliases(inventory).items()):
        if device in chosen:
            continue
        alias, number = _short(usual), 1
        while alias in (*chosen.values(), *RESERVED):
            number += 1
            alias = f"{_short(usual, 4)}-{number}"
        chosen[device] = alias
    return chosen


def _short(name: str, spare: int = 0) -> str:
    return name[: ALIAS_LENGTH - spare].strip("-")
