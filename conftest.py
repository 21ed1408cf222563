"""Loads the words that the suites are written in."""

pytest_plugins = [
    "fixtures.hotplug",
    "fixtures.measure",
    "fixtures.reset",
    "fixtures.telemetry",
    "fixtures.throughput",
    "fixtures.transfer",
]
