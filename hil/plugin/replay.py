"""Samples taken in a device process, replayed into pytest-benchmark in the device's own time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest


class Replay:
    """A timer that reads what `play` adds up, and the benchmark that is timed with it."""

    def __init__(self) -> None:
        self._elapsed = 0.0
        self._benchmark: Any = None

    def __call__(self) -> float:
        """The time, in seconds, that the samples played so far have taken."""
        return self._elapsed

    def use(self, benchmark: Any) -> None:
        """Play into `benchmark`, pytest-benchmark's fixture."""
        self._benchmark = benchmark

    def play(self, seconds: Sequence[float], info: dict[str, Any]) -> None:
        """Let pytest-benchmark see `seconds` as its rounds; only once a test."""
        if self._benchmark is None:
            return
        benchmark, self._benchmark = self._benchmark, None
        left: Iterator[float] = iter(seconds)

        def step() -> None:
            self._elapsed += next(left)

        benchmark.extra_info.update(info)
        # Never benchmark(step): calibration on a timer that does not run by itself fails.
        benchmark.pedantic(step, rounds=len(seconds), iterations=1)


_REPLAY: pytest.StashKey[Replay] = pytest.StashKey()


def prepare(item: pytest.Item) -> None:
    """Give a test that measures throughput its timer; must be done at collection."""
    if item.config.pluginmanager.hasplugin("benchmark") and "throughput" in getattr(item, "fixturenames", ()):
        item.stash[_REPLAY] = replay = Replay()
        item.add_marker(pytest.mark.benchmark(timer=replay, disable_gc=False, warmup=False))


def replay_of(request: pytest.FixtureRequest) -> Replay | None:
    """The replay of the test that asks; `None` where pytest-benchmark is not installed."""
    replay = request.node.stash.get(_REPLAY, None)
    if isinstance(replay, Replay):
        replay.use(request.getfixturevalue("benchmark"))
        return replay
    return None
