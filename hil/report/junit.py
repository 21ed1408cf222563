"""A JUnit file that is complete after every test: whatever kills the controller loses no finished result."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?>\n<testsuites>\n<testsuite name={name} hostname={host} timestamp={time}>\n'
)
_TAIL = b"</testsuite>\n</testsuites>\n"
# XML 1.0 has no way to write these, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One finished test."""

    classname: str
    name: str
    seconds: float
    outcome: str
    """``passed``, ``failed`` (the device), ``error`` (the bench) or ``skipped``."""
    message: str = ""
    text: str = ""
    """The whole failure."""
    properties: tuple[tuple[str, str], ...] = ()


class Journal:
    """Appends cases to a JUnit file; each append is one write that leaves a whole document behind.

    Raises:
        OSError: the file cannot be written.

    """

    def __init__(self, path: Path, *, name: str, host: str, time: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        head = _HEAD.format(name=_attribute(name), host=_attribute(host), time=_attribute(time)).encode()
        self._end = len(head)
        self._write(head + _TAIL, 0)

    def add(self, case: Case) -> None:
        """Write `case` down."""
        data = _element(case).encode()
        # Over the closing tags, with new ones behind: in one write, so that no reader sees a torn document.
        self._write(data + _TAIL, self._end)
        self._end += len(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _write(self, data: bytes, at: int) -> None:
        while data:  # a disk that is nearly full takes a part
            written = os.pwrite(self._descriptor, data, at)
            data, at = data[written:], at + written


def _element(case: Case) -> str:
    head = f'<testcase classname={_attribute(case.classname)} name={_attribute(case.name)} time="{case.seconds:.6f}">'
    body = ""
    if case.properties:
        rows = "".join(f"<property name={_attribute(k)} value={_attribute(v)}/>" for k, v in case.properties)
        body += f"<properties>{rows}</properties>"
    tag = {"failed": "failure", "error": "error", "skipped": "skipped"}.get(case.outcome)
    if tag:
        body += f"<{tag} message={_attribute(case.message)}>{escape(_clean(case.text))}</{tag}>"
    return f"{head}{body}</testcase>\n"


def _attribute(text: str) -> str:
    return quoteattr(_clean(text), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
