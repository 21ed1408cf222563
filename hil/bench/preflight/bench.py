"""Checks of what hangs on the bench and of what other runs have left: GPUs, engines, locks, room on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hil.bench import roster
from hil.bench.locks import records
from hil.bench.preflight.base import Finding, Scene, advice, must, ok
from hil.model import GIB, MIB, RouterRole

DISK_MUST, DISK_ADVICE = 100 * MIB, GIB
"""Bytes; results with their attachments of one run take some ten MiB."""


def gpus(scene: Scene) -> Iterator[Finding]:
    """Whether there is anything to test, and enclosures that show no card."""
    found = scene.inventory.gpus
    if found:
        yield ok("bench.gpus", ", ".join(f"{gpu.name} at {gpu.function.address}" for gpu in found))
    else:
        yield advice(
            "bench.gpus",
            "no NVIDIA GPU was found",
            "plug one in; without one, `pytest suites/` runs on a simulated machine and says so",
        )
    held = {gpu.enclosure.uid for gpu in found if gpu.enclosure}
    for enclosure in scene.inventory.enclosures:
        router = enclosure.router
        if router.uid in held or router.role is not RouterRole.ENCLOSURE or router.authorized == 0:
            continue
        name = f"{router.vendor_name} {router.device_name}".strip() or router.name
        if not enclosure.functions:
            yield (advice if found else must)(
                "bench.tunnel",
                f"PCIe tunnel missing: {name} is there and no PCI function behind it",
                "check the card's seat and the enclosure's supply, then plug it in again; a hub may show this too",
            )
        else:
            yield advice(
                "bench.tunnel", f"{name} holds no NVIDIA GPU that can be seen", "check the card, if it holds one"
            )
    for problem in scene.inventory.problems:
        yield advice("bench.discovery", problem, "see docs/troubleshooting.md")


def engines(scene: Scene) -> Iterator[Finding]:
    """GPUs that no copy engine can open."""
    for problem in scene.offer_problems:
        yield advice("bench.engines", problem, "see docs/engines.md")
    if scene.host.kind == "captured":
        return  # nothing can be opened there
    for gpu in scene.inventory.gpus:
        here = [
            name
            for name, devices in scene.offers.items()
            if any(device.pci_address == gpu.function.address for device in devices)
        ]
        if here:
            yield ok("bench.engines", f"{gpu.name} at {gpu.function.address}: copy engine {', '.join(here)}")
        else:
            asked = ", ".join(scene.offers) or "none"
            yield must(
                "bench.engines",
                f"no copy engine can open {gpu.name} at {gpu.function.address} (asked: {asked})",
                "pip install 'hil[all]', then see docs/engines.md",
            )


def listed(scene: Scene) -> Iterator[Finding]:
    """Whether the devices of the bench file are there as it says."""
    if scene.file is None:
        return
    for one in roster.call(scene.file, scene.inventory):
        alias = one.entry.alias
        if one.gpu is None:
            yield must("bench.devices", f"{alias}: {one.absent}", "check cable and supply, or correct the bench file")
            continue
        address = one.gpu.function.address
        told = [d.vram_bytes for devices in scene.offers.values() for d in devices if d.pci_address == address]
        wrong = roster.unmet(one.entry.expect, one.gpu, told[0] if told else None)
        for sentence in wrong:
            yield must("bench.devices", f"{alias}: {sentence}", "find out what changed, or correct the bench file")
        if not wrong:
            yield ok("bench.devices", f"{alias} is there, and all that is expected of it holds")
    for gpu in roster.left_out(scene.file, scene.inventory) if scene.file.device else ():
        yield advice("bench.devices", f"{gpu.name} ({gpu.id}) is not listed: it is not tested", "add it with its id")
    for sentence in roster.idle_actuators(scene.file, scene.inventory):
        yield advice("bench.actuators", sentence, "correct its enclosure, or plug it in")


def locks(scene: Scene) -> Iterator[Finding]:
    """Devices that another run holds, and what runs that died have left."""
    for record in records(scene.lock_folder):
        if record.pid is not None and _lives(record.pid):
            yield must("bench.locks", f"device {record.device} is in use by {record}", "wait for that run, or end it")
        elif record.state:
            yield advice(
                "bench.locks",
                f"a run that died has left device {record.device} to be put right ({record})",
                "start any run on this bench: it does that first",
            )


def disk(scene: Scene) -> Iterator[Finding]:
    """Room for temporary files."""
    free = f"{scene.scratch_free / GIB:.1f} GiB are free in {scene.scratch}"
    if scene.scratch_free < DISK_MUST:
        yield must("host.disk", f"only {free}", f"make room in {scene.scratch}, or set TMPDIR")
    elif scene.scratch_free < DISK_ADVICE:
        yield advice("host.disk", f"only {free}", f"make room in {scene.scratch}, or set TMPDIR")
    else:
        yield ok("host.disk", free)


def _lives(pid: int) -> bool:
    if pid < 1:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):  # another user's; a number that is no pid names nobody to wait for
        return True
    return True
