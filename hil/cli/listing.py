"""``hil list``: what hangs on a bench, as a tree or as JSON."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import click

from hil.discovery import discover
from hil.errors import NotSupported
from hil.hosts.machine import MachineProcess
from hil.hosts.opening import open_host
from hil.hosts.selection import BenchKind, Selection, parse
from hil.model import Inventory, gpu_aliases, to_dict
from hil.report.topology import tree


def show(text: str, *, as_json: bool) -> None:
    """Print the inventory of the bench named `text`.

    Raises:
        UsageError: there is no such bench.
        BenchFault: it cannot be looked at.

    """
    selection = parse(text)
    if selection.kind is BenchKind.OPENCL:
        raise NotSupported("bench opencl has no topology: run `pytest suites/ --hil-bench opencl` to see its devices")
    reason = ""
    names: dict[str, str] = {}
    with ExitStack() as stack:
        # A machine takes as long to come up as this one takes to be looked at: side by side.
        machine = None
        if selection.kind in (BenchKind.SIM, BenchKind.AUTO) and not selection.address:
            machine = MachineProcess(selection.profile)
            stack.callback(machine.let_go)
        if selection.kind is BenchKind.CAPTURED:
            inventory = look({"kind": "captured", "address": selection.address})
        elif selection.kind is BenchKind.FILE:
            from hil.cli.target import look_by_file  # noqa: PLC0415  (who names no bench file pays for no pydantic)

            inventory, names = look_by_file(selection)
        elif selection.kind is not BenchKind.SIM:
            inventory = look({"kind": "local"})
            if selection.kind is BenchKind.AUTO and not inventory.gpus:
                reason = f"no NVIDIA GPU here (looked at {', '.join(inventory.looked_at) or 'nothing'})"
                selection = Selection(BenchKind.SIM)
        if selection.kind is BenchKind.SIM:
            inventory = look({"kind": "simulated", "address": machine.address if machine else selection.address})
    if as_json:
        click.echo(json.dumps(as_facts(selection, inventory, names), indent=2))
        return
    if reason:
        click.echo(f"{reason}: this is the simulated machine that a run would use", err=True)
    draw(selection, inventory, names)


def look(spec: dict[str, Any]) -> Inventory:
    """The inventory of the host that `spec` describes."""
    host = open_host(spec)
    try:
        return discover(host)
    finally:
        host.close()


def as_facts(selection: Selection, inventory: Inventory, given: dict[str, str]) -> dict[str, Any]:
    """The JSON of ``hil list``; documented in docs/json.md. `given`: aliases of the bench file, by device id."""
    names = gpu_aliases(inventory) | given
    return {
        "bench": str(selection),
        "simulated": inventory.host.simulated,
        "devices": [
            {"alias": alias, "id": device} for device, alias in sorted(names.items(), key=lambda item: item[1])
        ],
        "inventory": to_dict(inventory),
    }


def draw(selection: Selection, inventory: Inventory, given: dict[str, str]) -> None:
    """Print the tree. `given`: aliases of the bench file, by device id."""
    host = inventory.host
    nature = "simulated" if host.simulated else "real hardware"
    if selection.kind is BenchKind.CAPTURED:
        nature += ", as captured"
    click.echo(f"{host.model or host.hostname} ({host.system} {host.os_version}, {host.arch}), {selection}, {nature}")
    for line in tree(inventory, given):
        click.echo(line)
