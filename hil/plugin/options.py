"""Options, and where their values come from: command line, then environment, then ini file, then the default."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from typing import Literal

import pytest

from hil.hosts import selection
from hil.bench.process import BACKSTOP
from hil.errors import UsageError

_NAMES = {
    "bench": "auto, local, opencl, sim, sim:PROFILE, sim:FILE.toml or sim:/SOCKET (default: auto)",
    "device": "alias of a device to use; repeatable (default: all)",
    "fault": "NAME[:key=value,…], MODULE:CLASS[:…] or PATH.py:CLASS[:…] on a simulated bench; repeatable",
    "backstop": f"real seconds after which a stuck device process is killed (default: {BACKSTOP:g})",
    "seed": "seed of all patterns and choices; a failure prints the one that reproduces it (default: random)",
}
_REPEATABLE = ("device", "fault")
_INI_TYPES: tuple[Literal["string"], Literal["linelist"]] = ("string", "linelist")
_FLAGS = {
    "inline": "run operations in pytest's own process, for a debugger; simulated benches only",
    "require-hardware": "exit code 4 rather than a simulated bench where no hardware is found",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All options of a run."""

    bench: selection.Selection
    devices: tuple[str, ...]
    faults: tuple[str, ...]
    backstop: float
    seed: int
    inline: bool
    require_hardware: bool


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("hil", "hardware in the loop")
    for name, text in _NAMES.items():
        action = "append" if name in _REPEATABLE else "store"
        group.addoption(f"--hil-{name}", action=action, default=None, metavar=name.upper(), help=text)
        parser.addini(f"hil_{name}", text, type=_INI_TYPES[name in _REPEATABLE], default=None)
    for name, text in _FLAGS.items():
        group.addoption(f"--hil-{name}", action="store_true", default=None, help=text)
        parser.addini(f"hil_{name.replace('-', '_')}", text, type="bool", default=None)


def read(config: pytest.Config) -> Options:
    """The options of this run.

    Raises:
        UsageError: a value cannot be used; names it, where it came from, and what was expected.

    """
    source, text = _lookup(config, "bench", "auto")
    try:
        bench = selection.parse(text)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error
    return Options(
        bench=bench,
        devices=_several(config, "device"),
        faults=_several(config, "fault"),
        backstop=_number(config, "backstop", BACKSTOP),
        seed=int(_number(config, "seed", random.SystemRandom().randrange(1 << 31))),
        inline=_flag(config, "inline"),
        require_hardware=_flag(config, "require-hardware"),
    )


def _lookup(config: pytest.Config, name: str, default: str) -> tuple[str, str]:
    given = config.getoption(f"--hil-{name}")
    if given is not None:
        return f"--hil-{name}", str(given)
    variable = f"HIL_{name.upper().replace('-', '_')}"
    if os.environ.get(variable):
        return variable, os.environ[variable]
    ini = config.getini(f"hil_{name.replace('-', '_')}")
    if ini:
        return f"hil_{name} in {config.inipath or 'the ini file'}", str(ini)
    return "default", default


def _several(config: pytest.Config, name: str) -> tuple[str, ...]:
    given = config.getoption(f"--hil-{name}")
    if given:
        return tuple(given)
    variable = os.environ.get(f"HIL_{name.upper()}")
    if variable:
        return tuple(filter(None, variable.split(";")))
    return tuple(config.getini(f"hil_{name}") or ())


def _number(config: pytest.Config, name: str, default: float) -> float:
    source, text = _lookup(config, name, str(default))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf") or (name == "backstop" and value == 0):
        raise UsageError(f"{source}: {text!r} is no number of the kind expected (0 … , without a sign)")
    return value


def _flag(config: pytest.Config, name: str) -> bool:
    source, text = _lookup(config, name, "false")
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off"):
        return False
    raise UsageError(f"{source}: {text!r} is neither true nor false")
