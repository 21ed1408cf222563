"""Scenarios: nights of simulated benches, and what is installed, what varies and what breaks on each. TOML data."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from hil.errors import UsageError
from hil.hosts import toml_file
from hil.hosts.bench_sections import Section
from hil.hosts.toml_file import Expected
from hil.sim.profile import Profile
from hil.sim.profile import load as load_profile

Night = Annotated[int, Field(ge=1)]
Factor = Annotated[float, Field(gt=0, le=2)]


class BenchEntry(Section):
    """One of its benches."""

    name: str
    profile: str
    devices: Annotated[tuple[str, ...], Field(min_length=1)]
    """Aliases of those that are used."""


class Change(Section):
    """What is another on a bench from a night on."""

    night: Night
    bench: str
    os_version: str = ""
    driver_version: str = ""
    h2d: Factor = 1.0
    """Times the bandwidth before."""
    d2h: Factor = 1.0


class FaultEntry(Section):
    """What breaks on a bench, on which nights."""

    bench: str
    nights: tuple[Night, ...]
    fault: str
    """As ``--hil-fault`` takes it."""


class Scenario(Section):
    """All that a scenario's file says."""

    summary: str
    first_night: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$"), Expected("a date, YYYY-MM-DD, in quotes")]
    nights: Annotated[int, Field(ge=1, le=400)]
    noise: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    """Standard deviation of a night's bandwidth, as a share of it."""
    tests: tuple[str, ...]
    """Of every night, by their path below the suites' folder; ``{device}`` stands for the alias of each device."""
    more_tests: tuple[str, ...] = ()
    more_on: tuple[Night, ...] = ()
    """Nights on which `more_tests` run too."""
    bench: tuple[BenchEntry, ...]
    change: tuple[Change, ...] = ()
    fault: tuple[FaultEntry, ...] = ()

    def date_of(self, night: int) -> date:
        """The date on which `night`, counted from 1, begins."""
        return date.fromisoformat(self.first_night) + timedelta(days=night - 1)

    def tests_of(self, bench: BenchEntry, night: int) -> tuple[str, ...]:
        """What runs on `bench` in `night`."""
        tests = (*self.tests, *(self.more_tests if night in self.more_on else ()))
        named = [test.replace("{device}", alias) for test in tests for alias in bench.devices]
        return tuple(dict.fromkeys(named))

    def faults_of(self, bench: str, night: int) -> tuple[str, ...]:
        """Faults of the machine of `bench` in `night`."""
        return tuple(entry.fault for entry in self.fault if entry.bench == bench and night in entry.nights)

    def machine(self, bench: BenchEntry, night: int) -> Profile:
        """The machine of `bench` as it is in `night`."""
        profile = load_profile(bench.profile)
        host: dict[str, Any] = {}
        factors = {"h2d_gb_s": 1.0, "d2h_gb_s": 1.0}
        for change in self.change:
            if change.bench != bench.name or change.night > night:
                continue
            told = {"os_version": change.os_version, "driver_version": change.driver_version}
            host |= {key: text for key, text in told.items() if text}
            factors["h2d_gb_s"] *= change.h2d
            factors["d2h_gb_s"] *= change.d2h
        dice = random.Random(f"{bench.name} {night}")  # noqa: S311  (reproducible, not secret)
        gpus = []
        for gpu in profile.gpu:
            rates = {
                key: round(getattr(gpu, key) * factor * (1 + self.noise * dice.gauss(0, 1)), 4)
                for key, factor in factors.items()
            }
            latency = round(gpu.latency_us * (1 + 2 * self.noise * dice.gauss(0, 1)), 3)
            gpus.append(gpu.model_copy(update={**rates, "latency_us": latency}))
        return profile.model_copy(update={"host": profile.host.model_copy(update=host), "gpu": tuple(gpus)})


def load(name: str) -> Scenario:
    """The scenario `name` that comes with hil, or the one in the file `name` (anything that ends in ``.toml``).

    Raises:
        UsageError: there is none of that name, or it is wrong.

    """
    folder = resources.files("hil.sim") / "scenarios"
    known = sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))
    if name.endswith(".toml"):
        path = Path(name)
    elif name in known:
        path = Path(str(folder / f"{name}.toml"))
    else:
        raise UsageError(f"no scenario {name!r}; known: {', '.join(known)}, or a path that ends in .toml")
    return toml_file.read(path, Scenario, _across)


def toml_text(section: Section) -> str:
    """`section` as the text of a TOML file that reads as the same; keys without a value are left out."""
    return "\n".join(_lines(section.model_dump(exclude_none=True), ())) + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    below: list[tuple[str, Mapping[str, Any], bool]] = []
    for key, value in table.items():
        if isinstance(value, Mapping):
            below.append((key, value, False))
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
            below += [(key, entry, True) for entry in value]
        else:
            yield f"{key} = {_value(value)}"
    for key, entry, several in below:
        name = ".".join((*path, key))
        yield f"[[{name}]]" if several else f"[{name}]"
        yield from _lines(entry, (*path, key))


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    # Booleans, numbers and texts are written alike in JSON and in TOML.
    return json.dumps(value, ensure_ascii=False)


def _across(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    names = [entry.get("name") for entry in toml_file.tables(data, "bench")]
    for kind in ("change", "fault"):
        for number, entry in enumerate(toml_file.tables(data, kind)):
            if entry.get("bench") not in names:
                yield f"{kind}.{number}.bench", f"{entry.get('bench')!r} is no bench of it; expected {_any_of(names)}"


def _any_of(names: Iterable[Any]) -> str:
    return " or ".join(map(str, names))
