"""The pytest plugin: options, discovery, devices as parameters, the health gate, results.

It is loaded by its entry point in every pytest run of the environment, and does nothing there until the words of
`fixtures/` are loaded by a root conftest (``pytest_plugins = ["hil.fixtures.transfer", …]``).
"""

from hil.plugin.devices import device, hil_bench, pytest_generate_tests
from hil.plugin.options import pytest_addoption
from hil.plugin.replay import Replay, replay_of
from hil.plugin.results import (
    pytest_collection_modifyitems,
    pytest_report_header,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)
from hil.plugin.run import next_epoch, pytest_configure, pytest_sessionfinish, pytest_unconfigure

__all__ = [
    "Replay",
    "device",
    "hil_bench",
    "next_epoch",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_generate_tests",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_unconfigure",
    "replay_of",
]
