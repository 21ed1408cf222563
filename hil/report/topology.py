"""What hangs on a bench, as a tree: hosts, enclosures, GPUs, and the link of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hil.model import GIB, Gpu, Inventory, Router, RouterRole, gpu_aliases

Branch = tuple[str, list["Branch"]]
"""A line of the tree, and the lines below it."""


def tree(inventory: Inventory, given: Mapping[str, str]) -> list[str]:
    """The lines of the tree, and what discovery complained of.

    Args:
        inventory: what is drawn.
        given: aliases of the bench file, by device id; the others get theirs from their names.

    """
    branches = _branches(inventory, gpu_aliases(inventory) | dict(given), None)
    if not inventory.gpus:
        branches.append(("no NVIDIA GPU", []))
    branches += [(f"problem: {problem}", []) for problem in inventory.problems]
    return list(_lines(branches))


def _branches(inventory: Inventory, names: dict[str, str], above: Router | None) -> list[Branch]:
    uid = above.uid if above else None
    gpus = [gpu for gpu in inventory.gpus if (gpu.enclosure.uid if gpu.enclosure else None) == uid]
    routers = [router for router in inventory.routers if router.parent == (above.name if above else None)]
    grown: list[Branch] = [(_gpu(gpu, names[gpu.id]), []) for gpu in gpus]
    return grown + [(_router(router), _branches(inventory, names, router)) for router in routers]


def _lines(branches: list[Branch], indent: str = "") -> Iterator[str]:
    for i, (text, below) in enumerate(branches):
        last = i == len(branches) - 1
        yield f"{indent}{'└── ' if last else '├── '}{text}"
        yield from _lines(below, indent + ("    " if last else "│   "))


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
