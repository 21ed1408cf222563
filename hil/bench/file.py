"""The bench file (``bench.toml``): a host, devices by alias, consent, actuators, deadlines, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from hil import registry
from hil.bench.deadlines import Deadlines
from hil.hosts import toml_file
from hil.hosts.bench_sections import ActuatorEntry, Allow, Section
from hil.hosts.toml_file import Expected, refuse, suggestion, tables, twice
from hil.sim import profile as profiles

ADDRESS = re.compile(r"(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\.[0-7]")
"""A PCI address, as ``lspci`` prints it with or without its domain."""
ALIAS_LENGTH = 64
"""Characters; what stands in the name of every test."""
RESERVED = ("none", "host")
"""Aliases that would be taken for something else: a test without device, the host's own process."""
_NEEDED: dict[str, tuple[str, ...]] = {"local": (), "simulated": ("profile", "address"), "captured": ("file",)}
"""Our own kinds of host, and the keys of which each needs one."""
_DESTRUCTIVE = ("reset", "unplug", "unbind", "power_cycle", "bar_write")

Alias = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=ALIAS_LENGTH),
    Expected(f'letters, digits, ".", "_" and "-" (at most {ALIAS_LENGTH}) in quotes'),
]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class HostSection(Section):
    """The machine that the devices hang on."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    kind: str = "local"
    """local (this computer), simulated, captured, or a name that a package registered under hil.hosts."""
    profile: str = ""
    """Of a simulated host: the name of a profile (`hil profiles`), or a file of your own that ends in .toml."""
    address: str = ""
    """Of a simulated host that runs already: its socket."""
    file: str = ""
    """Of a captured host: what `hil capture` wrote."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Of another kind of host: its own settings."""

    def spec(self) -> dict[str, Any]:
        """What `hil.hosts.opening.open_host` takes; of a simulated host without address, its profile too."""
        match self.kind:
            case "simulated":
                return {"kind": "simulated", "address": self.address, "profile": self.profile}
            case "captured":
                return {"kind": "captured", "address": self.file}
        return {"kind": self.kind, **self.options}

    @field_validator("kind")
    @classmethod
    def _known_kind(cls, kind: str) -> str:
        kinds = [*_NEEDED, *registry.names("hil.hosts")]
        if kind not in kinds:
            refuse(f"no kind of host is called {kind!r}; {suggestion(kind, kinds)}")
        return kind

    @field_validator("profile")
    @classmethod
    def _known_profile(cls, name: str) -> str:
        if name and not name.endswith(".toml") and name not in profiles.known():
            refuse(f"no profile is called {name!r}; {suggestion(name, profiles.known())}")
        return name


class Expect(Section):
    """Facts that must hold of a device; what is not named is not checked."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str | None = None
    """The card's name."""
    enclosure: str | None = None
    """The enclosure's name."""
    firmware: str | None = None
    """The enclosure's firmware."""
    link: Literal["thunderbolt3", "usb4", "thunderbolt5", "pcie"] | None = None
    """The kind of hop that bounds its bandwidth; pcie = a slot."""
    min_gbps: Positive | None = None
    """Gb/s of the enclosure's link, all lanes together."""
    min_lanes: Count | None = None
    """Lanes of the enclosure's link."""
    pcie_width: Literal[1, 2, 4, 8, 12, 16, 32] | None = None
    """Lanes of the card's own PCI Express link."""
    min_vram_mib: Count | None = None
    """Memory of the card, in MiB."""
    driver: str | None = None
    """The kernel driver that has the card."""


class DeviceEntry(Section):
    """One device under test."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    alias: Alias
    """Its name in tests, reports and histories: keep it."""
    id: str = ""
    """Its id, as `hil list --json` tells it."""
    path_id: str = ""
    """Its id by what it is and where it sits: finds it on a night on which NVML does not tell its UUID."""
    engine: str = ""
    """The copy engine that drives it; empty = the first that can."""
    expect: Expect = Expect()

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids it is known by, the surest first."""
        return tuple(filter(None, (self.id, self.path_id)))

    @field_validator("alias")
    @classmethod
    def _free_alias(cls, alias: str) -> str:
        if alias in RESERVED:
            refuse(f"{alias!r} means something else to hil; choose another")
        return alias

    @field_validator("engine")
    @classmethod
    def _known_engine(cls, engine: str) -> str:
        engines = registry.names("hil.copy_engines")
        if engine and engine not in engines:
            refuse(f"no copy engine is called {engine!r}; {suggestion(engine, engines)}")
        return engine


