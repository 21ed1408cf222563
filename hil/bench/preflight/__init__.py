"""Preflight: what would keep a run from working, found before it is started. Reads only."""

from __future__ import annotations

from hil.bench.preflight import bench, linux, mac, software
from hil.bench.preflight.base import Check, Finding, Level, Scene, advice
from hil.errors import HilError, NotCaptured

__all__ = ["CHECKS", "Finding", "Level", "Scene", "examine"]

CHECKS: dict[str, Check] = {
    "software.python": software.python,
    "software.packages": software.optional_packages,
    "software.plugins": software.plugins,
    "software.pynvml": software.pynvml,
    "software.pip": software.pip,
    "software.node": software.node,
    "mac.computer": mac.computer,
    "mac.app": mac.app,
    "mac.extension": mac.extension,
    "mac.server": mac.server,
    "linux.thunderbolt": linux.thunderbolt,
    "linux.authorization": linux.authorization,
    "linux.driver": linux.drivers,
    "linux.config-space": linux.config_space,
    "linux.nvml": linux.nvml,
    "linux.dma-protection": linux.dma_protection,
    "host.commands": mac.helpers,
    "host.kernel-log": linux.kernel_log,
    "host.disk": bench.disk,
    "bench.gpus": bench.gpus,
    "bench.engines": bench.engines,
    "bench.devices": bench.listed,
    "bench.locks": bench.locks,
}
"""All checks, in the order in which their findings are told."""


def examine(scene: Scene) -> list[Finding]:
    """What all checks find. A check that cannot be done is a piece of advice, never an error."""
    found: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            found += check(scene)
        except NotCaptured as error:
            found.append(advice(name, f"not recorded: {error}", "run `hil doctor` on the machine itself"))
        except (OSError, HilError) as error:
            found.append(
                advice(name, f"could not be checked: {error}", "run `hil doctor` as root, or on the machine itself")
            )
    return found
