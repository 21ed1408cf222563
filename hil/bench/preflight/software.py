"""Checks of what is installed where hil runs: Python, its packages, Node, and versions that are bad together."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import metadata

from hil.bench.preflight.base import Finding, Scene, advice, must, ok
from hil.errors import HilError

PYTHON = (3, 11)
OPTIONAL = (
    # Package, what is missing without it, systems of the host under test that it is for.
    ("allure-pytest", "no results for the Allure report", ("Linux", "Darwin")),
    ("pytest-benchmark", "throughput samples do not appear in a benchmark table", ("Linux", "Darwin")),
    ("pyopencl", "real GPUs cannot be opened through OpenCL", ("Linux", "Darwin")),
    ("nvidia-ml-py", "UUIDs, memory and sensors of GPUs are not read", ("Linux",)),
    ("pyusb", "USB functions of enclosures are not found", ("Linux", "Darwin")),
    ("pyserial", "actuators on a serial port cannot be used", ("Linux", "Darwin")),
)
NODE_GENERATE, NODE_GATE = 20, 22
"""Allure 3 generates a report from Node 20 on; its quality gate wants 22."""
_NODE_SECONDS, _NPM_SECONDS = 10.0, 30.0


def python(scene: Scene) -> Iterator[Finding]:
    """The interpreter."""
    version = ".".join(map(str, scene.python))
    if scene.python < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        yield must("software.python", f"Python {version} is too old", f"use Python {wanted} or newer")
        return
    yield ok("software.python", f"Python {version}")


def optional_packages(scene: Scene) -> Iterator[Finding]:
    """The optional parts of hil."""
    for package, without, systems in OPTIONAL:
        if scene.system not in systems:
            continue
        check = f"software.{package}"
        if package in scene.packages:
            yield ok(check, f"{package} {scene.packages[package]}")
        else:
            yield advice(check, f"{package} is not installed: {without}", f"pip install '{_requirement(package)}'")


def plugins(scene: Scene) -> Iterator[Finding]:
    """Plugins of pytest that do not work with this pytest."""
    pytest_version = scene.packages.get("pytest", "")
    if _numbers(pytest_version) < (9, 2):
        return
    xdist = scene.packages.get("pytest-xdist", "")
    if xdist and _numbers(xdist) < (3, 9):
        yield advice(
            "software.pytest-xdist",
            f"pytest-xdist {xdist} with pytest {pytest_version} silently ignores xdist_group, and runs a test that "
            "crashes again on every worker",
            "run one pytest process a bench, without -n; or pip install 'pytest<9.2'",
        )
    for package in ("pytest-forked", "pytest-isolate"):
        if package in scene.packages:
            yield advice(
                f"software.{package}",
                f"{package} {scene.packages[package]} does not work with pytest {pytest_version}",
                f"pip uninstall {package}: hil runs each device in a process of its own",
            )


def pynvml(scene: Scene) -> Iterator[Finding]:
    """The package that is only called like NVML's bindings."""
    if "pynvml" in scene.packages:
        yield advice(
            "software.pynvml",
            f"the package pynvml {scene.packages['pynvml']} is deprecated and shadows or only forwards to nvidia-ml-py",
            "pip uninstall pynvml; pip install --force-reinstall nvidia-ml-py",
        )


def pip(scene: Scene) -> Iterator[Finding]:
    """A pip that knows dependency groups."""
    version = scene.packages.get("pip", "")
    if version and _numbers(version) < (25, 1):
        yield advice(
            "software.pip",
            f"pip {version} knows no --group, which installs what contributors need",
            "python -m pip install --upgrade pip",
        )


def node(scene: Scene) -> Iterator[Finding]:
    """Node, which Allure's report generator runs on, and what its packages fight for."""
    check, how = "software.node", "install Node 22 or newer (https://nodejs.org)"
    try:
        done = scene.here.run(["node", "--version"], timeout=_NODE_SECONDS)
    except (OSError, HilError):
        yield advice(check, "Node is not installed: an Allure report cannot be generated here", how)
        return
    version = done.stdout.decode("utf-8", "replace").strip()
    major = _numbers(version.removeprefix("v"))[:1]
    if not major or done.returncode:
        yield advice(check, f"`node --version` did not tell its version ({version or 'no output'})", how)
    elif major < (NODE_GENERATE,):
        yield advice(check, f"Node {version} is too old to generate an Allure report", how)
    elif major < (NODE_GATE,):
        yield advice(check, f"Node {version} generates Allure reports, but their quality gate needs {NODE_GATE}", how)
    else:
        yield ok(check, f"Node {version}")
    yield from _two_allures(scene)


def _two_allures(scene: Scene) -> Iterator[Finding]:
    names = {"allure", "allure-commandline"}
    for place, there in (("globally", _global_modules(scene)), (f"in {scene.project}", _project_modules(scene))):
        if names <= there:
            flag = " --global" if place == "globally" else ""
            yield advice(
                "software.allure",
                f"the npm packages allure and allure-commandline are both installed {place}, and own one command",
                f"npm uninstall{flag} allure-commandline",
            )


def _global_modules(scene: Scene) -> set[str]:
    try:
        done = scene.here.run(["npm", "ls", "--global", "--depth=0", "--json"], timeout=_NPM_SECONDS)
        found = json.loads(done.stdout)["dependencies"]
        return set(found)
    except (OSError, HilError, ValueError, KeyError, TypeError):  # no npm, or one that lists nothing
        return set()


def _project_modules(scene: Scene) -> set[str]:
    try:
        return set(scene.here.list(f"{scene.project}/node_modules"))
    except (OSError, HilError):
        return set()


def _requirement(package: str) -> str:
    """The package with the version that hil declares, so that there is one place to keep."""
    declared = metadata.requires("hil") or ()
    plain = re.compile(rf"{re.escape(package)}(?![\w-])[^;]*")
    return next((match[0].strip() for match in map(plain.match, declared) if match), package)


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()
