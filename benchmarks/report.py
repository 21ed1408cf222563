"""How long the page of a large lab takes to make and to open: twenty benches, a year of nights, in Chromium.

There are records of all nights (0.4 GB in the folder for temporary files, as long as it runs), a history of 400 series,
a picture with each failure, and on a bench in three a load that was drawn each night.

The limit is a second from the start of the navigation until the page has drawn its first screen. Beside it stands what
the browser needs for an empty page: what no page can go below.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

from hil.history import Key, Point, open_history
from hil.integrity import fill, picture, verify
from hil.report.contents import contents
from hil.report.lines import judged
from hil.report.nights import load, record_files
from hil.report.page import build
from hil.report.record import End, Finished, Part, Writer
from hil.report.sensors import sensors_chart
from hil.watch import TelemetrySample

LIMIT = 1.0
NIGHTS, TESTS = 365, 200
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
DRAWN = """
const done = arguments[arguments.length - 1];
const wait = () => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  const load = performance.getEntriesByType('navigation')[0].loadEventEnd;
  if (load > 0) done(Math.max(load, paint ? paint.startTime : 0)); else setTimeout(wait, 5);
};
wait();
"""


def keys(bench: str) -> Iterator[Key]:
    """The series of one bench, as the throughput suite makes them."""
    rate = Key(
        bench=bench, device=f"GPU-{bench}", metric="bandwidth", direction="", nbytes=0, engine="cuda", declared="usb4",
        negotiated="2 × 20 Gb/s", simulated=False, unit="B/s", higher_is_better=True,
    )  # fmt: skip
    latency = replace(rate, metric="latency p50", unit="s", higher_is_better=False)
    for direction in ("H2D", "D2H"):
        yield from (replace(rate, direction=direction, nbytes=1 << power) for power in range(20, 29, 2))
        yield from (replace(latency, direction=direction, nbytes=1 << power) for power in range(2, 20, 4))


def make(folder: Path, benches: int) -> tuple[Path, Path]:
    """Records and a history of `benches` benches in `folder`; one bench became 4 % slower two weeks ago."""
    dice = np.random.default_rng(1)
    first = datetime.fromisoformat("2025-11-01T22:30:00").astimezone()
    records = folder / "records"
    records.mkdir()
    with open_history(folder / "history.db") as history:
        for number in range(benches):
            bench = f"bench-{number:02}"
            for key in keys(bench):
                usual = 3.2e9 / (1 + 4e4 / key.nbytes) if key.unit == "B/s" else 12e-6 + key.nbytes / 3.2e9
                values = usual * (1 + 0.01 * dice.standard_normal(NIGHTS))
                if number == 3 and key.unit == "B/s":
                    values[-14:] *= 0.96
                history.add(
                    (
                        key,
                        Point(
                            time=(first + timedelta(days=night)).timestamp(),
                            value=float(value),
                            run=f"{bench} {night}",
                            context={"driver": f"580.{night // 90}", "os": f"Linux 6.12.{night // 60}"},
                        ),
                    )
                    for night, value in enumerate(values)
                )  # fmt: skip
            for night in range(NIGHTS):
                _record(records, bench, (first + timedelta(days=night)).isoformat(), fails=number % 7 == night % 7)
    return records, folder / "history.db"


def _record(folder: Path, bench: str, started: str, *, fails: bool) -> None:
    path = folder / f"{bench}-{started[:10]}.jsonl"
    device = {"id": f"GPU-{bench}", "name": "NVIDIA GeForce RTX 4090", "driver": "580.4", "negotiated": "40 Gb/s"}
    writer = Writer(path, append=False, durable=False)
    writer.part(
        Part(
            hil="0", bench=bench, nature="real hardware", simulated=False, seed=1, boot_id="", command="pytest",
            started=started, context={"host": "lab", "os": "Linux"}, devices={"rtx-4090": device},
        )
    )  # fmt: skip
    writer.close()
    with path.open("a", encoding="utf-8") as file:
        file.write(_tests(fails=fails, loaded=int(bench[-2:]) % 3 == 0))
        file.write(json.dumps(asdict(End(ended=started, exit=int(fails)))) + "\n")


@cache
def _tests(*, fails: bool, loaded: bool) -> str:
    """The lines of a night's tests, as a `Writer` writes them."""
    return "".join(f"{json.dumps(asdict(test))}\n" for test in _finished(fails=fails, loaded=loaded))


