"""``hil capture``: record what discovery reads on a bench, in a file that is safe to hand on."""

from __future__ import annotations

import getpass
import json
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

import hil
from hil.cli.target import Target, opened
from hil.discovery import discover
from hil.errors import BenchFault
from hil.hosts.base import Host
from hil.hosts.captured import CapturedHost
from hil.hosts.captures.archive import check_target, write_file
from hil.hosts.captures.contents import Capture, from_bytes, to_archive
from hil.hosts.captures.identifiers import find
from hil.hosts.captures.redaction import Redaction
from hil.hosts.captures.values import contents
from hil.hosts.recording import RecordingHost
from hil.hosts.selection import parse
from hil.model import Inventory, to_dict

_WORDS = {
    "facts": "the host itself",
    "read": "files",
    "pread": "files read in part",
    "list": "folders",
    "stat": "properties of files",
    "readlink": "links",
    "run": "commands",
    "kernel_log": "kernel log",
    "nvml.call": "NVML calls",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A capture that was checked: replayed, it shows the inventory it was taken of."""

    data: bytes
    """The file."""
    capture: Capture
    inventory: Inventory
    """As it was found, with nothing replaced."""
    replaced: dict[str, int]
    """How many values of each kind."""


def record(path: Path, bench: str, *, keep_ids: bool, force: bool, as_json: bool) -> None:
    """Capture the bench named `bench` to `path` and print what was recorded.

    Raises:
        UsageError: there is no such bench, or `path` cannot be written.
        BenchFault: the bench cannot be looked at, or the capture would not replay as it should.

    """
    check_target(path, force=force)
    with opened(parse(bench)) as target:
        # Where on this machine a profile or bench file lies is nobody's business.
        name = re.sub(r"[^:]*/", "", str(target.selection))
        taken = take(target.host, name, keep_ids=keep_ids, names=_user(target))
    write_file(path, taken.data, force=force)
    if as_json:
        click.echo(json.dumps(_facts(path, taken), indent=2))
    else:
        _tell(path, taken)


def take(host: Host, bench: str, *, keep_ids: bool = False, names: Iterable[str] = ()) -> Taken:
    """Discover on `host`, and make a capture of everything that was read.

    Args:
        host: the host; it is only read.
        bench: as it was selected.
        keep_ids: do not replace what identifies the machine, its owner and its devices.
        names: of users, to be replaced beside those that are found.

    Raises:
        BenchFault: the capture would leak an id, or would not replay as it should.

    """
    recorder = RecordingHost(host)
    clock = host.clock.now()
    inventory = discover(recorder)
    entries = tuple(recorder.journal.entries)
    expected, facts = inventory, to_dict(inventory.host)
    redaction = None
    if not keep_ids:
        redaction = Redaction(find(entries, inventory, names=names))
        entries = tuple(redaction.entry(entry) for entry in entries)
        expected, facts = redaction.inventory(inventory), redaction.facts(facts)
        bench = redaction.text(bench)
    capture = Capture(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        hil=hil.__version__,
        bench=bench,
        redacted=not keep_ids,
        clock=clock,
        host=facts,
        entries=entries,
    )
    data = to_archive(capture)
    if redaction is not None:
        _refuse_leaks(redaction, capture)
    _refuse_difference(expected, from_bytes(data, "the new capture"))
    replaced = {} if redaction is None else {str(k): len(v) for k, v in redaction.stand_ins.items() if v}
    return Taken(data=data, capture=capture, inventory=inventory, replaced=replaced)


def _refuse_leaks(redaction: Redaction, capture: Capture) -> None:
    values = [[entry.args, entry.answer, entry.error] for entry in capture.entries]
    if any(redaction.leaks(content) for content in contents([*values, capture.bench, capture.host])):
        raise BenchFault(
            "capture not written: an id could not be replaced everywhere it stands. With --keep-ids it is written as "
            "it is, for your own use; please report this",
            operation="capture",
        )


def _refuse_difference(expected: Inventory, capture: Capture) -> None:
    found = discover(CapturedHost(capture))
    if _unordered(to_dict(found)) != _unordered(to_dict(expected)):
        raise BenchFault(
            "capture not written: replayed, it does not show what was found. A device may have come or gone meanwhile: "
            f"try again, and then with --keep-ids. {_first_difference(to_dict(expected), to_dict(found))}",
            operation="capture",
        )


def _unordered(value: Any) -> Any:
    """`value` with its lists sorted: what is sorted by an id may come in another order."""
    if isinstance(value, dict):
        return {key: _unordered(item) for key, item in value.items()}
    if isinstance(value, list):
        return sorted((_unordered(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


def _first_difference(expected: Any, found: Any, place: str = "inventory") -> str:
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        pairs = [(expected[key], found[key], f"{place}.{key}") for key in expected]
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        pairs = [(one, other, f"{place}.{at}") for at, (one, other) in enumerate(zip(expected, found, strict=True))]
    else:
        return "" if expected == found else f"{place}: {str(expected)[:80]} became {str(found)[:80]}"
    return next(filter(None, (_first_difference(*pair) for pair in pairs)), "")


def _user(target: Target) -> list[str]:
    if target.spec["kind"] != "local":
        return []
    try:
        return [getpass.getuser()]
    except (KeyError, OSError):  # a container's user without a name
        return [str(os.getuid())]


def _recorded(capture: Capture) -> dict[str, int]:
    return dict(Counter(entry.call for entry in capture.entries))


def _facts(path: Path, taken: Taken) -> dict[str, Any]:
    """The JSON of ``hil capture``; documented in docs/captures.md."""
    return {
        "file": str(path),
        "bytes": len(taken.data),
        "bench": taken.capture.bench,
        "redacted": taken.capture.redacted,
        "recorded": _recorded(taken.capture),
        "replaced": taken.replaced,
        "gpus": len(taken.inventory.gpus),
        "problems": list(taken.inventory.problems),
    }


def _tell(path: Path, taken: Taken) -> None:
    counts: Counter[str] = Counter()
    for call, count in _recorded(taken.capture).items():
        counts["USB answers" if call.startswith("usb") else _WORDS.get(call, "")] += count
    recorded = ", ".join(f"{count} {words}" for words, count in counts.items() if words and words != _WORDS["facts"])
    inventory = taken.inventory
    click.echo(f"{path}: {len(taken.data) / 1000:.0f} kB, bench {taken.capture.bench}")
    click.echo(f"recorded: {recorded or 'nothing'}")
    click.echo(
        f"found:    {len(inventory.enclosures)} Thunderbolt / USB4 devices, {len(inventory.functions)} PCI functions, "
        f"{len(inventory.gpus)} NVIDIA GPUs, {len(inventory.problems)} problems"
    )
    if taken.capture.redacted:
        replaced = ", ".join(f"{count} × {kind}" for kind, count in taken.replaced.items())
        click.echo(f"replaced: {replaced or 'nothing had to be'}; each by one stand-in everywhere")
        click.echo(
            "No serial number, unique id, host or user name that was found is left: safe to attach to a bug report."
        )
    else:
        click.echo("It holds serial numbers, unique ids and names as they are: look before you publish it.")
    click.echo(f"Replay:   hil list --bench captured:{path}")
