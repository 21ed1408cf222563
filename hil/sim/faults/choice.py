"""Faults as a user names them: ``NAME[:key=value,…]``, ``module:Class[:…]``, ``path.py:Class[:…]``."""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from hil import registry
from hil.errors import UsageError
from hil.sim.faults.base import Fault, Site, Trigger

GROUP = "hil.faults"


def make(text: str, site: Site) -> Fault:
    """The fault that `text` names, on `site`.

    Raises:
        UsageError: no such fault, or a parameter is unknown or out of range; names what was expected.

    """
    kind, given = named(text)
    return kind(check(kind, given, text), site)


def named(text: str) -> tuple[type[Fault], dict[str, str]]:
    """The class that `text` names, and the parameters that it gives, as they are written there.

    Raises:
        UsageError: no such fault, or what is behind its name is not ``key=value,…``.

    """
    kind, settings = _split(text)
    return kind, _pairs(text, settings)


def check(kind: type[Fault], given: Mapping[str, str], text: str) -> Trigger:
    """`given` as parameters of `kind`; `text` is what a message calls them.

    Raises:
        UsageError: a parameter is unknown or out of range; names what was expected.

    """
    try:
        return kind.Parameters.model_validate(given)
    except ValidationError as error:
        known = ", ".join(sorted(kind.Parameters.model_fields))
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise UsageError(f"fault {text!r}: {wrong}; parameters: {known}") from error


def _split(text: str) -> tuple[type[Fault], str]:
    name, _, settings = text.partition(":")
    place = re.match(r"(?P<module>[^:=]+):(?P<cls>[A-Za-z_]\w*)(?::(?P<rest>.*))?$", text)
    if place and name not in registry.names(GROUP):
        return _foreign(text, place["module"], place["cls"]), place["rest"] or ""
    try:
        kind = registry.load(GROUP, name)
    except UsageError as error:
        raise UsageError(f"fault {text!r}: {error}; one of your own: module:Class or path.py:Class") from error
    return _checked(text, kind), settings


def _foreign(text: str, module: str, name: str) -> type[Fault]:
    try:
        if module.endswith(".py"):
            # A name that hides nothing; in sys.modules, because pydantic looks up there what annotations mean.
            spec = importlib.util.spec_from_file_location(f"hil_fault_{Path(module).stem}", module)
            assert spec is not None and spec.loader is not None  # noqa: S101, PT018  (it ends in .py)
            loaded = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = loaded
            spec.loader.exec_module(loaded)
        else:
            loaded = importlib.import_module(module)
    except Exception as error:
        # Whatever the user's module raises when it is run.
        raise UsageError(f"fault {text!r}: {module} cannot be imported: {type(error).__name__}: {error}") from error
    if not hasattr(loaded, name):
        raise UsageError(f"fault {text!r}: {module} has no class {name}")
    return _checked(text, getattr(loaded, name))


def _checked(text: str, kind: object) -> type[Fault]:
    if not (isinstance(kind, type) and issubclass(kind, Fault)):
        raise UsageError(f"fault {text!r}: {kind!r} is no subclass of hil.sim.faults.base.Fault")
    missing = [about for about in ("name", "domain", "story", "seen_by") if not hasattr(kind, about)]
    if missing:
        raise UsageError(f"fault {text!r}: class {kind.__name__} lacks {', '.join(missing)}")
    return kind


def _pairs(text: str, settings: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in filter(None, settings.split(",")):
        key, sign, value = (part.strip() for part in item.partition("="))
        if not sign:
            raise UsageError(f"fault {text!r}: {item!r} is not key=value")
        if key in pairs:
            raise UsageError(f"fault {text!r}: {key} is given twice")
        pairs[key] = value
    return pairs
