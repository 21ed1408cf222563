"""Reading a TOML file into a `Section`: every fault of the file at once, in words that its author knows."""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from hil.errors import UsageError
from hil.hosts.bench_sections import Section

S = TypeVar("S", bound=Section)

LARGEST = 1 << 20
"""Bytes; no file that a person wrote is larger, and one that is (a disk image, ``/dev/zero``) is the wrong file."""
_SHOWN = 60
"""Characters of a wrong value that are shown."""
_PLACE = re.compile(r" ?\(at (?:line (\d+), column (\d+)|end of document)\)$")
_REFUSED = "refused"


Across = Callable[[Mapping[str, Any]], Iterable[tuple[str, str]]]
"""What is wrong between the tables of a file, given its data before any of it was checked (types are not certain):
dotted key and sentence of each fault."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Put into a field's ``Annotated[…]``: what its value has to be, in words, for the message about a wrong one."""

    words: str


def read(path: Path, kind: type[S], across: Across | None = None) -> S:
    """Read the file `path` as a `kind`.

    Args:
        path: of the file.
        kind: what it describes.
        across: finds what is wrong between its tables; see `Across`.

    Raises:
        UsageError: it cannot be read, is not TOML, or is wrong; names the file and every fault: key, value, and what
            was expected.

    """
    return validate(parse(path), kind, str(path), across)


def parse(path: Path) -> dict[str, Any]:
    """The tables of the file `path`, whatever they mean.

    Raises:
        UsageError: it cannot be read (says why), or is not TOML (says where).

    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: cannot be read: {reason}") from error
    if len(data) > LARGEST:
        raise UsageError(f"{path}: is larger than {LARGEST >> 20} MiB: that is no file of settings")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line}: is not UTF-8 text (byte {data[error.start]:#04x})") from error
    except RecursionError as error:
        raise UsageError(f"{path}: is nested too deeply to be read") from error
    except ValueError as error:
        found = _PLACE.search(str(error))
        where = "" if found is None else f", line {found[1]}, column {found[2]}" if found[1] else ", at its end"
        raise UsageError(f"{path}{where}: is not TOML: {_PLACE.sub('', str(error))}") from error


def validate(data: Mapping[str, Any], kind: type[S], source: str, across: Across | None = None) -> S:
    """Check `data`, which came from `source`, as a `kind`; see `read`.

    Raises:
        UsageError: names `source` and every fault.

    """
    faults: list[str] = []
    section: S | None = None
    try:
        faults += (
            f"{place} = {value.isoformat()}: TOML takes this for a date; write it in quotes"
            for place, value in _dates(data, "")
        )
        # JSON mode: TOML's arrays become tuples and its strings enumerations, and nothing else is coerced.
        section = kind.model_validate_json(json.dumps(data, default=str))
    except ValidationError as error:
        dated = {fault.partition(" = ")[0] for fault in faults}
        faults += (sentence for item in error.errors() for sentence in _sentences(item, kind, dated))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{source}: a number of thousands of digits, or thousands of brackets: {error}") from error
    faults += (f"{place}: {sentence}" for place, sentence in (across(data) if across else ()))
    lines = list(dict.fromkeys(faults))
    if lines or section is None:
        head, joint = (f"{source}: ", "") if len(lines) == 1 else (f"{source}: {len(lines)} faults", "\n  ")
        raise UsageError(head + "".join(joint + line for line in lines))
    return section


def refuse(sentence: str) -> NoReturn:
    """For a field's own validator: the value is of the right type and makes no sense; `sentence` says why.

    Raises:
        PydanticCustomError: always; `validate` makes a line of it.

    """
    raise PydanticCustomError(_REFUSED, "{sentence}", {"sentence": sentence})


def tables(data: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The array of tables `key` of unchecked `data`; an empty table stands for what is none."""
    found = data.get(key)
    return [item if isinstance(item, dict) else {} for item in found] if isinstance(found, list) else []


def twice(data: Mapping[str, Any], key: str, name: str) -> Iterator[tuple[str, str]]:
    """For `Across`: values of `name` that stand in more than one of the tables `key`; empty ones do not count."""
    seen: dict[str, int] = {}
    for i, table in enumerate(tables(data, key)):
        value = table.get(name)
        if isinstance(value, str) and value and seen.setdefault(value, i) != i:
            yield f"{key}.{i}.{name}", f"{value!r} is that of {key}.{seen[value]} already"


