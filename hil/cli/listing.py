"""``hil list``: what hangs on a bench, as a tree or as JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from hil.discovery import discover
from hil.errors import NotSupported
from hil.hosts.machine import MachineProcess
from hil.hosts.opening import open_host
from hil.hosts.selection import BenchKind, Selection, parse
from hil.model import GIB, Gpu, Inventory, Router, RouterRole, gpu_aliases, to_dict

if TYPE_CHECKING:
    from rich.tree import Tree


def show(text: str, *, as_json: bool) -> None:
    """Print the inventory of the bench named `text`.

    Raises:
        UsageError: there is no such bench.
        BenchFault: it cannot be looked at.

    """
    selection = parse(text)
    if selection.kind is BenchKind.OPENCL:
        raise NotSupported(
            "bench opencl has no topology: run `pytest suites/ --hil-bench opencl` to see its devices"
        )
    reason = ""
    if selection.kind is not BenchKind.SIM:
        inventory = look({"kind": "local"})
        if selection.kind is BenchKind.AUTO and not inventory.gpus:
            reason = f"no NVIDIA GPU here (looked at {', '.join(inventory.looked_at) or 'nothing'})"
            selection = Selection(BenchKind.SIM)
    if selection.kind is BenchKind.SIM:
        inventory = _look_at_machine(selection)
    if as_json:
        click.echo(json.dumps(as_facts(selection, inventory), indent=2))
        return
    if reason:
        click.echo(f"{reason}: this is the simulated machine that a run would use", err=True)
    draw(selection, inventory)


def look(spec: dict[str, Any]) -> Inventory:
    """The inventory of the host that `spec` describes."""
    host = open_host(spec)
    try:
        return discover(host)
    finally:
        host.close()


def as_facts(selection: Selection, inventory: Inventory) -> dict[str, Any]:
    """The JSON of ``hil list``; documented in docs/json.md."""
    names = gpu_aliases(inventory)
    return {
        "bench": str(selection),
        "simulated": inventory.host.simulated,
        "devices": [
            {"alias": alias, "id": device}
            for device, alias in sorted(names.items(), key=lambda item: item[1])
        ],
        "inventory": to_dict(inventory),
    }


def draw(selection: Selection, inventory: Inventory) -> None:
    """Print the tree."""
    from rich.console import Console  # noqa: PLC0415  (JSON needs none of it)
    from rich.text import Text  # noqa: PLC0415
    from rich.tree import Tree  # noqa: PLC0415

    host = inventory.host
    kind = "simulated" if host.simulated else "real hardware"
    title = f"{host.model or host.hostname} ({host.system} {host.os_version}, {host.arch}), bench {selection}, {kind}"
    tree = Tree(Text(title))
    _grow(tree, inventory, gpu_aliases(inventory), None)
    if not inventory.gpus:
        tree.add(Text("no NVIDIA GPU"))
    for problem in inventory.problems:
        tree.add(Text(f"problem: {problem}"))
    # Piped into a file, a line must not break where some terminal would.
    Console(highlight=False, width=None if sys.stdout.isatty() else 1000).print(tree)


def _grow(branch: Tree, inventory: Inventory, names: dict[str, str], above: Router | None) -> None:
    from rich.text import Text  # noqa: PLC0415

    uid = above.uid if above else None
    for gpu in inventory.gpus:
        if (gpu.enclosure.uid if gpu.enclosure else None) == uid:
            branch.add(Text(_gpu(gpu, names[gpu.id])))
    for router in inventory.routers:
        if router.parent == (above.name if above else None):
            _grow(branch.add(Text(_router(router))), inventory, names, router)


def _router(router: Router) -> str:
    name = f"{router.vendor_name} {router.device_name}".strip() or router.uid or router.name
    if router.role is RouterRole.HOST:
        return f"{router.domain}: {name}"
    if router.role is RouterRole.PEER:
        return f"{name}: another computer"
    parts = [name, str(router.kind), str(router.link)]
    if router.firmware:
        parts.append(f"firmware {router.firmware}")
    if router.authorized == 0:
        parts.append("NOT AUTHORIZED")
    return ", ".join(parts)


def _gpu(gpu: Gpu, alias: str) -> str:
    parts = [f"{alias}: {gpu.name}", f"at {gpu.function.address}", f"PCIe {gpu.function.link}"]
    if gpu.vram_bytes:
        parts.append(f"{gpu.vram_bytes / GIB:.1f} GiB")
    if gpu.function.driver:
        parts.append(f"driver {gpu.function.driver}")
    return ", ".join(parts)


def _look_at_machine(selection: Selection) -> Inventory:
    if selection.address:
        return look({"kind": "simulated", "address": selection.address})
    machine = MachineProcess(selection.profile)
    try:
        return look({"kind": "simulated", "address": machine.address})
    finally:
        machine.close()
