"""Spans of time as a person writes them."""

from __future__ import annotations

import re

from hil.errors import UsageError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}
_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)(h))?(?:(\d+(?:\.\d+)?)(m))?(?:(\d+(?:\.\d+)?)(s))?$")


def seconds(text: str, *, option: str) -> float:
    """Seconds of ``90s``, ``10m``, ``1h30m``, or of a bare number.

    Raises:
        UsageError: it is none of these, or not above 0; names `option`.

    """
    written = f"{text}s" if re.fullmatch(r"\d+(\.\d+)?", text) else text
    parts = _SPAN.match(written)
    total = 0.0
    if parts:
        found = parts.groups()
        total = sum(float(number) * _UNITS[unit] for number, unit in zip(found[::2], found[1::2], strict=True) if unit)
    if total <= 0:
        raise UsageError(f"{option}: {text!r} is no time above 0, such as 90s, 10m or 1h30m")
    return total


def words(span: float) -> str:
    """``60 µs``, ``25 ms``, ``0.8 s``, ``42 s``, ``3 min 5 s``, ``1 h 2 min``."""
    if 0 < span < 0.1:  # noqa: PLR2004  (below, tenths of a second tell nothing)
        return f"{span * 1e3:.0f} ms" if span >= 1e-3 else f"{span * 1e6:.0f} µs"  # noqa: PLR2004
    if span < 10:  # noqa: PLR2004  (below, tenths tell something)
        return f"{span:.1f} s"
    whole = round(span)
    if whole < 60:  # noqa: PLR2004  (seconds in a minute)
        return f"{whole} s"
    if whole < 3600:  # noqa: PLR2004  (seconds in an hour)
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
