"""What stands beside every test of a device in its result: its link against what it should be, topology, kernel log."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hil.bench.bench import Bench
from hil.bench.declared import least_link
from hil.bench.device import Device
from hil.plugin.run import current
from hil.report import attach, show_line
from hil.report.topology import tree
from hil.throughput import against, hops
from hil.watch import marked

if TYPE_CHECKING:
    from hil.watch import Observations

LINK = "link"
TOPOLOGY = "topology"
KERNEL_LOG = "kernel log"
_SHOWN: pytest.StashKey[bool] = pytest.StashKey()
_LINE: pytest.StashKey[str] = pytest.StashKey()


def results_folder(config: pytest.Config) -> Path | None:
    """Where Allure's results of this run go; `None` where nobody asked for any."""
    folder = config.getoption("allure_report_dir", default=None)
    return Path(folder) if folder else None


def show_link(device: Device, item: pytest.Item) -> None:
    """Show on top of the test's result what the link of `device` is by the last look at the bench, and should be.

    Shown before the test and again after it: one that changed shows both. Nothing of a device without enclosure.
    """
    if results_folder(item.config) is None or device.facts.enclosure is None:
        return
    uid, inventory = device.facts.enclosure.uid, device.bench.inventory
    enclosure = next((router for router in inventory.routers if router.uid == uid), None)
    line = against(hops(inventory, enclosure) if enclosure else (), device.facts.link_kind, least_link(device))
    before = item.stash.setdefault(_LINE, line)
    show_line(LINK, line if line == before else f"{before}; after the test: {line}")


def show_log(seen: Observations, item: pytest.Item, *, failed: bool) -> None:
    """Attach the kernel log of the test's own time where `failed`, or where it speaks of a fault."""
    if "telemetry" in getattr(item, "fixturenames", ()):
        return  # that fixture attaches it
    if seen.lines and (failed or any(line.fault for line in seen.lines)):
        attach(KERNEL_LOG, marked(seen.lines))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the topology to the first test of a device, and to each that fails."""
    report = yield
    device = getattr(item, "funcargs", {}).get("device")
    first = not item.config.stash.get(_SHOWN, False)
    if isinstance(device, Device) and results_folder(item.config) is not None and (report.failed or first):
        item.config.stash[_SHOWN] = True
        attach(TOPOLOGY, topology(current(item.config).bench))
    return report


def topology(bench: Bench) -> str:
    """The tree that ``hil list`` draws, by the last look at `bench`."""
    host = bench.inventory.host
    given = {device.facts.id: device.alias for device in bench.devices if device.facts.gpu is not None}
    head = f"{host.model or host.hostname} ({host.system} {host.os_version}, {host.arch}), {bench.name}, {bench.nature}"
    return "\n".join([head, *tree(bench.inventory, given)])
