"""The pytest plugin: options, discovery, devices as parameters, the health gate, results.

It is loaded by its entry point in every pytest run of the environment, and does nothing there but offer its options
until the words of `fixtures/` are loaded by a root conftest (``pytest_plugins = ["hil.fixtures.transfer", …]``).
"""

from hil.plugin.engaging import pytest_configure
from hil.plugin.options import pytest_addoption

__all__ = ["pytest_addoption", "pytest_configure"]
