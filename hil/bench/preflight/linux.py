"""Checks of a Linux host: Thunderbolt, authorization, drivers, permissions, NVML, DMA protection."""

from __future__ import annotations

from collections.abc import Iterator

from hil.bench.preflight.base import Finding, Scene, advice, must, ok
from hil.errors import DriverError, HilError, NotCaptured, NotSupported
from hil.hosts.nvml_session import code_of, nvml_session
from hil.model import RouterRole
from hil.pci.sysfs import DEVICES, UNPRIVILEGED_CONFIG

THUNDERBOLT = "/sys/bus/thunderbolt/devices"
DRIVER = "nvidia"
DRIVER_VERSION = "/sys/module/nvidia/version"
_EXTENDED, _WORD = 0x100, 4
"""Where extended config space begins, far beyond what everybody may read."""


def thunderbolt(scene: Scene) -> Iterator[Finding]:
    """The Thunderbolt bus."""
    if scene.system != "Linux":
        return
    check = "linux.thunderbolt"
    try:
        names = scene.host.list(THUNDERBOLT)
    except FileNotFoundError:
        yield advice(
            check,
            f"there is no {THUNDERBOLT}: no Thunderbolt / USB4 enclosure can be seen",
            "modprobe thunderbolt, and see that Thunderbolt is switched on in the firmware's settings",
        )
        return
    if not any(name.startswith("domain") for name in names):
        yield advice(
            check,
            "the kernel found no Thunderbolt / USB4 controller",
            "see that Thunderbolt is switched on in the firmware's settings",
        )
        return
    yield ok(check, f"{sum(name.startswith('domain') for name in names)} Thunderbolt / USB4 domains")


def authorization(scene: Scene) -> Iterator[Finding]:
    """Enclosures whose PCIe tunnel nobody has allowed."""
    for router in scene.inventory.routers:
        if scene.system != "Linux" or router.role is not RouterRole.ENCLOSURE or router.authorized is None:
            continue
        name = f"{router.vendor_name} {router.device_name}".strip() or router.name
        if router.authorized:
            yield ok("linux.authorization", f"{name} is authorized")
            continue
        uuid = _unique_id(scene, router.name)
        yield must(
            "linux.authorization",
            f"{name} ({router.name}) is not authorized: its GPU stays invisible",
            f"boltctl enroll --policy auto {uuid}" if uuid else "boltctl list, then boltctl enroll --policy auto UUID",
        )


def drivers(scene: Scene) -> Iterator[Finding]:
    """The kernel driver of each GPU."""
    for gpu in scene.inventory.gpus:
        if scene.system != "Linux":
            continue
        check, where = "linux.driver", f"{gpu.name} at {gpu.function.address}"
        if gpu.function.driver == DRIVER:
            yield ok(check, f"{where}: driver {DRIVER}")
        elif gpu.function.driver:
            yield must(
                check,
                f"{where}: driver {gpu.function.driver} has it, not {DRIVER}",
                f"echo {gpu.function.address} > {DEVICES}/{gpu.function.address}/driver/unbind, then modprobe {DRIVER}",
            )
        else:
            yield must(
                check,
                f"{where} has no driver",
                f"install NVIDIA's driver, then modprobe {DRIVER}; `dmesg | grep NVRM` says why it refuses a card",
            )


def config_space(scene: Scene) -> Iterator[Finding]:
    """Whether config space can be read beyond what everybody may: resets save and compare it."""
    if scene.system != "Linux" or not scene.inventory.gpus:
        return
    check, address = "linux.config-space", scene.inventory.gpus[0].function.address
    if len(scene.host.pread(f"{DEVICES}/{address}/config", _WORD, _EXTENDED)) == _WORD:
        yield ok(check, "config space can be read whole")
        return
    needed = scene.file is not None and scene.file.allow.reset
    yield (must if needed else advice)(
        check,
        f"only {UNPRIVILEGED_CONFIG} bytes of config space can be read: a reset cannot be checked"
        + (", which the bench file allows" if needed else ""),
        "run as root, e.g. sudo -E pytest suites/",
    )


def kernel_log(scene: Scene) -> Iterator[Finding]:
    """Whether the kernel log can be read: Xids and AER messages are in it."""
    check = "host.kernel-log"
    try:
        # From now on only: what counts is whether it may be read, and on a Mac an hour of it takes minutes.
        scene.host.kernel_log(scene.host.clock.now())
    except PermissionError as error:
        yield advice(
            check, f"the kernel log cannot be read: {error.strerror or error}", "run as root, or see the message"
        )
        return
    yield ok(check, "the kernel log can be read")


def nvml(scene: Scene) -> Iterator[Finding]:
    """Whether NVML and the loaded driver are of one version: after an update without restart they are not."""
    if scene.system != "Linux" or "nvidia-ml-py" not in scene.packages or not scene.inventory.gpus:
        return
    check = "linux.nvml"
    loaded = _text(scene, DRIVER_VERSION)
    try:
        version = _nvml_version(scene)
    except NotCaptured:
        raise
    except (NotSupported, DriverError) as error:
        # Without a code it is pynvml that is missing: a pity, no more.
        grade = advice if error.code is None else must
        yield grade(
            check, str(error), f"install NVIDIA's driver, or modprobe {DRIVER}; after an update, restart the host"
        )
        return
    if loaded and version != loaded:
        yield must(check, f"NVML is version {version}, the loaded driver {loaded}", "restart the host")
        return
    yield ok(check, f"NVML {version}")


def dma_protection(scene: Scene) -> Iterator[Finding]:
    """Whether the IOMMU keeps a Thunderbolt device from memory that is none of its business."""
    for domain in scene.inventory.domains:
        if scene.system == "Linux" and domain.iommu_dma_protection is False:
            yield advice(
                "linux.dma-protection",
                f"{domain.name}: the IOMMU does not protect memory from Thunderbolt devices",
                "switch on VT-d / AMD-Vi and kernel DMA protection in the firmware's settings",
            )


def _nvml_version(scene: Scene) -> str:
    with nvml_session(scene.host) as session:
        try:
            with session.use() as library:
                version = library.nvmlSystemGetDriverVersion()
        except session.failure as error:
            raise DriverError(f"NVML does not tell its version: {error}", code=code_of(error)) from error
    return version.decode() if isinstance(version, bytes) else str(version)


def _unique_id(scene: Scene, router: str) -> str:
    return _text(scene, f"{THUNDERBOLT}/{router}/unique_id")


def _text(scene: Scene, path: str) -> str:
    try:
        return scene.host.read(path).decode("utf-8", "replace").strip()
    except (OSError, HilError):
        return ""
