"""``python -m benchmarks.throughput [--json]``: our bandwidths beside clpeak's, and what the sampler itself costs.

Both measure one OpenCL device through one driver, in turn, with clpeak's buffer size, pageable memory, data and
statistic; medians over the rounds are told. Its data are zeros: our own figure for the pattern that the suites copy is
told beside it. clpeak (Debian and Ubuntu: ``apt install clpeak``) sees the driver that pyopencl
brings by way of a folder of its own for the OpenCL loader. What the sampler costs is timed on an engine that copies
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar

from hil.copy import CopyEngine, EngineDevice
from hil.copy.opencl import OpenCLEngine
from hil.errors import HilError
from hil.hosts.local import LocalHost
from hil.model import GB, MIB, Direction
from hil.throughput import sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hil.hosts.base import Clock

SIZE = 512 * MIB
"""Bytes of clpeak's buffers for transfers (its transferBWMaxSize), where the device allows that."""
CLOSE = 0.05
"""The medians are to agree within it."""
SHARE = 0.01
"""Of a 1 MiB copy's time, that the sampler may cost."""
FLOOR = 2.8 * GB
"""bytes/s at the least of a USB4 enclosure: what a 1 MiB copy's time is reckoned with."""
LIMIT = 300.0
"""Seconds after which clpeak is given up."""
OF_CLPEAK = {Direction.H2D: "enqueueWriteBuffer", Direction.D2H: "enqueueReadBuffer"}
"""What it calls them."""
ITERATIONS = 20
"""Of clpeak's transfers (its transferBWIters)."""
ROUNDS = 9


class Failed(Exception):  # noqa: N818  (told to a person in one sentence)
    """Something could not be measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One bandwidth, in GB/s."""

    direction: str
    nbytes: int
    ours: float
    clpeaks: float
    patterned: float
    """Ours of data that are no zeros: what the suites would report."""
    ratios: tuple[float, ...]
    """Ours over clpeak's, of each round: what else the machine does hits both sides of one round alike."""

    @property
    def ratio(self) -> float:
        """The median of `ratios`."""
        return median(self.ratios)

    @property
    def agree(self) -> bool:
        """Whether the two are within `CLOSE`."""
        return abs(self.ratio - 1) <= CLOSE


@dataclass(eq=False)
class _Memory:
    nbytes: int
    pinned: bool = True
    address: int = 0

    def __post_init__(self) -> None:
        self.view = memoryview(bytearray(self.nbytes))


