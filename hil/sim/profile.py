"""A simulated machine's profile: TOML data that says what hangs on it. Shipped ones and a user's own are read alike."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from hil.errors import UsageError
from hil.hosts.bench_sections import ActuatorEntry, Allow, Section
from hil.model import GB, MIB, LinkKind

Positive = Annotated[float, Field(gt=0)]
U16 = Annotated[int, Field(ge=0, le=0xFFFF)]
Uid = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class HostSpec(Section):
    """The host computer."""

    system: Literal["Darwin", "Linux"]
    model: str
    """``MacBook Pro``, ``ThinkStation P3``, …"""
    model_id: str = ""
    """Apple's ``Mac15,9``."""
    chip: str = ""
    arch: Literal["arm64", "x86_64", "aarch64"] = "arm64"
    os_version: str
    os_build: str = ""
    port_kind: Literal["thunderbolt3", "usb4", "thunderbolt5"] = "usb4"
    ports: Annotated[int, Field(ge=0, le=8)] = 3
    """Receptacles; each is a bus (macOS) or a domain (Linux) of its own."""
    driver_version: str = ""
    """TinyGPU's on macOS, NVIDIA's on Linux."""


class EnclosureSpec(Section):
    """An enclosure and the cable it hangs on."""

    name: str
    vendor: str
    vendor_id: U16
    device_id: U16
    uid: Uid
    """64-bit unique id of its router, 16 hexadecimal digits."""
    kind: Literal["thunderbolt3", "usb4", "thunderbolt5"]
    lane_gbps: Positive
    lanes: Annotated[int, Field(ge=1, le=4)]
    port: Annotated[int, Field(ge=0)] = 0
    """Receptacle of the host that it hangs on, counted from 0."""
    behind: str = ""
    """`name` of the enclosure it is daisy-chained behind; empty = directly at the host."""
    firmware: str = ""

    @property
    def link_kind(self) -> LinkKind:
        """`kind` as the model says it."""
        return LinkKind(self.kind)


class GpuSpec(Section):
    """A graphics card."""

    name: str
    device_id: U16
    subsystem_vendor_id: U16 = 0x10DE
    subsystem_device_id: U16 = 0x0000
    uuid: Annotated[str, Field(pattern=r"^GPU-[0-9a-f-]{36}$")]
    enclosure: str = ""
    """`name` of its enclosure; empty = a slot inside the host."""
    vram_mib: Annotated[int, Field(ge=64)]
    pcie_gen: Annotated[int, Field(ge=1, le=6)] = 4
    """The best the card can."""
    pcie_width: Literal[1, 2, 4, 8, 16] = 16
    boot_0: int = 0x19200000
    """NV_PMC_BOOT_0; AD10x begins with 0x19."""
    h2d_gb_s: Positive
    """What a large pinned copy reaches over this card's path, decimal GB/s."""
    d2h_gb_s: Positive
    vram_gb_s: Positive = 700.0
    latency_us: Positive = 12.0
    """From submission to the first byte of a copy."""

    @property
    def vram_bytes(self) -> int:
        """Size of the card's memory."""
        return self.vram_mib * MIB

    @property
    def h2d(self) -> float:
        """bytes/s host to device."""
        return self.h2d_gb_s * GB

    @property
    def d2h(self) -> float:
        """bytes/s device to host."""
        return self.d2h_gb_s * GB


class Profile(Section):
    """A whole machine."""

    summary: str
    host: HostSpec
    enclosure: tuple[EnclosureSpec, ...] = ()
    gpu: tuple[GpuSpec, ...] = ()
    allow: Allow = Allow()
    actuator: tuple[ActuatorEntry, ...] = ()


def shipped() -> list[str]:
    """Names of the profiles that come with the package, sorted."""
    folder = resources.files("hil.sim") / "profiles"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def load(name: str) -> Profile:
    """Read the shipped profile `name`, or the profile in the file `name` (anything that ends in ``.toml``).

    Raises:
        UsageError: there is no such profile or file, or it is wrong; names the file and all wrong keys at once.

    """
    if name.endswith(".toml"):
        path = Path(name)
    elif name in shipped():
        path = Path(str(resources.files("hil.sim") / "profiles" / f"{name}.toml"))
    else:
        raise UsageError(f"no profile {name!r}; known: {', '.join(shipped())}, or a path that ends in .toml")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: not TOML: {error}") from error
    return validate(data, str(path))


def validate(data: dict[str, Any], source: str) -> Profile:
    """Check `data` read from `source`.

    Raises:
        UsageError: names `source` and every wrong key, its value and what was expected.

    """
    try:
        profile = Profile.model_validate_json(_json(data))
    except ValidationError as error:
        raise UsageError(f"{source}: " + "; ".join(_sentence(item) for item in error.errors())) from error
    faults = list(_inconsistencies(profile))
    if faults:
        raise UsageError(f"{source}: " + "; ".join(faults))
    return profile


def _json(data: dict[str, Any]) -> str:
    import json  # noqa: PLC0415  (TOML dates have no JSON form: say so as text)

    return json.dumps(data, default=str)


def _sentence(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    value = item["input"]
    got = "" if isinstance(value, (dict, list)) else f" (got {value!r})"
    return f"{place}: {item['msg']}{got}"


def _inconsistencies(profile: Profile) -> list[str]:
    names = [enclosure.name for enclosure in profile.enclosure]
    faults = [
        f"enclosure.name: {name!r} is used twice" for name in sorted({n for n in names if names.count(n) > 1})
    ]
    uids = [enclosure.uid for enclosure in profile.enclosure]
    faults += [
        f"enclosure.uid: {uid!r} is used twice" for uid in sorted({u for u in uids if uids.count(u) > 1})
    ]
    for i, enclosure in enumerate(profile.enclosure):
        if enclosure.behind and enclosure.behind not in names[:i]:
            faults.append(f"enclosure.{i}.behind: {enclosure.behind!r} is no enclosure listed before it")
        if enclosure.port >= profile.host.ports:
            faults.append(
                f"enclosure.{i}.port: {enclosure.port} but the host has {profile.host.ports} (from 0)"
            )
    for i, gpu in enumerate(profile.gpu):
        if gpu.enclosure and gpu.enclosure not in names:
            faults.append(
                f"gpu.{i}.enclosure: no enclosure is named {gpu.enclosure!r}; known: {', '.join(names)}"
            )
    uuids = [gpu.uuid for gpu in profile.gpu]
    faults += [
        f"gpu.uuid: {uuid!r} is used twice" for uuid in sorted({u for u in uuids if uuids.count(u) > 1})
    ]
    return faults
