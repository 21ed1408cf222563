"""Loads the words that the suites are written in."""

pytest_plugins = ["hil.fixtures"]