class NothingEngine(CopyEngine):
    """Copies nothing, in no time: what is left is the sampler."""

    name: ClassVar[str] = "nothing"
    device_time: ClassVar[bool] = True
    fresh_process_after_replug: ClassVar[bool] = False
    directions: ClassVar[frozenset[Direction]] = frozenset(Direction)

    @classmethod
    def devices(cls, host: Any) -> list[EngineDevice]:
        """One."""
        del host
        return [EngineDevice(target="0", name="nothing", vram_bytes=MIB)]

    @classmethod
    def open(cls, host: Any, target: str) -> NothingEngine:
        """It."""
        del host, target
        return cls()

    def describe(self) -> EngineDevice:
        """The one device."""
        return self.devices(None)[0]

    def host_alloc(self, nbytes: int, *, pinned: bool = True) -> _Memory:
        """Ordinary memory."""
        return _Memory(nbytes, pinned)

    def host_free(self, buffer: Any) -> None:
        """Nothing."""

    def alloc(self, nbytes: int) -> _Memory:
        """Ordinary memory."""
        return _Memory(nbytes)

    def free(self, buffer: Any) -> None:
        """Nothing."""

    def upload(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def download(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def move(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    def synchronize(self, stream: int | None = None) -> None:
        """Nothing."""

    def record(self, stream: int = 0) -> None:
        """Nothing."""

    def elapsed(self, start: Any, end: Any) -> float:
        """A second, since no copy takes none."""
        del start, end
        return 1.0

    def memory(self) -> tuple[int, int]:
        """All of it."""
        return MIB, MIB

    def close(self) -> None:
        """Nothing."""


def sampler_seconds(clock: Clock, rounds: int = 20_000) -> float:
    """Seconds that a sample costs beyond its copy: from two runs that differ in their number of samples only."""
    engine = NothingEngine()

    def taken(count: int) -> float:
        began = perf_counter()
        sample(engine, clock, Direction.H2D, MIB, rounds=count, warmups=0)
        return perf_counter() - began

    taken(rounds)
    return median((taken(2 * rounds) - taken(rounds)) / rounds for _ in range(3))


def compare(rounds: int) -> tuple[str, list[Figure]]:
    """Name of the first OpenCL device, and its bandwidths as both measure them, in turn `rounds` times.

    Raises:
        Failed: there is no OpenCL device, or no clpeak.

    """
    if shutil.which("clpeak") is None:
        raise Failed("clpeak is not installed: apt install clpeak")
    host = LocalHost()
    try:
        devices = OpenCLEngine.devices(host)
        if not devices:
            raise Failed("no OpenCL device: pip install 'hil[opencl]'")
        engine = OpenCLEngine.open(host, devices[0].target)
        ours: list[dict[Direction, float]] = []
        patterned: list[dict[Direction, float]] = []
        peaks: list[dict[Direction, float]] = []
        for number in range(rounds):
            # Who is first changes, so that a machine that slows down or recovers meanwhile favours neither.
            for mine in (number % 2 == 0, number % 2 != 0):
                if mine:
                    for found, zeros in ((ours, True), (patterned, False)):
                        found.append({way: as_clpeak_does(engine, host.clock, way, zeros=zeros) for way in OF_CLPEAK})
                else:
                    peaks.append(clpeak(devices[0].name))
        engine.close()
    except HilError as error:
        raise Failed(str(error)) from error
    figures = [
        Figure(
            direction=way.value,
            nbytes=SIZE,
            ours=median(one[way] for one in ours),
            clpeaks=median(one[way] for one in peaks),
            patterned=median(one[way] for one in patterned),
            ratios=tuple(mine[way] / theirs[way] for mine, theirs in zip(ours, peaks, strict=True)),
        )
        for way in OF_CLPEAK
    ]
    return devices[0].name, figures


def as_clpeak_does(engine: CopyEngine, clock: Clock, way: Direction, *, zeros: bool) -> float:
    """GB/s of our sampler in the figure that clpeak tells: the mean time of twenty copies after one to warm up.

    A median of ours beside a mean of theirs would be the larger the busier the machine is.
    """
    taken = sample(engine, clock, way, SIZE, rounds=ITERATIONS, warmups=1, pinned=False, zeros=zeros)
    return SIZE / fmean(taken.seconds) / GB


def clpeak(device: str) -> dict[Direction, float]:
    """What clpeak says of `device`, in GB/s. It is ended once it has said that: what it measures next takes longer.

    Raises:
        Failed: it does not run, or sees another device.

    """
    command = ["clpeak", "--transfer-bandwidth", "--use-event-timer", "--platform", "0", "--device", "0"]
    found: dict[Direction, float] = {}
    said = []
    with tempfile.TemporaryDirectory(prefix="hil-benchmark-") as folder:
        try:
            running = subprocess.Popen(
                command,
                env={**os.environ, **_loader(Path(folder))},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except OSError as error:
            raise Failed(f"clpeak: {error}") from error
        alarm = threading.Timer(LIMIT, running.kill)
        alarm.start()
        with running:
            for line in running.stdout or ():
                said.append(line)
                name, _, value = (part.strip() for part in line.partition(":"))
                ways = [way for way, label in OF_CLPEAK.items() if label == name]
                found |= {way: float(value) for way in ways if _is_number(value)}
                if len(found) == len(OF_CLPEAK):
                    break
            running.kill()
        alarm.cancel()
    text = "".join(said)
    if len(found) < len(OF_CLPEAK):
        raise Failed(f"clpeak told no {' and '.join(OF_CLPEAK.values())}: {text.strip()}")
    seen = re.search(r"Device: (.*)", text)
    name = seen[1].strip() if seen else ""
    if not name or (name.lower() not in device.lower() and device.lower() not in name.lower()):
        raise Failed(f"clpeak measured {name!r}, we {device!r}")
    return found


def _is_number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False


def _loader(folder: Path) -> dict[str, str]:
    """Lets the system's OpenCL loader find the drivers that pyopencl's wheel brings, if it does."""
    import pyopencl  # noqa: PLC0415  (optional)

    drivers = sorted((Path(pyopencl.__file__).parent / ".libs").glob("libpocl*.so"))
    if not drivers:
        return {}
    (folder / "pocl.icd").write_text(f"{drivers[0]}\n", encoding="utf-8")
    return {"OCL_ICD_VENDORS": str(folder)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON; 1 if something could not be measured. A goal missed is told, no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description="Our figures beside clpeak's.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, metavar="N", help=f"times that both measure (default: {ROUNDS})"
    )
    chosen = parser.parse_args(arguments)
    if chosen.rounds < 1:
        parser.error(f"--rounds: {chosen.rounds} is less than 1")
    cost = sampler_seconds(LocalHost().clock)
    try:
        device, figures = compare(chosen.rounds)
    except Failed as failure:
        print(f"benchmark broken off: {failure}", file=sys.stderr)
        return 1
    share = cost / (MIB / FLOOR)
    if chosen.json:
        facts = {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cores": os.cpu_count(),
            "device": device,
            "figures": [asdict(one) | {"ratio": one.ratio, "agree": one.agree} for one in figures],
            "sampler": {"seconds": cost, "share_of_1_mib_copy": share, "met": share <= SHARE},
        }
        print(json.dumps(facts, indent=2))
        return 0
    print(f"{device}, {SIZE // MIB} MiB, median of {chosen.rounds}")
    for one in figures:
        told = "agree" if one.agree else f"differ by more than {CLOSE:.0%}"
        print(
            f"{one.direction}  ours {one.ours:6.2f} GB/s  clpeak {one.clpeaks:6.2f} GB/s  {one.ratio:.3f} ×  {told}"
            f"  (ours of the pattern: {one.patterned:.2f} GB/s)"
        )
    met = "met" if share <= SHARE else "MISSED"
    print(
        f"a sample costs {cost * 1e6:.2f} µs beside its copy: {share:.2%} of 1 MiB at 2.8 GB/s (≤ {SHARE:.0%}: {met})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
