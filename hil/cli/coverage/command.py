"""The command lines of pytest by which a machine is tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from hil.cli.coverage.plan import Job, Kind
from hil.errors import UsageError

ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Environment of the runs: what else is installed shall not change the score (and costs a second to import)."""
_SETTLED = ("HIL_", "PYTEST_", "COV_CORE_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suites:
    """Where the suites lie, by kind."""

    folder: Path
    kinds: tuple[str, ...]
    """Sub-folders with tests: ``driver``, ``throughput``, ``transfer``."""


def suites(folder: Path | None) -> Suites:
    """The suites in `folder`; those that come with hil if it is `None`.

    Raises:
        UsageError: there are none.

    """
    if folder is None:
        folder = package("hil.suites")
    if folder is None or not folder.is_dir():
        raise UsageError(f"no suites at {folder or 'hil.suites'}; expected a folder with driver/, transfer/, …")
    folder = folder.resolve()
    kinds = tuple(sorted(sub.name for sub in folder.iterdir() if sub.is_dir() and any(sub.glob("test_*.py"))))
    if not kinds:
        raise UsageError(f"no suites in {folder}: no sub-folder of it has a test_*.py")
    return Suites(folder=folder, kinds=kinds)


def stages(job: Job, where: Suites, *, ci: bool) -> list[list[str]]:
    """Arguments of pytest for `job`: runs to be made one after the other until one is red.

    Tests of the kind that ought to see a fault come first, of these the quick ones; before them the soaks of that kind,
    where it shows in these alone. Nothing else about a fault decides the order.
    """
    expected = [kind for kind in where.kinds if kind == job.seen_by]
    others = [kind for kind in where.kinds if kind not in expected]
    quick: list[str] = ["-m", "quick"]
    soaks = (["-m", "soak"], [kind for kind in where.kinds if kind in job.soaks])
    if job.kind is Kind.FAULT:
        runs = [soaks, ([], expected), (quick if ci else [], others)]
    elif ci or job.kind is Kind.CLEAN:
        runs = [(quick, list(where.kinds))]
    else:
        runs = [([], list(where.kinds)), soaks]
    return [[*_own(job, where), *select, *_paths(where, kinds)] for select, kinds in runs if kinds]


def clean_night(profile: str, where: Suites, kind: str, history: Path, *, seed: int) -> list[str]:
    """Arguments of pytest for one run of the suites of `kind` on a clean machine, its figures kept in `history`."""
    return [*_all(profile, seed, where), "--hil-history", str(history), *_paths(where, [kind])]


def environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """`inherited` without what would choose a bench, faults or options of pytest."""
    return {key: text for key, text in inherited.items() if not key.startswith(_SETTLED)} | ALONE


def _own(job: Job, where: Suites) -> list[str]:
    return [*_all(job.profile, job.seed, where), *(("--hil-fault", job.text) if job.text else ())]


def _all(profile: str, seed: int, where: Suites) -> list[str]:
    folder = str(where.folder)
    return [
        *("-p", "hil", "-p", "hil.fixtures"),
        *("-p", "no:cacheprovider", "--import-mode=importlib", "--strict-markers"),
        *("-q", "-x", "--hil-quick-first"),
        *("-c", "/dev/null", "--rootdir", folder, "--confcutdir", folder),
        *("--hil-bench", f"sim:{profile}", "--hil-seed", str(seed)),
    ]


def _paths(where: Suites, kinds: Sequence[str]) -> list[str]:
    return [str(where.folder / kind) for kind in kinds]


def package(name: str) -> Path | None:
    """The folder of a package that hil brings, ``hil.fixtures`` or ``hil.suites``; `None` where it is not there."""
    spec = find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return Path(places[0]) if places else None