def _finished(*, fails: bool, loaded: bool) -> Iterator[Finished]:
    suites = ("driver", "transfer", "throughput")
    warm = [TelemetrySample(time=float(at), temperature_c=40.0 + at / 9, power_w=200.0) for at in range(120)]
    load = sensors_chart("rtx-4090 under load", warm, [(at / 2, 3e9 + at) for at in range(240)])
    wrong = np.zeros(1 << 16, dtype=np.uint8)
    fill(wrong)
    wrong[4096:8192] = 0
    corrupt = picture(verify(wrong))
    for number in range(TESTS):
        failed = fails and number % 60 == 0
        drawn = [("where it is wrong", corrupt)] if failed else [("under load", load)] if loaded and not number else []
        yield Finished(
            test=f"suites/{suites[number % 3]}/test_{number % 20}.py::test_behaviour_number_{number}[rtx-4090]",
            device="rtx-4090",
            outcome="failed" if failed else "passed",
            error="DataCorrupt" if failed else "",
            seconds=0.1,
            at=1.0,
            markers=(suites[number % 3],),
            message="64 KiB host → device → host came back wrong: 4096 bytes hold zeros" if failed else "",
            hop="copy path" if failed else "",
            evidence=tuple({"name": name, "kind": "svg", "text": text} for name, text in drawn),
        )


def opening(page: Path, profile: Path, times: int) -> list[float]:
    """Seconds until the browser has drawn `page`, each time afresh."""
    from selenium import webdriver  # noqa: PLC0415  (of the tests, not of hil)

    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver") or ""))
    try:
        found = []
        for _ in range(times):
            driver.get("about:blank")
            driver.get(page.as_uri())
            found.append(float(driver.execute_async_script(DRAWN)) / 1e3)
        return found
    finally:
        driver.quit()


def measure(benches: int, times: int) -> dict[str, Any]:
    """All figures, seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records, path = make(folder, benches)
        began = perf_counter()
        with open_history(path) as history:
            verdicts = judged(history)
        loaded = load(record_files([records]))
        html = build(contents(loaded.visits, verdicts, loaded.complaints, made="2026-11-01T08:00+00:00"))
        made = perf_counter() - began
        page, empty = folder / "index.html", folder / "empty.html"
        page.write_text(html, encoding="utf-8")
        empty.write_text("<!doctype html><title>empty</title><p>empty", encoding="utf-8")
        opened = opening(page, folder / "profile", times)
        least = opening(empty, folder / "other", times)
    return {
        "benches": benches,
        "nights": NIGHTS,
        "series": len(verdicts),
        "records": len(loaded.visits),
        "tests": TESTS * len(loaded.visits),
        "read_whole": sum(bool(visit.tests) for visit in loaded.visits),
        "page_bytes": len(html.encode()),
        "make_seconds": round(made, 3),
        "open_seconds": [round(value, 3) for value in opened],
        "open_median": round(median(opened), 3),
        "empty_median": round(median(least), 3),
        "limit": LIMIT,
        "met": median(opened) < LIMIT,
        "ratio": round(median(opened) / max(median(least), math.ulp(1)), 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--benches", type=int, default=20, help="default: 20")
    parser.add_argument("--times", type=int, default=5, help="how often the page is opened (default: 5)")
    given = parser.parse_args()
    missing = [program for program in ("chromium", "chromedriver") if shutil.which(program) is None]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}")
    found = measure(given.benches, given.times)
    if given.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{found['benches']} benches, {NIGHTS} nights: {found['series']} series, {found['records']} records of runs, "
        f"{found['tests']} tests in them; the last {found['read_whole']} records read whole:"
    )
    print(f"  made in {found['make_seconds']} s, {found['page_bytes'] / 1e6:.1f} MB")
    print(f"  opened in {found['open_median']} s (limit {LIMIT} s; an empty page {found['empty_median']} s)")


if __name__ == "__main__":
    main()
