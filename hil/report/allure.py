"""What Allure is given: labels, steps, attachments, and the files beside the results that its plugin never writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hil.report.evidence import note

CATEGORIES: Sequence[Mapping[str, Any]] = (
    # The first line of a result's message begins with the error's type; see hil.errors.
    {
        "name": "Regression",
        "description": "Slower than this device's own history.",
        "matchedStatuses": ["failed"],
        "messageRegex": r"(?s)^(hil\.errors\.)?Regression\b.*",
    },
    {
        "name": "Device fault",
        "description": "The device under test or its driver did wrong.",
        "matchedStatuses": ["failed"],
        "messageRegex": r"(?s)^(?!(hil\.errors\.)?Regression\b).*",
    },
    {
        "name": "Bench fault",
        "description": "Cable, actuator, permission, a process of ours: says nothing about the device.",
        "matchedStatuses": ["broken"],
    },
)


def write_environment(folder: Path, facts: Mapping[str, str]) -> None:
    """Write ``environment.properties`` and ``categories.json`` into `folder`, an Allure results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{_escaped(key)}={_escaped(value)}\n" for key, value in facts.items()]
    (folder / "environment.properties").write_text("".join(lines), encoding="utf-8")
    (folder / "categories.json").write_text(json.dumps(list(CATEGORIES), indent=2) + "\n", encoding="utf-8")


def label_markers(labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """`labels` as (type, value) pairs in a fixed order, for ``pytest.mark.allure_label(value, label_type=type)``."""
    return sorted(labels.items())


def show_line(name: str, text: str) -> None:
    """Show `text` on top of the running test's result, beside its parameters; it does not tell tests apart."""
    if find_spec("allure") is None:
        return
    import allure  # noqa: PLC0415

    allure.dynamic.parameter(name, _AsItStands(text), excluded=True)


class _AsItStands:
    """A text that Allure does not put into quotation marks: what is no text it shows by its ``repr``."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


@contextmanager
def step(title: str) -> Iterator[None]:
    """A step in the report, where Allure's plugin is installed."""
    if find_spec("allure") is None:
        yield
        return
    import allure  # noqa: PLC0415  (an extra, and slow to import)

    with allure.step(title):
        yield


def attach(name: str, text: str, *, extension: str = "txt") -> None:
    """Attach `text` to the running test's record, and to its result where Allure's plugin is installed."""
    note(name, text, extension)
    if find_spec("allure") is None:
        return
    import allure  # noqa: PLC0415

    kinds = {
        "txt": allure.attachment_type.TEXT,
        "json": allure.attachment_type.JSON,
        "svg": allure.attachment_type.SVG,
    }
    allure.attach(text, name=name, attachment_type=kinds[extension])


def _escaped(text: str) -> str:
    # Java properties: a key ends at the first '=', ':' or blank; a line at its end.
    for mark in ("\\", "=", ":", " ", "#", "!"):
        text = text.replace(mark, "\\" + mark)
    return text.replace("\n", "\\n").replace("\r", "")
