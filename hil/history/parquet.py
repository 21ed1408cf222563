"""Points as a Parquet table, for notebooks and data tools; needs the extra ``parquet``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hil.errors import NotSupported
from hil.history.series import Key
from hil.history.store import History


def write_table(history: History, keys: Iterable[Key], path: Path) -> int:
    """Write a row for every point of `keys`: the key's fields, time, night, value, spread, samples, run, context.

    Returns:
        How many rows.

    Raises:
        NotSupported: pyarrow is not installed.
        OSError: `path` cannot be written.

    """
    try:
        import pyarrow as pa  # noqa: PLC0415  (an extra)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise NotSupported("Parquet needs `pip install 'hil[parquet]'`; .jsonl needs nothing") from error
    rows: list[dict[str, Any]] = [
        {
            **asdict(key),
            "time": point.time,
            "night": point.night,
            "value": point.value,
            "spread": point.spread,
            "samples": list(point.samples),
            "run": point.run,
            "context": list(point.context.items()),
        }
        for key in keys
        for point in history.points(key)
    ]
    schema = pa.schema(
        [
            *((name, pa.string()) for name in ("bench", "device", "metric", "direction")),
            ("nbytes", pa.int64()),
            *((name, pa.string()) for name in ("engine", "declared", "negotiated")),
            ("simulated", pa.bool_()),
            ("unit", pa.string()),
            ("higher_is_better", pa.bool_()),
            ("time", pa.float64()),
            ("night", pa.string()),
            ("value", pa.float64()),
            ("spread", pa.float64()),
            ("samples", pa.list_(pa.float64())),
            ("run", pa.string()),
            ("context", pa.map_(pa.string(), pa.string())),
        ]
    )
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return len(rows)
