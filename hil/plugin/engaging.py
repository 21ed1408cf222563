"""Whether this run is one of ours: hil keeps out of all others, whatever their tests call `device`."""

from __future__ import annotations

import pytest

MARKERS = (
    "needs(*what): gpu, enclosure, registers, …, see docs; skipped where device or bench do not offer it",
    "provokes(what): makes a sound link count errors or a sound driver log Xids: they are attached, not judged",
    "quick: one of the few seconds' worth of tests that tell most (-m quick)",
    "soak: takes minutes to hours; runs only where -m names it",
    "grid: one row of the full grid of copies; runs only where -m names it",
    "severity(level): blocker, critical, normal, minor or trivial, for the report",
    "allure_label(*values, label_type): a label in Allure's results",
    "allure_description(text): the text beside a result in Allure",
)


def engaged(config: pytest.Config) -> bool:
    """Whether a conftest of this run has loaded words of `fixtures/`."""
    modules = (getattr(plugin, "__name__", "") for plugin in config.pluginmanager.get_plugins())
    return any(str(name).startswith(("fixtures.", "hil.fixtures.")) for name in modules)


def pytest_configure(config: pytest.Config) -> None:
    """Take part in the run, if it is one of ours."""
    if not engaged(config):
        return
    # Imported here: a run that is not ours does not pay for it.
    from hil.plugin import (  # noqa: PLC0415
        beside,
        captured,
        choice,
        devices,
        journal,
        nights,
        recording,
        results,
        resuming,
        run,
        summary,
    )

    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    for part in (run, devices, choice, captured, journal, nights, results, summary, beside, resuming, recording):
        config.pluginmanager.register(part, part.__name__)
