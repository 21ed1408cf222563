"""Runs of pytest and of simulated machines as a user starts them: in processes of their own."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]
WORDS = ["hotplug", "measure", "reset", "telemetry", "throughput", "transfer"]
CONFTEST = f"pytest_plugins = {[f'hil.fixtures.{word}' for word in WORDS]!r}\n"
QUIET = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
LIMIT = 300.0
HEAVY = "268435456 or both_directions or killed_client or client_died"
"""Cases of the suites that move so much that one bench is enough for them."""
_OUTCOME = re.compile(r"[^\s:]+::(?P<test>\S+) (?P<outcome>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)\b")
COMPILED = tempfile.mkdtemp(prefix="hiltest-compiled-")
"""Where the runs of one session keep compiled modules, also in an environment that keeps none."""
atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)


@dataclass(frozen=True)
class Finished:
    """A run that is over."""

    code: int
    out: str
    err: str
    folder: Path

    def outcomes(self) -> dict[str, str]:
        """How each test ended, by its id without the file, as ``-v`` tells."""
        lines = (_OUTCOME.match(line) for line in self.out.splitlines())
        found: dict[str, str] = {}
        for match in filter(None, lines):
            found[match["test"]] = match["outcome"]  # the last: a teardown's word counts
        return found

    def line(self, start: str) -> str:
        """The line of the output that starts so (after blanks)."""
        found = [line for line in self.out.splitlines() if line.strip().startswith(start)]
        assert found, f"no line starts with {start!r} in:\n{self.out}\n{self.err}"
        return found[0]

    def summary(self) -> list[str]:
        """Lines of our section at the end."""
        lines = self.out.splitlines()
        begin = next(i for i, line in enumerate(lines) if line.strip("= ") == "hil")
        end = next((i for i in range(begin + 1, len(lines)) if lines[i].startswith("===")), len(lines))
        return lines[begin + 1 : end]

    def results(self) -> dict[str, dict]:
        """Allure's results by the test's name."""
        files = (self.folder / "allure").glob("*-result.json")
        facts = (json.loads(file.read_text()) for file in files)
        return {fact["name"]: fact for fact in facts}

    def attached(self, name: str, title: str) -> str:
        """The text of an attachment of a test's result, wherever in its steps it lies."""
        todo, found = [self.results()[name]], []
        while todo:
            part = todo.pop()
            todo += part.get("steps", ())
            found += [a["source"] for a in part.get("attachments", ()) if a["name"] == title]
        assert found, f"{name} has no attachment {title!r}"
        return (self.folder / "allure" / found[0]).read_text()

    def labels(self, name: str) -> dict[str, set[str]]:
        """Labels of a test's result."""
        found: dict[str, set[str]] = {}
        for label in self.results()[name]["labels"]:
            found.setdefault(label["name"], set()).add(label["value"])
        return found


@dataclass(frozen=True)
class Suite:
    """A folder with a suite of its own, and a temporary folder that its runs must leave empty."""

    folder: Path
    tmp: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="hiltest-", dir="/tmp")))

    def write(self, **files: str) -> Suite:
        for name, text in files.items():
            (self.folder / f"{name}.py").write_text(dedent(text))
        return self

    def start(self, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        quiet = QUIET if "benchmark" in " ".join(arguments) else (*QUIET, "--benchmark-disable")
        command = [sys.executable, "-m", "pytest", *quiet, "-v", "-rN", *map(str, arguments)]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**clean(os.environ), "TMPDIR": str(self.tmp), "COLUMNS": "200", **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, run: subprocess.Popen[str]) -> Finished:
        try:
            out, err = run.communicate(timeout=LIMIT)
        finally:
            if run.poll() is None:
                os.killpg(run.pid, signal.SIGKILL)
        return Finished(run.returncode, out, err, self.folder)

    def run(self, *arguments: str, env: dict[str, str] | None = None, allure: bool = False) -> Finished:
        more = ("--alluredir", "allure", "--clean-alluredir") if allure else ()
        return self.finish(self.start(*arguments, *more, env=env))

    def left_over(self) -> list[str]:
        return sorted(path.name for path in self.tmp.iterdir())


def with_foreign_fault(file: str, fault: str, *arguments: str) -> Finished:
    """Our suites with `fault` of `tests/<file>.py`, up to the first failure, in one process.

    Of a seed of its own: one byte in 256 is by chance what it was before.
    """
    lab = Suite(ROOT)
    foreign = f"--hil-fault={ROOT / 'tests' / file}.py:{fault}"
    done = lab.run(*arguments, "-x", "--hil-inline", "--hil-seed=1", foreign)
    lab.tmp.rmdir()
    return done


@contextmanager
def suite(folder: Path, *, conftest: str = CONFTEST):
    """A `Suite` in `folder`, an existing one."""
    made = Suite(folder)
    try:
        yield made.write(conftest=conftest)
    finally:
        shutil.rmtree(made.tmp)


def clean(environment) -> dict[str, str]:
    """`environment` without what would choose a bench or options of pytest."""
    kept = {k: v for k, v in environment.items() if not k.startswith(("HIL_", "PYTEST_", "PYTHONDONTWRITE"))}
    return {**kept, "PYTHONPYCACHEPREFIX": COMPILED}


@contextmanager
def machine(profile: str | Path, *faults: str):
    """A simulated machine that outlives the runs on it; its address."""
    more = [word for fault in faults for word in ("--fault", fault)]
    process = subprocess.Popen(
        [sys.executable, "-m", "hil.sim", str(profile), *more], stdout=subprocess.PIPE, text=True, env=clean(os.environ)
    )
    try:
        yield json.loads(process.stdout.readline())["address"]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def hil(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command ``hil``."""
    return subprocess.run(
        [sys.executable, "-m", "hil.cli", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**clean(os.environ), **(env or {})},
    )


def eventually(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def descendants(pid: int) -> set[int]:
    """Processes that `pid` started, and those that they did, sessions and groups regardless (Linux)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found |= more
        grown = bool(more)
    return found - {pid}


def alive(pid: int) -> bool:
    """Whether process `pid` runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
