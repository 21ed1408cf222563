"""Figures of a test as Allure 3 shows them beside its results: a ``*-perf.json`` file for its Metrics."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SHOWN: Final = {"B/s": ("GB/s", 1e9), "s": ("µs", 1e-6)}
"""What a unit is shown as, and how much of the first one of the second is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One value of one run."""

    key: str
    """The same in each run: its trend is drawn by it."""
    title: str
    group: str
    """Metrics of one group stand together, under this heading."""
    value: float
    unit: str
    """``B/s`` or ``s``; others are shown as they are."""
    higher_is_better: bool
    start: float
    """When it began to be measured, seconds of the epoch."""
    stop: float


def write_metrics(folder: Path, metrics: Sequence[Metric]) -> Path | None:
    """Write `metrics` into `folder`, an Allure results folder; the file, or `None` where there is nothing to write."""
    told = [_told(metric) for metric in metrics if math.isfinite(metric.value)]
    if not told:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{uuid.uuid4()}-perf.json"
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def _told(metric: Metric) -> dict[str, object]:
    unit, factor = _SHOWN.get(metric.unit, (metric.unit, 1.0))
    return {
        "id": str(uuid.uuid4()),
        "key": metric.key,
        "title": metric.title,
        "value": float(f"{metric.value / factor:.6g}"),
        "unit": unit,
        "better": "higher" if metric.higher_is_better else "lower",
        "group": metric.group,
        "groupTitle": metric.group,
        "start": round(1000 * metric.start),
        "stop": round(1000 * metric.stop),
    }
