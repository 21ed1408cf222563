"""The bench file that `hil init` writes: what is there now, and comments that say what each key means."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

from pydantic import BaseModel

from hil.bench.deadlines import Deadlines
from hil.bench.file import BenchFile, DeviceEntry, Expect, HostSection, Limits
from hil.bench.roster import found_facts
from hil.hosts.bench_sections import Allow
from hil.model import Gpu, Inventory

WIDTH = 110
_CHANGING = ("firmware",)
"""Facts that are right to change: written as a comment, for whoever wants to be told when they do."""
_EXAMPLES = {"temperature_c": 88, "power_w": 450}


@dataclass(frozen=True, slots=True)
class _Example:
    kind: str
    about: str
    options: Mapping[str, str | int]
    systems: tuple[str, ...] = ("Linux", "Darwin")


_ACTUATORS = (
    _Example("simulated", "the simulated machine's own hand", {}),
    _Example("sysfs", "lets the kernel remove it and find it again; the cable stays in", {"by": "remove"}, ("Linux",)),
    _Example("mcci", "an MCCI 3141 or 3142 switch in its cable", {"serial": "/dev/ttyACM0", "port": 1}),
    _Example(
        "pdu",
        "a switched outlet that feeds it (labgrid's power backends); needs allow.power_cycle = true instead",
        {"model": "shelly_gen2", "host": "http://192.168.0.42", "index": 0},
    ),
)


def bench_file(
    *, name: str, host: Mapping[str, Any], inventory: Inventory, aliases: Mapping[str, str], path: str
) -> str:
    """The text of a bench file that holds for `inventory`.

    Args:
        name: of the bench.
        host: keys of its ``[host]``.
        inventory: what is there.
        aliases: alias of each GPU, by device id.
        path: of the file, for the comment that says how to use it.

    """
    gpus = sorted(inventory.gpus, key=lambda gpu: aliases[gpu.id])
    blocks: list[Iterator[str]] = [
        _head(name, path, gpus),
        _host(host),
        _section("allow", Allow, "What may be done to the devices of this bench. Nothing destructive happens unasked."),
        _section(
            "deadlines",
            Deadlines,
            "Seconds on the clock of the host under test; these are the defaults.",
            commented=True,
        ),
        _section("limits", Limits, (Limits.__doc__ or "").split("\n", 1)[0], commented=True),
        *(_device(gpu, aliases[gpu.id], first=gpu is gpus[0]) for gpu in gpus),
        _actuators(inventory, gpus),
    ]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def toml(value: str | float | bool) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool) or not isinstance(value, str):
        return json.dumps(value)
    # TOML's escapes are JSON's, but it knows no surrogates, and wants DEL escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _head(name: str, path: str, gpus: Sequence[Gpu]) -> Iterator[str]:
    yield "# A bench: a host, the devices that hang on it, and what may be done to them."
    yield "# `hil init` wrote it from what was attached. Lines that begin with # are comments."
    yield from _comment(f"Run on it:  pytest suites/ --hil-bench {path}", whole=True)
    yield from _comment(f"Check it:   hil doctor --bench {path}", whole=True)
    yield ""
    yield from _meaning(BenchFile, "name")
    yield f"name = {toml(name)}"
    yield ""
    yield from _meaning(BenchFile, "console_gpu")
    yield from _comment("On Linux the one that the firmware chose is protected without being named.")
    example = gpus[0].function.address if gpus else "0000:01:00.0"
    yield f"# console_gpu = {toml(example)}"


def _host(host: Mapping[str, Any]) -> Iterator[str]:
    yield "[host]"
    for key, value in host.items():
        yield from _meaning(HostSection, key)
        if isinstance(value, dict):
            yield from (f"{key}.{_key(name)} = {_any(option)}" for name, option in value.items())
        else:
            yield f"{key} = {toml(value)}"


def _section(name: str, kind: type[BaseModel], about: str, *, commented: bool = False) -> Iterator[str]:
    yield from _comment(about)
    yield f"[{name}]"
    for key, field in kind.model_fields.items():
        yield from _meaning(kind, key)
        yield f"{'# ' * commented}{key} = {toml(_EXAMPLES[key] if field.default is None else field.default)}"


def _device(gpu: Gpu, alias: str, *, first: bool) -> Iterator[str]:
    def meaning(kind: type[BaseModel], key: str) -> Iterator[str]:
        return _meaning(kind, key) if first else iter(())  # once is enough

    place = f"in {gpu.enclosure.vendor_name} {gpu.enclosure.device_name}" if gpu.enclosure else "in a slot"
    yield from _comment(f"{gpu.name} {place}, at {gpu.function.address} when this was written.")
    yield "[[device]]"
    yield from meaning(DeviceEntry, "alias")
    yield f"alias = {toml(alias)}"
    yield from meaning(DeviceEntry, "id")
    yield f"id = {toml(gpu.id)}"
    if gpu.path_id and gpu.path_id != gpu.id:
        yield from meaning(DeviceEntry, "path_id")
        yield f"path_id = {toml(gpu.path_id)}"
    if first:
        yield from meaning(DeviceEntry, "engine")
        yield '# engine = "opencl"'
        yield "# Facts that must hold; a device of which one does not is not used, and its tests end as broken."
    yield "[device.expect]"
    facts = found_facts(gpu)
    for key in Expect.model_fields:
        if key in facts:
            yield from meaning(Expect, key)
            yield f"{'# ' * (key in _CHANGING)}{key} = {toml(facts[key])}"


def _actuators(inventory: Inventory, gpus: Sequence[Gpu]) -> Iterator[str]:
    yield from _comment(
        "What can take an enclosure away and bring it back, for hot-plug tests and recovery; it also needs "
        "allow.unplug = true. "
        "enclosure: its unique id, or its name where no other has it. options: the actuator's own. Take the # away "
        "from what you have."
    )
    system, simulated = inventory.host.system, inventory.host.simulated
    shown = [example for example in _ACTUATORS if simulated or example.kind != "simulated"]
    held = {gpu.enclosure.uid: gpu.enclosure.device_name for gpu in gpus if gpu.enclosure}
    for uid, name in (held or {"0123456789abcdef": "an enclosure"}).items():
        for example in shown:
            if system in example.systems:
                yield "#"
                yield from _comment(f"{name}: {example.about}")
                yield "# [[actuator]]"
                yield f"# kind = {toml(example.kind)}"
                yield f"# enclosure = {toml(uid)}"
                yield from (f"# options.{key} = {toml(value)}" for key, value in example.options.items())


def _meaning(kind: type[BaseModel], key: str) -> Iterator[str]:
    yield from _comment(kind.model_fields[key].description or "")


def _comment(text: str, *, whole: bool = False) -> Iterator[str]:
    # What hardware calls itself may hold anything: nothing of it may end the comment.
    plain = "".join(character if character.isprintable() else " " for character in text)
    lines = [plain] if whole else wrap(plain, WIDTH, break_long_words=False, break_on_hyphens=False)
    yield from (f"# {line}" for line in lines)


def _key(name: str) -> str:
    return name if name.replace("-", "_").isascii() and name.replace("-", "_").isidentifier() else toml(name)


def _any(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_any(below)}" for key, below in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_any(below) for below in value) + "]"
    return toml(value)
