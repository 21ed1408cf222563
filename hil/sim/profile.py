"""A simulated machine's profile: TOML data that says what hangs on it. Shipped ones and a user's own are read alike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from hil import registry
from hil.errors import UsageError
from hil.hosts import toml_file
from hil.hosts.bench_sections import ActuatorEntry, Allow, Section
from hil.hosts.toml_file import Expected
from hil.model import GB, MIB, LinkKind

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
U16 = Annotated[int, Field(ge=0, le=0xFFFF), Expected("a whole number 0 … 0xffff")]
U8 = Annotated[int, Field(ge=0, le=0xFF), Expected("a whole number 0 … 0xff")]
Uid = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$"), Expected("16 digits 0-9, a-f in quotes")]
Uuid = Annotated[
    str,
    Field(pattern=r"^GPU-[0-9a-f-]{36}$"),
    Expected('an NVML UUID, "GPU-" and 36 characters 0-9, a-f and -'),
]
_PORTS = 3


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
    ports: Annotated[int, Field(ge=0, le=8)] = _PORTS
    """Receptacles; each is a bus (macOS) or a domain (Linux) of its own."""
    driver_version: str = ""
    """TinyGPU's on macOS, NVIDIA's on Linux."""
    preserve_video_memory: bool = False
    """Whether NVIDIA's module was loaded with ``NVreg_PreserveVideoMemoryAllocations=1``: memory and contexts outlive a
    sleep. Otherwise they are lost, as on macOS. Linux."""
    deauthorization: bool = True
    """Whether its domains let the authorization of an enclosure be revoked. Linux."""
    extension: str | None = None
    """State of TinyGPU's driver extension as ``systemextensionsctl`` names it (``activated waiting for user``); empty =
    not installed. Without this key: ``activated enabled`` where there is a `driver_version`. macOS."""


class UsbSpec(Section):
    """A USB device inside an enclosure."""

    vendor_id: U16
    product_id: U16
    vendor: str = ""
    product: str = ""
    serial: str = ""
    device_class: U8 = 0x09
    """9 = hub, 0x11 = billboard."""
    speed_mbps: Literal[12, 480, 5000, 10000] = 5000


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
    authorized: Literal[0, 1] = 1
    """0: nobody has allowed its PCIe tunnel yet, so that its functions are missing. Linux."""
    usb: tuple[UsbSpec, ...] | None = None
    """What it brings on USB: the first at the receptacle, the others behind it. Not given = one hub."""

    @property
    def usb_devices(self) -> tuple[UsbSpec, ...]:
        """`usb`, or the one hub, whose serial number is the router's uid as some makers have it."""
        if self.usb is not None:
            return self.usb
        product = f"{self.name} hub"
        return (
            UsbSpec(vendor_id=0x2109, product_id=0x0817, vendor=self.vendor, product=product, serial=self.uid.upper()),
        )

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
    uuid: Uuid
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
    power_limit_w: Positive = 320.0
    graphics_mhz: Positive = 2520.0
    """The highest clock, as while it works."""
    memory_mhz: Positive = 10501.0

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


SLOTS = 3
"""Cards that an enclosure holds at the most."""
GROUP = "hil.profiles"
LONGEST_CHAIN = 3
"""Enclosures on one port; more would run out of the bus numbers that firmware sets aside for it."""


def shipped() -> list[str]:
    """Names of the profiles that come with the package, sorted."""
    folder = resources.files("hil.sim") / "profiles"
    return sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml"))


def known() -> list[str]:
    """Names of all profiles: shipped ones and those that other packages register under ``hil.profiles``, sorted.

    An entry point of that group names a path (text or `pathlib.Path`) of a TOML file.
    """
    return sorted({*shipped(), *registry.names(GROUP)})


def load(name: str) -> Profile:
    """Read the profile `name`, or the one in the file `name` (anything that ends in ``.toml``).

    Raises:
        UsageError: there is no such profile or file, or it is wrong; names the file and all wrong keys at once.

    """
    if name.endswith(".toml"):
        path = Path(name)
    elif name in shipped():
        path = Path(str(resources.files("hil.sim") / "profiles" / f"{name}.toml"))
    elif name in registry.names(GROUP):
        path = Path(registry.load(GROUP, name))
    else:
        raise UsageError(f"no profile {name!r}; known: {', '.join(known())}, or a path that ends in .toml")
    return toml_file.read(path, Profile, _across)


def validate(data: dict[str, Any], source: str) -> Profile:
    """Check `data` read from `source`.

    Raises:
        UsageError: names `source` and every wrong key, its value and what was expected.

    """
    return toml_file.validate(data, Profile, source, _across)


def _across(data: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, name in (("enclosure", "name"), ("enclosure", "uid"), ("gpu", "uuid")):
        yield from toml_file.twice(data, key, name)
    enclosures = toml_file.tables(data, "enclosure")
    names = [str(enclosure.get("name")) for enclosure in enclosures]
    host = data.get("host")
    ports = host.get("ports", _PORTS) if isinstance(host, dict) else None
    mac = isinstance(host, dict) and host.get("system") == "Darwin"
    for i, enclosure in enumerate(enclosures):
        behind, port = enclosure.get("behind"), enclosure.get("port", 0)
        if behind and behind not in names[:i]:
            yield f"enclosure.{i}.behind", f"{behind!r} is no enclosure listed before it"
        if isinstance(port, int) and isinstance(ports, int) and port >= ports:
            yield f"enclosure.{i}.port", f"{port}, but the host has {ports} (counted from 0)"
        if mac and enclosure.get("authorized") == 0:
            yield f"enclosure.{i}.authorized", "0, but macOS has no authorization; see host.extension"
    yield from _cabling(enclosures)
    gpus = toml_file.tables(data, "gpu")
    for i, gpu in enumerate(gpus):
        holder = gpu.get("enclosure")
        if holder and [other.get("enclosure") for other in gpus[:i]].count(holder) == SLOTS:
            yield f"gpu.{i}.enclosure", f"{holder!r} holds {SLOTS} cards already"
        if holder and holder not in names:
            hint = toml_file.suggestion(str(holder), names)
            yield f"gpu.{i}.enclosure", f"no enclosure is called {holder!r}; {hint}"


def _cabling(enclosures: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """What no cables could connect: every port, the host's and an enclosure's onward one, takes one plug."""
    taken: dict[str, str] = {}
    chains: dict[str, tuple[object, int]] = {}
    for i, enclosure in enumerate(enclosures):
        name, port, behind = str(enclosure.get("name")), enclosure.get("port", 0), str(enclosure.get("behind") or "")
        root, place = chains.get(behind, (port, 0))
        chains[name] = root, place + 1
        if behind in chains and port != root:
            yield f"enclosure.{i}.port", f"{port}, but the chain it is part of hangs on port {root}"
        if place == LONGEST_CHAIN:
            yield f"enclosure.{i}.behind", f"a chain of more than {LONGEST_CHAIN} enclosures"
        plug = f"behind {behind!r}" if behind else f"on port {port}"
        if plug in taken:
            key = "behind" if behind else "port"
            hint = "" if behind else f"; behind = {taken[plug]!r} would chain them"
            yield f"enclosure.{i}.{key}", f"{taken[plug]!r} hangs {plug} already{hint}"
        taken.setdefault(plug, name)
