"""Which tests a run leaves out unless they are named: those marked ``soak``."""

from __future__ import annotations

import re

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect long tests where neither ``-m`` nor a node id names them."""
    if re.search(r"\bsoak\b", config.option.markexpr or ""):
        return
    named = {argument.split("[")[0].rsplit("::", 1)[-1] for argument in config.args if "::" in argument}
    long = [item for item in items if item.get_closest_marker("soak") and _function(item) not in named]
    if long:
        items[:] = [item for item in items if item not in long]
        config.hook.pytest_deselected(items=long)


def _function(item: pytest.Item) -> str:
    return item.name.split("[")[0]
