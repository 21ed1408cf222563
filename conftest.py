"""Loads the words that the suites are written in."""

pytest_plugins = [
    "hil.fixtures.hotplug",
    "hil.fixtures.measure",
    "hil.fixtures.reset",
    "hil.fixtures.telemetry",
    "hil.fixtures.throughput",
    "hil.fixtures.transfer",
    "hil.fixtures.vram",
]
