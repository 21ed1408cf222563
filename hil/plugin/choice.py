"""Which tests a run leaves out unless they are named, those marked ``soak`` or ``grid``; and which may come first."""

from __future__ import annotations

import re

import pytest

from hil.plugin.run import current

LONG = ("grid", "soak")
"""Marks of what takes long, each to be asked for by itself."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect long tests where neither ``-m`` nor a node id names them; put quick ones first if that is asked for."""
    unnamed = [mark for mark in LONG if not re.search(rf"\b{mark}\b", config.option.markexpr or "")]
    named = {argument.split("[")[0].rsplit("::", 1)[-1] for argument in config.args if "::" in argument}
    long = [item for item in items if any(map(item.get_closest_marker, unnamed)) and _function(item) not in named]
    if long:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)
    if current(config).options.quick_first:
        items.sort(key=lambda item: item.get_closest_marker("quick") is None)


def _function(item: pytest.Item) -> str:
    return item.name.split("[")[0]
