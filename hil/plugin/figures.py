"""What one test measured: held against the nights before, kept in the history when the test ends, and judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from hil.bench.device import Device
from hil.errors import Regression
from hil.model import slug
from hil.plugin.beside import results_folder
from hil.plugin.nights import tonight_of
from hil.plugin.run import OUTCOME
from hil.report import attach
from hil.report.metrics import Metric, write_metrics
from hil.throughput import Conditions
from hil.throughput.figures import Figure

if TYPE_CHECKING:
    from hil.history import Key, Point
    from hil.history.tonight import Before

HOPS = {
    "link": "link",
    "tunnel shared": "link",
    "pcie": "bus",
    "copy engine": "driver",
    "latency": "driver",
    "host memory": "bench",
}
"""Where a bottleneck shows on the way to the card; anything else is the device itself."""


@dataclass(frozen=True, slots=True)
class _Beyond:
    key: Key
    figure: Figure
    before: Before
    values: Sequence[float]


class Figures:
    """The figures of one test on one device."""

    def __init__(self, device: Device, config: pytest.Config, conditions: Callable[[], Conditions]) -> None:
        self._device = device
        self._config = config
        self._conditions = conditions
        self._tonight = tonight_of(config)
        self._points: list[tuple[Key, Point]] = []
        self._shown: list[Figure] = []
        self._began = time.time()
        self._version: str | None = None

    def hold(
        self,
        figures: Sequence[Figure],
        again: Callable[[], Sequence[Figure]],
        *,
        bottleneck: Callable[[Figure], tuple[str, str]] = lambda _: ("", ""),
    ) -> None:
        """Take `figures` down, and hold them against the nights before.

        What is beyond its limit is measured anew twice; the middle value of three is taken down then.

        Args:
            figures: of one measurement.
            again: measures them once more; the same figures in the same order.
            bottleneck: hop that bounds a figure, and a sentence on that.

        Raises:
            Regression: two of three are beyond it.

        """
        if self._tonight is None:
            self._shown += figures
            return
        from hil.history.tonight import is_confirmed  # noqa: PLC0415  (numpy)

        keyed = [(self._key(figure), figure) for figure in figures]
        beyond = [n for n, (key, figure) in enumerate(keyed) if self._is_beyond(key, figure)]
        tries = [list(figures)]
        if beyond:
            tries += [list(again()), list(again())]
        wrong = []
        for number, (key, figure) in enumerate(keyed):
            measured = [one[number] for one in tries]
            middle = sorted(measured, key=lambda one: one.value)[len(measured) // 2]
            samples = tuple(value for one in measured for value in one.samples)
            self._take(key, replace(middle, samples=samples))
            before = self._tonight.before(key)
            values = [one.value for one in measured]
            if figure.gated and before.gate is not None and is_confirmed(before.gate, values) and number in beyond:
                wrong.append(_Beyond(key, figure, before, values))
        if wrong:
            raise self._regression(wrong, bottleneck)

    def finish(self, item: pytest.Item) -> None:
        """Show what was taken down, keep it in one transaction, and ask the nightly alarm of each series.

        Points of a test that failed are kept, too: verdicts rest on medians of many nights, and a regression that is
        left out would never be seen to have lasted.

        Raises:
            Regression: a series is worse, and the test has passed.
            UsageError: the file cannot be written.

        """
        self._show()
        if self._tonight is None or not self._points:
            return
        self._tonight.keep(self._points)
        from hil.report.series_charts import change_chart  # noqa: PLC0415

        worse = self._tonight.judge(key for key, _ in self._points)
        for verdict in worse:
            name = f"{verdict.key.direction} {verdict.key.metric}"
            attach(f"history of {name}", change_chart(f"{self._device.alias}: {name}", verdict), extension="svg")
        if worse and item.stash.get(OUTCOME, "") == "passed":
            from hil.history.words import change_sentence  # noqa: PLC0415

            told = [
                f"{verdict.key.direction} {verdict.key.metric} {change_sentence(verdict.change, verdict.key)}"
                for verdict in worse
                if verdict.change is not None
            ]
            raise Regression(
                f"{self._device.alias}: by its history, slower than it was in {len(told)} series: {'; '.join(told)}. "
                "If that is meant to be, `hil history accept` starts a new baseline",
                device=self._device.alias,
                operation="nightly alarm",
            )

    def _is_beyond(self, key: Key, figure: Figure) -> bool:
        allowed = self._tonight.before(key).gate if self._tonight is not None and figure.gated else None
        return allowed is not None and not allowed.passes(figure.value)

    def _key(self, figure: Figure) -> Key:
        from hil.history import Key  # noqa: PLC0415

        facts = self._device.facts
        crosses = figure.direction != "D2D"
        return Key(
            bench=self._device.bench.name,
            device=facts.id,
            metric=figure.metric,
            direction=figure.direction,
            nbytes=figure.nbytes,
            engine=facts.engine,
            declared=str(facts.link_kind),
            # What stays within the card has nothing to do with the cable.
            negotiated=self._conditions().negotiated() if crosses else "",
            simulated=facts.simulated,
            unit=figure.unit,
            higher_is_better=figure.higher_is_better,
        )

    def _take(self, key: Key, figure: Figure) -> None:
        assert self._tonight is not None  # noqa: S101  (nothing is taken down without)
        point = self._tonight.point(figure.value, figure.spread, figure.samples, context=self._context())
        self._points.append((key, point))
        self._shown.append(figure)

    def _show(self) -> None:
        """Write the figures beside Allure's results, if there are any."""
        folder, bench, now = results_folder(self._config), self._device.bench, time.time()
        if folder is None:
            return
        where = f"{bench.name}: {self._device.alias}{' (simulated)' if bench.simulated else ''}"
        write_metrics(
            folder,
            [
                Metric(
                    key=slug(f"{bench.name} {self._device.alias} {figure.name()}"),
                    title=figure.name(),
                    group=where,
                    value=figure.value,
                    unit=figure.unit,
                    higher_is_better=figure.higher_is_better,
                    start=self._began,
                    stop=now,
                )
                for figure in self._shown
            ],
        )

    def _context(self) -> dict[str, str]:
        """What this device's figures were measured with, beyond what the whole run has in common."""
        enclosure = self._device.facts.enclosure
        found = {
            "driver": self._driver(),
            "firmware": enclosure.firmware if enclosure is not None else "",
            **self._conditions().context(),
        }
        return {name: text for name, text in found.items() if text}

    def _driver(self) -> str:
        if self._version is None:
            self._version = str(self._device.call("throughput:driver_version"))
        return self._version

    def _regression(self, wrong: Sequence[_Beyond], bottleneck: Callable[[Figure], tuple[str, str]]) -> Regression:
        from hil.history.tonight import regression_sentence  # noqa: PLC0415
        from hil.report.series_charts import gate_chart  # noqa: PLC0415

        assert self._tonight is not None  # noqa: S101
        told, context = [], {**self._tonight.context, **self._context()}
        for one in wrong:
            name, middle = one.figure.name(), sorted(one.values)[len(one.values) // 2]
            attach(
                f"nights of {name}", gate_chart(f"{self._device.alias}: {name}", one.before, middle), extension="svg"
            )
            told.append(regression_sentence(name, one.key, one.values, one.before, context))
        hop, why = bottleneck(wrong[0].figure)
        text = f"{self._device.alias}: {'; '.join(told)}"
        return Regression(
            f"{text}; bottleneck: {why}" if why else text,
            device=self._device.alias,
            operation=f"{wrong[0].figure.name()} against its history",
            hop=HOPS.get(hop, "device"),
        )
