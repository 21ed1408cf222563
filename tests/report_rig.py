"""Records and histories as runs would have left them, for tests of what is made of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from hil.history import Key, Point, open_history
from hil.report.record import Began, End, Finished, Part, Writer

FIRST = datetime.fromisoformat("2026-03-02T22:30:00").astimezone()
DEVICE = "rtx-4080"
ID = "GPU-1"
NO_TEST = 5
KEY = Key(
    bench="lab", device=ID, metric="bandwidth", direction="H2D", nbytes=64 << 20, engine="cuda", declared="usb4",
    negotiated="2 × 20 Gb/s", simulated=False, unit="B/s", higher_is_better=True,
)  # fmt: skip


def begins(night: int) -> datetime:
    return FIRST + timedelta(days=night)


def date(night: int) -> str:
    return begins(night).date().isoformat()


def finished(name: str = "test_a", outcome: str = "passed", **more) -> Finished:
    more = {"device": DEVICE, "seconds": 0.5, "at": 1.0, "markers": ("driver",)} | more
    return Finished(test=f"suites/driver/test_link.py::{name}", outcome=outcome, **more)


def record(
    folder: Path,
    night: int,
    *tests: Finished,
    bench: str = "lab",
    simulated: bool = False,
    driver: str = "1.0",
    under_way: str = "",
    ended: bool = True,
    code: int | None = None,
    name: str = "",
    **facts,
) -> Path:
    """A record of one run; without `ended` it was cut off, in the test `under_way` if one is named.

    Its exit `code` is what its tests make it; with 5 it ran none.
    """
    path = folder / (name or f"{night}-{bench}-{simulated}.jsonl")
    started = begins(night).isoformat()
    device = {"id": ID, "name": "NVIDIA", "driver": driver, "firmware": "30.2", "negotiated": "40 Gb/s (2 × 20)"}
    part = Part(
        hil="0.1.0", bench=bench, nature="simulated" if simulated else "real hardware", simulated=simulated, seed=1,
        boot_id="b", command="pytest", started=started, context={"host": "Mac", "os": "Darwin 26.1", "hil": "0.1.0"},
        devices={DEVICE: device},
    )  # fmt: skip
    writer = Writer(path, append=False, durable=False)
    writer.part(replace(part, **facts))
    for test in tests or (() if code == NO_TEST else (finished(),)):
        writer.began(Began(began=test.test, at=0.0))
        writer.test(test)
    if under_way:
        writer.began(Began(began=under_way, at=2.0))
    if ended:
        failed = any(test.outcome not in ("passed", "skipped") for test in tests)
        writer.end(End(ended=started, exit=int(failed) if code is None else code))
    writer.close()
    return path


def history(path: Path, *series: tuple[Key, list[float]], changed_at: int | None = None, driver: str = "2.0") -> Path:
    """A history with a value a night; from `changed_at` on with another `driver`."""
    with open_history(path) as opened:
        for key, values in series:
            opened.add(
                (
                    key,
                    Point(
                        time=begins(night).timestamp(),
                        value=value,
                        run=f"{key.bench} {night}",
                        context={
                            "driver": driver if changed_at is not None and night >= changed_at else "1.0",
                            "os": "Darwin 26.1",
                        },
                    ),
                )
                for night, value in enumerate(values)
            )
    return path


def steady(nights: int, value: float = 3.2e9) -> list[float]:
    """Values that differ from night to night as healthy ones do: by half a per cent."""
    return [value * (1 + 0.005 * ((night * 7919) % 11 - 5) / 5) for night in range(nights)]