def suggestion(word: str, known: Iterable[str]) -> str:
    """``did you mean …? known: …``, as far as there is something to suggest."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    meant = [f"did you mean {near[0]}?"] if near else []
    return " ".join([*meant, f"known: {', '.join(names) or 'none'}"])


def _dates(value: Any, place: str) -> Iterator[tuple[str, date | time]]:
    if isinstance(value, (date, time)):
        yield place, value
    items: Iterable[tuple[Any, Any]] = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, below in items:
        yield from _dates(below, f"{place}.{key}" if place else str(key))


def _sentences(item: Any, kind: type[Section], dated: set[str]) -> Iterator[str]:
    loc, value, why = item["loc"], item["input"], item["type"]
    place = ".".join(str(part) for part in loc)
    if place in dated:
        return
    if why == _REFUSED:
        yield f"{place}: {item['msg']}"
        return
    if why == "extra_forbidden":
        holder = _model(_type_at(kind, loc[:-1]).annotation)
        yield f"{place}: not known here; {suggestion(str(loc[-1]), holder.model_fields if holder else ())}"
        return
    wanted = _type_at(kind, loc)
    words = _words(wanted, item["msg"], str(loc[-1]) if loc else "")
    if why == "missing":
        yield f"{place}: missing; expected {words}"
        return
    yield f"{place}{_shown(value)}: expected {words}{_close(wanted.annotation, value)}"


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return " is a table" if isinstance(value, dict) else " is an array"
    # As TOML writes it: in quotes, true, inf.
    finite = not isinstance(value, float) or math.isfinite(value)
    text = json.dumps(value, ensure_ascii=False) if finite else str(value)
    return f" = {text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}"


def _close(annotation: Any, value: Any) -> str:
    if get_origin(annotation) is not Literal or not isinstance(value, str):
        return ""
    near = difflib.get_close_matches(value, [str(word) for word in get_args(annotation)], n=1)
    return f"; did you mean {near[0]}?" if near else ""


@dataclass(frozen=True, slots=True)
class _Type:
    """The type of a key without ``Annotated`` and ``None``, and what was annotated."""

    annotation: Any
    metadata: tuple[Any, ...] = ()


def _words(wanted: _Type, message: str, key: str) -> str:
    annotation, origin = wanted.annotation, get_origin(wanted.annotation)
    told = [part.words for part in wanted.metadata if isinstance(part, Expected)]
    if told:
        return told[0]
    if origin is Literal:
        return "one of " + ", ".join(str(word) for word in get_args(annotation))
    if _model(annotation) is not None or origin is dict:
        return f"a table, [{key}]"
    if origin is tuple:
        inner = _bare(get_args(annotation)[0]).annotation
        return f"an array of tables, each beginning [[{key}]]" if _model(inner) else "an array"
    plain = {bool: "true or false", str: "text in quotes", int: "a whole number", float: "a number"}
    if annotation not in plain:
        return message
    limits = (
        f" {sign} {limit:g}"
        for part in wanted.metadata
        for name, sign in (("gt", ">"), ("ge", "≥"), ("lt", "<"), ("le", "≤"))
        if (limit := getattr(part, name, None)) is not None
    )
    return plain[annotation] + " and".join(limits)


def _type_at(kind: type[Section], loc: Sequence[int | str]) -> _Type:
    """The type of what stands at `loc` in a `kind`; `Any` within a free table."""
    found = _Type(kind)
    for part in loc:
        model = _model(found.annotation)
        if model is not None and isinstance(part, str) and part in model.model_fields:
            field = model.model_fields[part]
            found = _bare(field.annotation, tuple(field.metadata))
        elif get_origin(found.annotation) is tuple and isinstance(part, int):
            found = _bare(get_args(found.annotation)[0])
        else:
            return _Type(Any)
    return found


def _bare(annotation: Any, metadata: tuple[Any, ...] = ()) -> _Type:
    while True:
        if get_origin(annotation) in (Union, types.UnionType):
            annotation = next(part for part in get_args(annotation) if part is not type(None))
        elif get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            for part in more:
                metadata += tuple(part.metadata) if isinstance(part, FieldInfo) else (part,)
        else:
            return _Type(annotation, metadata)


def _model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
