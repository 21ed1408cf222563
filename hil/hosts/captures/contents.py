"""What a capture consists of, and how that lies in its archive: capture.json, answers.jsonl, blobs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hil.errors import UsageError
from hil.hosts.captures.archive import pack, read_file, unpack
from hil.hosts.captures.journal import Entry, rebuilt
from hil.hosts.captures.values import from_json, to_json
from hil.model import HostFacts, from_dict

FORMAT, VERSION = "hil capture", 1
"""What capture.json says of itself. The version rises when an older `hil` could not read what a newer one writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A capture."""

    created: str
    """UTC, ISO 8601."""
    hil: str
    """Version that recorded it."""
    bench: str
    """As it was selected: ``local``, ``sim:…``."""
    redacted: bool
    clock: float
    """Seconds on the host's clock when recording began."""
    host: dict[str, Any] = field(default_factory=dict)
    """`HostFacts` as a dict, for people who look into the archive."""
    entries: tuple[Entry, ...] = ()
    source: str = "this capture"
    """The file it was read from, for messages."""


class _Head(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")

    format: Literal["hil capture"]
    version: int
    created: str
    hil: str
    bench: str
    redacted: bool
    clock: float
    host: dict[str, Any]


class _Line(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    call: str
    args: list[Any]
    answer: Any = None
    error: dict[str, Any] | None = None


_INT_OR_NONE = (int, None)
_FIELDS = {str: (int, bytes, [int], None)}
_PRESENCE = ("present", "absent")
_SHAPES: dict[str, Any] = {
    "facts": {str: (str, bool)},
    "read": bytes,
    "pread": bytes,
    "list": [str],
    "stat": {"size": int, "mode": int},
    "readlink": str,
    "run": {"returncode": _INT_OR_NONE, "stdout": bytes, "stderr": bytes},
    "kernel_log": [{"time": (int, float), "text": str}],
    "nvml": _PRESENCE,
    "nvml.function": bool,
    "nvml.call": {"returned": (int, bytes, None), "out": [(bytes, None)]},
    "usb": _PRESENCE,
    "usb.enumerate_devices": [int],
    "usb.get_parent": _INT_OR_NONE,
    "usb.open_device": None,
    "usb.get_configuration": int,
    "usb.string": bytes,
    "usb.get_device_descriptor": _FIELDS,
    "usb.get_configuration_descriptor": _FIELDS,
    "usb.get_interface_descriptor": _FIELDS,
    "usb.get_endpoint_descriptor": _FIELDS,
}
"""What each call answers; an answer of another shape is a damaged capture. A tuple lists alternatives, a list has the
shape of its items, a dict those of its keys, or, with a type as its only key, that of all its values."""


def to_archive(capture: Capture) -> bytes:
    """`capture` as the bytes of its file."""
    return pack(members(capture))


def members(capture: Capture) -> dict[str, bytes]:
    """What the archive holds, by name."""
    blobs: dict[bytes, str] = {}

    def keep(content: bytes) -> str:
        return blobs.setdefault(content, f"blobs/{len(blobs)}")

    lines = [_text(_line(entry, keep)) for entry in capture.entries]
    head = {
        "format": FORMAT,
        "version": VERSION,
        "created": capture.created,
        "hil": capture.hil,
        "bench": capture.bench,
        "redacted": capture.redacted,
        "clock": capture.clock,
        "host": capture.host,
    }
    found = {"capture.json": json.dumps(head, indent=2).encode() + b"\n", "answers.jsonl": b"".join(lines)}
    return found | {name: content for content, name in blobs.items()}


def from_archive(path: str) -> Capture:
    """Read the capture in the file `path`.

    Raises:
        UsageError: there is none, it is damaged, foreign, of a newer version, or asks for too much; says which.

    """
    return from_bytes(read_file(path), path)


def from_bytes(data: bytes, source: str) -> Capture:
    """As `from_archive`, of a file read already."""
    parts = unpack(data, source)
    head = _head(parts["capture.json"], source)
    if "answers.jsonl" not in parts:
        raise UsageError(f"{source}: is damaged: it has no answers.jsonl")
    return Capture(
        created=head.created,
        hil=head.hil,
        bench=head.bench,
        redacted=head.redacted,
        clock=head.clock,
        host=head.host,
        entries=tuple(_entries(parts["answers.jsonl"].splitlines(), parts, source)),
        source=source,
    )


def _head(content: bytes, source: str) -> _Head:
    try:
        facts = json.loads(content)
        version = facts.get("version") if facts.get("format") == FORMAT else None
    except (ValueError, RecursionError, AttributeError) as error:
        raise UsageError(f"{source}: is no capture: its capture.json is damaged or another program's") from error
    if not isinstance(version, int):
        raise UsageError(f"{source}: is no capture: its capture.json does not say {FORMAT!r}")
    if version > VERSION:
        by = facts.get("hil") or "a newer hil"
        raise UsageError(
            f"{source}: has format version {version} (written by hil {by}), this hil reads up to {VERSION}: "
            "`pip install --upgrade hil`"
        )
    try:
        return _Head.model_validate(facts)
    except ValidationError as error:
        raise UsageError(f"{source}: capture.json: {_faults(error)}") from error


def _entries(lines: Iterable[bytes], parts: dict[str, bytes], source: str) -> Iterable[Entry]:
    for number, text in enumerate(lines, start=1):
        try:
            line = _Line.model_validate(from_json(json.loads(text), parts.__getitem__))
            if line.error is not None:
                rebuilt(line.error)  # as a check: an error that cannot be raised is noticed now
            else:
                _check(line.call, line.answer)
        except ValidationError as error:
            raise UsageError(f"{source}: is damaged: answers.jsonl, line {number}: {_faults(error)}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(f"{source}: is damaged: answers.jsonl, line {number}: {error}") from error
        yield Entry(line.call, tuple(line.args), line.answer, line.error)


def _check(call: str, answer: Any) -> None:
    if call not in _SHAPES:
        raise ValueError(f"unknown call {call[:40]!r}")
    if not _fits(answer, _SHAPES[call]):
        raise ValueError(f"the answer to {call!r} is of a wrong kind")
    if call == "facts":
        from_dict(HostFacts, answer)


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, type) or shape is None:
        return value is None if shape is None else isinstance(value, shape)
    if isinstance(shape, tuple):
        return any(_fits(value, one) for one in shape)
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(item, shape[0]) for item in value)
    if isinstance(shape, dict) and str in shape:
        return isinstance(value, dict) and all(_fits(item, shape[str]) for item in value.values())
    if isinstance(shape, dict):
        same = isinstance(value, dict) and value.keys() == shape.keys()
        return same and all(_fits(value[key], one) for key, one in shape.items())
    return bool(value == shape)


def _line(entry: Entry, keep: Any) -> dict[str, Any]:
    outcome = {"error": entry.error} if entry.error is not None else {"answer": to_json(entry.answer, keep)}
    return {"call": entry.call, "args": to_json(entry.args), **outcome}


def _text(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _faults(error: ValidationError) -> str:
    found = (".".join(map(str, item["loc"])) + ": " + item["msg"] for item in error.errors())
    return "; ".join(found)[:300]
