"""Tests on a captured bench: what only a real or simulated one can do is skipped, with the reason."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from hil.errors import NotCaptured
from hil.plugin.run import current


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a test whose fixtures need more than a capture holds."""
    return (yield from _skipping(item))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Skip a test that needs more than a capture holds."""
    return (yield from _skipping(item))


def _skipping(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except NotCaptured as error:
        if not current(item.config).bench.captured:
            raise
        pytest.skip(f"captured bench: {error}")
