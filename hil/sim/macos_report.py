"""The simulated Mac's ``system_profiler`` as a command: its options, and its reports as JSON, property list or text."""

from __future__ import annotations

import datetime as dt
import json
import plistlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hil.hosts.base import Completed
from hil.sim.macos_profiler import TYPES, Item

if TYPE_CHECKING:
    from hil.sim.machine import Machine

SECONDS = 0.25
_USAGE = (
    "Usage: system_profiler [-listDataTypes]\n"
    "       system_profiler [-xml] [-json] [-timeout n] [-detailLevel n]\n"
    "       system_profiler [-xml] [-json] [-timeout n] [dataType1 ... dataTypeN]\n"
)


def run(machine: Machine, argv: Sequence[str]) -> tuple[Completed, float]:
    """What ``system_profiler`` prints, and the seconds it takes."""
    words = list(argv[1:])
    form, wanted = "text", []
    while words:
        word = words.pop(0)
        if word in ("-json", "-xml"):
            form = word[1:]
        elif word in ("-timeout", "-detailLevel") and words:
            words.pop(0)
        elif word == "-listDataTypes":
            return _completed(argv, "Available Datatypes:\n" + "".join(f"{name}\n" for name in TYPES)), 0.02
        elif word.startswith("-"):
            said = _USAGE.encode()
            return Completed(argv=tuple(argv), returncode=1, stdout=b"", stderr=said), 0.02
        else:
            wanted.append(word)
    # A type that this release does not know is passed over without a word.
    found = {name: TYPES[name](machine) for name in wanted or TYPES if name in TYPES}
    if form == "json":
        return _completed(argv, _json(found)), SECONDS
    if form == "xml":
        return _completed(argv, plistlib.dumps([_data_type(*pair) for pair in found.items()]).decode()), SECONDS
    return _completed(argv, "".join(_text(*pair) for pair in found.items())), SECONDS


def _completed(argv: Sequence[str], text: str) -> Completed:
    return Completed(argv=tuple(argv), returncode=0, stdout=text.encode(), stderr=b"")


def _json(found: dict[str, list[Item]]) -> str:
    text = json.dumps(found, indent=2, sort_keys=True, separators=(",", " : "), ensure_ascii=False)
    # Foundation writes an empty array or object over three lines.
    return text.replace(" : []", " : [\n\n  ]").replace("{}", "{\n\n}") + "\n"


def _data_type(name: str, items: list[Item]) -> Item:
    return {
        "_SPCommandLineArguments": [
            "/usr/sbin/system_profiler",
            "-nospawn",
            "-xml",
            name,
            "-detailLevel",
            "full",
        ],
        "_SPCompletionInterval": SECONDS,
        "_SPResponseTime": SECONDS,
        "_dataType": name,
        "_items": items,
        "_parentDataType": "SPRootDataType",
        "_properties": {},
        "_timeStamp": dt.datetime(2025, 11, 22, 12, 0),  # noqa: DTZ001  (property lists know no time zones)
        "_versionInfo": "1",
    }


def _text(name: str, items: list[Item]) -> str:
    lines = [f"{name.removeprefix('SP').removesuffix('DataType')}:", ""]
    for item in items:
        lines += _lines(item, 4)
    return "\n".join(lines) + "\n"


def _lines(item: Item, indent: int) -> list[str]:
    pad = " " * indent
    lines = [f"{pad}{item['_name']}:", ""]
    for key, value in item.items():
        label = key.removesuffix("_key").removesuffix("_tag").removeprefix("sppci_").replace("_", " ").title()
        if isinstance(value, dict):
            lines.append(f"{pad}  {label}:")
            lines += [f"{pad}      {k.removesuffix('_key').replace('_', ' ').title()}: {v}" for k, v in value.items()]
        elif not key.startswith("_"):
            lines.append(f"{pad}  {label}: {value}")
    lines.append("")
    for below in item.get("_items", []):
        lines += _lines(below, indent + 4)
    return lines
