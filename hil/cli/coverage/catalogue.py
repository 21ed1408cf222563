"""The faults that are scored: the registered ones, or those that the user names."""

from __future__ import annotations

import enum
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hil import registry
from hil.errors import UsageError
from hil.hosts.selection import DEFAULT_PROFILE
from hil.sim.faults import choice
from hil.sim.faults.base import Fault

SEEDS = 1 << 31
"""A fault's own random numbers begin with one of so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A fault of the catalogue."""

    name: str
    """As it is counted under: the registered name, or what the user wrote up to the parameters."""
    kind: type[Fault]
    fixed: Mapping[str, str] = field(default_factory=dict)
    """Parameters that the user gave: no draw changes them."""

    @property
    def profiles(self) -> tuple[str, ...]:
        """Profiles it is drawn on, in turn."""
        return self.kind.profiles or (DEFAULT_PROFILE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """One draw of a fault."""

    severity: float
    given: Mapping[str, str]
    """Parameters as on a command line."""
    text: str
    """What ``--hil-fault`` is given."""
    below_sight: str
    """Why nobody could see it; empty if somebody could."""


def chosen(texts: Sequence[str]) -> list[Entry]:
    """The faults that `texts` name as ``--hil-fault`` does; all that are registered if there are none.

    Raises:
        UsageError: there is no such fault, or it is named twice.

    """
    if not texts:
        return [Entry(name=name, kind=choice.named(name)[0]) for name in registry.names(choice.GROUP)]
    found: dict[str, Entry] = {}
    for text in texts:
        kind, given = choice.named(text)
        choice.check(kind, given, text)
        name = _without_parameters(text, given)
        if name in found:
            raise UsageError(f"--fault {text}: {name} is named twice")
        found[name] = Entry(name=name, kind=kind, fixed=given)
    return list(found.values())


def draw(entry: Entry, number: int, of: int, seed: int) -> Drawn:
    """Draw `number` (from 0) of `of`, evenly from mild to severe; the same arguments give the same draw.

    Raises:
        UsageError: the fault's own `draw` fails, or gives what cannot be written on a command line.

    """
    severity = number / (of - 1) if of > 1 else 0.5
    return draw_at(entry, severity, f"{seed} {entry.name} {number}")


def draw_at(entry: Entry, severity: float, seed: str) -> Drawn:
    """A draw of `severity`; what that does not decide, `seed` does.

    Raises:
        UsageError: as `draw`.

    """
    dice = random.Random(seed)  # noqa: S311  (reproducible, not secret)
    where = f"fault {entry.name}: draw({severity:.3g}, …)"
    try:
        values = entry.kind.draw(severity, dice)
    except Exception as error:
        # Whatever the author's own arithmetic raises.
        raise UsageError(f"{where} raised {type(error).__name__}: {error}") from error
    values = {"seed": dice.randrange(SEEDS), **values, **entry.fixed}
    given = {key: _written(value, f"{where}: {key}") for key, value in values.items() if value is not None}
    return made(entry, severity, given)


def made(entry: Entry, severity: float, given: Mapping[str, str]) -> Drawn:
    """The draw with the parameters `given`.

    Raises:
        UsageError: the fault does not take them.

    """
    text = f"{entry.name}:" + ",".join(f"{key}={value}" for key, value in given.items())
    parameters = choice.check(entry.kind, given, text)
    try:
        below = entry.kind.below_sight(parameters)
    except Exception as error:
        # As above.
        raise UsageError(f"fault {text}: below_sight raised {type(error).__name__}: {error}") from error
    return Drawn(severity=severity, given=given, text=text, below_sight=below)


def _written(value: object, where: str) -> str:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, bool):
        value = "true" if value else "false"
    if isinstance(value, float) and not math.isinf(value):
        # Ten digits say enough, and spare a reader 0.30000000000000004.
        value = format(value, ".10g")
    text = str(value)
    if "," in text or text != text.strip():
        raise UsageError(f"{where} = {text!r} cannot be written on a command line")
    return text


def _without_parameters(text: str, given: Mapping[str, str]) -> str:
    if not given:
        return text.rstrip(":")
    # Parameters hold no colon but in their values, and all of them stand behind the last colon before the first `=`.
    return text[: text[: text.index("=")].rindex(":")]