class Limits(Section):
    """What a device must stay below while tests run; without a key there is no limit."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    temperature_c: Positive | None = None
    """Degrees Celsius of the GPU."""
    power_w: Positive | None = None
    """Watts that the card draws."""


class BenchFile(Section):
    """All that a bench file says."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Alias
    """Names the bench in reports and histories: keep it, and give each bench its own."""
    host: HostSection = HostSection()
    device: tuple[DeviceEntry, ...] = ()
    allow: Allow = Allow()
    actuator: tuple[ActuatorEntry, ...] = ()
    deadlines: Deadlines = Deadlines()
    limits: Limits = Limits()
    console_gpu: str = ""
    """PCI address or alias of the GPU that drives the console: it is never reset, unplugged or unbound."""

    @field_validator("console_gpu")
    @classmethod
    def _with_domain(cls, named: str) -> str:
        if not ADDRESS.fullmatch(named.lower()):
            return named
        return named.lower() if named.count(":") > 1 else f"0000:{named.lower()}"


def load(path: Path) -> BenchFile:
    """Read the bench file `path`; files that it names are looked for beside it.

    Raises:
        UsageError: it cannot be read or is wrong; names every fault at once.

    """
    found = toml_file.read(path, BenchFile, _across)
    beside = {
        key: str(path.parent / value)
        for key, value in (("profile", found.host.profile), ("file", found.host.file))
        if value and (key == "file" or value.endswith(".toml"))
    }
    return found.model_copy(update={"host": found.host.model_copy(update=beside)})


def _across(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    host = data.get("host")
    yield from _host_faults(host if isinstance(host, dict) else {})
    for key in ("alias", "id", "path_id"):
        yield from twice(data, "device", key)
    for i, entry in enumerate(tables(data, "device")):
        if not entry.get("id") and not entry.get("path_id"):
            yield f"device.{i}.id", "missing; expected id, path_id or both, as `hil list --json` tells them"
    kinds = registry.names("hil.actuators")
    for i, entry in enumerate(tables(data, "actuator")):
        kind = entry.get("kind")
        if isinstance(kind, str) and kind not in kinds:
            yield f"actuator.{i}.kind", f"no kind of actuator is called {kind!r}; {suggestion(kind, kinds)}"
    named, allow = data.get("console_gpu"), data.get("allow")
    if isinstance(named, str) and named and not ADDRESS.fullmatch(named.lower()):
        aliases = [str(entry.get("alias")) for entry in tables(data, "device")]
        yield from _console_faults(named, aliases, allow if isinstance(allow, dict) else {})


def _host_faults(host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = host.get("kind", "local")
    if not isinstance(kind, str) or kind not in _NEEDED:
        return  # a third party's: it knows its options itself
    needed = _NEEDED[kind]
    for key in ("profile", "address", "file", "options"):
        if host.get(key) and key not in needed:
            yield f"host.{key}", f"a host of kind {kind} has none"
    given = [key for key in needed if host.get(key)]
    if needed and len(given) != 1:
        yield "host", f"of kind {kind} needs {' or '.join(needed)}{', not both' if given else ''}"


def _console_faults(named: str, aliases: list[str], allow: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if named not in aliases:
        hint = suggestion(named, aliases)
        yield "console_gpu", f"{named!r} is neither a PCI address like 0000:01:00.0 nor the alias of a device; {hint}"
    granted = [what for what in _DESTRUCTIVE if allow.get(what) is True]
    if aliases == [named] and granted:
        keys = " and ".join(f"allow.{what}" for what in granted)
        yield "console_gpu", f"{named!r} is the only device and is never touched, yet {keys} would allow it: set false"
