"""The house rules that hold the project up, checked on every file; and the checks themselves."""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]

ROOMS = (
    ("model",),
    ("__init__", "errors", "registry"),
    ("hosts", "sim"),
    *((room,) for room in ("discovery", "pci", "copy", "control", "watch", "integrity", "throughput")),
    *((room,) for room in ("history", "bench", "report", "plugin", "cli")),
)
"""From the ground up: a room imports from rooms above it in this list; those in one row are one room."""
FLOOR = {name: floor for floor, row in enumerate(ROOMS) for name in row}
OUTSIDE = {"fixtures", "suites", "reports", "tests", "benchmarks", "conftest"}
SUITES_MAY_USE = {
    "pytest",
    "allure",
    "fixtures",
    "__future__",
    "collections",
    "dataclasses",
    "math",
    "typing",
}

MODULES = {"subprocess", "ctypes", "serial", "pty"}
NAMES = {
    *(f"time.{name}" for name in ("sleep", "monotonic", "perf_counter", "time")),
    *(f"os.{name}" for name in ("system", "popen", "kill", "killpg", "fork", "posix_spawn", "posix_spawnp")),
    "asyncio.sleep",
}
SOCKETS = {"socket.socket", "socket.create_connection", "socket.create_server"}
OPENERS = {
    *(
        "open",
        "io.open",
        "os.open",
        "os.listdir",
        "os.scandir",
        "os.walk",
        "os.stat",
        "os.readlink",
        "os.access",
    ),
    *("os.path.exists", "os.path.isdir", "os.path.isfile", "glob.glob", "glob.iglob", "pathlib.Path"),
}
SYSTEM_PATH = re.compile(r"/(sys|proc|dev)(/|$)")
ALLOWED = {
    # (path prefix, name): why it is no business of the Host
    ("hil/bench/", "time.monotonic"): "owns the real-time backstop",
    ("hil/bench/", "subprocess"): "device processes are its own children",
    ("hil/bench/", "os.kill"): "device processes are its own children",
    ("hil/bench/", "os.killpg"): "device processes are its own children",
    ("hil/bench/child.py", "ctypes"): "a device process asks the kernel to end it with its controller",
    ("hil/copy/", "ctypes"): "an engine calls its own library",
    ("hil/report/", "subprocess"): "Allure is a child process of the product's own",
    ("hil/cli/coverage/", "time.monotonic"): "limits and times pytest runs, its own children",
    ("hil/cli/coverage/server.py", "os.fork"): "pytest runs are its own children",
    ("hil/cli/coverage/server.py", "os.kill"): "pytest runs are its own children",
    ("hil/cli/coverage/server.py", "os.posix_spawn"): "pytest runs are its own children",
    ("hil/cli/", "subprocess"): "`hil coverage` and `hil demo` run pytest as a child process",
    ("hil/bench/", "time.time"): "stamps the product's own files",
    ("hil/history/", "time.time"): "stamps the product's own files",
    ("hil/report/", "time.time"): "stamps the product's own files",
    ("hil/plugin/", "time.time"): "stamps the product's own files",
    ("hil/cli/", "time.time"): "stamps the product's own files",
}


@dataclass(frozen=True)
class Faults:
    """Every name under which a simulated fault is registered."""

    dashed: frozenset[str]
    classes: frozenset[str]
    modules: frozenset[str]


def registered_faults(pyproject: str) -> Faults:
    points = tomllib.loads(pyproject)["project"]["entry-points"]["hil.faults"]
    places = [place.partition(":") for place in points.values()]
    return Faults(frozenset(points), frozenset(p[2] for p in places), frozenset(p[0] for p in places))


FAULTS = registered_faults((ROOT / "pyproject.toml").read_text())


def imports(path: str, tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Line, dotted target and the local name bound to it, of everything imported anywhere in a file."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, alias.asname or ""
                if not alias.asname:
                    top = alias.name.partition(".")[0]
                    yield node.lineno, top, top
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}", alias.asname or alias.name
        elif isinstance(node, ast.Call) and called(node) in ("import_module", "__import__"):
            yield node.lineno, next((text_of(name, {}) for name in node.args), ""), ""


def called(node: ast.Call) -> str:
    """Last part of the name of what is called; empty where it has none."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


def import_breaches(path: str, tree: ast.AST) -> Iterator[str]:
    """Rule 1: a room imports only from rooms above it; suites use fixtures and hil's public names only."""
    parts = path.removesuffix(".py").split("/")
    here = parts[1] if parts[0] == "hil" else parts[0]
    if parts[0] == "hil" and here not in FLOOR:
        yield f"{path}: {here!r} is no room"
        return
    for line, target, _ in imports(path, tree):
        top, *below = target.split(".")
        room = below[0] if below and below[0] in FLOOR.keys() | OUTSIDE else "__init__"
        if top == "hil" and parts[0] == "hil":
            bad = FLOOR.get(room, len(ROOMS)) > FLOOR[here]
        elif parts[0] == "hil":
            bad = top in OUTSIDE
        elif here == "fixtures":
            bad = top in OUTSIDE - {"fixtures"}
        elif top == "hil":
            # `from hil.model import GIB` is public, `from hil.pci.sysfs import …` reaches behind the door.
            private = len(below) > 2 or room == "sim" or any(name.startswith("_") for name in below)
            bad = private and room != "fixtures"  # the name that our fixtures have once installed
        else:
            bad = top not in SUITES_MAY_USE
        if bad:
            yield f"{path}:{line}: {here} must not import {target}"


def touch_breaches(path: str, tree: ast.AST) -> Iterator[str]:
    """Rule 2: outside the hosts nothing sleeps, runs commands, opens devices or reads the machine."""
    if path.startswith(("hil/hosts/", "hil/sim/")):
        return
    for line, name in sorted({*touching_names(path, tree), *touching_calls(path, tree)}):
        if not any(path.startswith(prefix) and name == allowed for prefix, allowed in ALLOWED):
            yield f"{path}:{line}: {name} belongs to the hosts"


def touching_names(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines that import or name what touches the machine whatever its arguments."""
    known = {local: target for _, target, local in imports(path, tree)}
    for line, target, _ in imports(path, tree):
        if (name := target.removesuffix("_ns")) in NAMES:
            yield line, name
        elif (top := target.partition(".")[0]) in MODULES:
            yield line, top
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (name := dotted(node, known).removesuffix("_ns")) in NAMES:
            yield node.lineno, name


def touching_calls(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Calls that touch the machine by what they are given; as an annotation `socket.socket` is harmless."""
    known = {local: target for _, target, local in imports(path, tree)} | {"open": "open"}
    texts = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = dotted(node.func, known)
        if name in SOCKETS or (name == "usb.core.find" and "backend" not in {k.arg for k in node.keywords}):
            yield node.lineno, name
        elif name in OPENERS and any(SYSTEM_PATH.match(text_of(value, texts)) for value in node.args):
            yield node.lineno, f"{name} of a system path"


def dotted(node: ast.AST, known: dict[str, str]) -> str:
    """Full name of what `node` refers to; empty where it was not imported."""
    if isinstance(node, ast.Attribute):
        return f"{above}.{node.attr}" if (above := dotted(node.value, known)) else ""
    return known.get(node.id, "") if isinstance(node, ast.Name) else ""


def text_of(node: ast.AST, texts: dict[str, ast.expr]) -> str:
    """What a literal, an f-string or a named literal begins with; empty where it cannot be told."""
    if isinstance(node, ast.Name):
        named = texts.get(node.id)
        return "" if named is None else text_of(named, {})
    if isinstance(node, ast.JoinedStr) and node.values:
        return text_of(node.values[0], texts)
    if isinstance(node, ast.BinOp):
        return text_of(node.left, texts)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def fault_breaches(path: str, tree: ast.AST, faults: Faults = FAULTS) -> Iterator[str]:
    """Rule 3: only hil/sim names a simulated fault; a suite that knows what is injected proves nothing."""
    if path.startswith("hil/sim/"):
        return
    # A single word (`throttle`) is the field's own as well; in text only names of several words tell a fault.
    spoken = [name for name in faults.dashed if "-" in name]
    spoken += [name for name in faults.classes if len(re.findall("[A-Z]", name)) > 1]
    in_text = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, spoken)) or '(?!)'})(?![\w-])")
    for line, target, _ in imports(path, tree):
        if any(f"{target}.".startswith(f"{module}.") for module in faults.modules):
            yield f"{path}:{line}: imports the fault {target}"
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) and (named := in_text.search(node.value)):
                yield f"{path}:{line}: text names the fault {named[0]}"
        else:
            names = (getattr(node, field, None) for field in ("id", "attr", "name", "asname", "arg"))
            for name in {name for name in names if isinstance(name, str)} & faults.classes:
                yield f"{path}:{line}: {name} is the name of a fault"


RULES: list[Callable[[str, ast.AST], Iterator[str]]] = [import_breaches, touch_breaches, fault_breaches]


@cache
def house() -> dict[str, ast.AST]:
    """Every file under the rules, by its path from the root."""
    files = (file for folder in ("hil", "fixtures", "suites") for file in (ROOT / folder).rglob("*.py"))
    return {file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(), str(file)) for file in sorted(files)}


def test_the_rules_see_the_whole_house():
    assert {"hil/errors.py", "hil/model/links.py", "hil/hosts/local.py", "hil/copy/base.py"} <= house().keys()
    assert FAULTS.dashed
    assert FAULTS.classes


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rules(rule):
    assert [breach for path, tree in house().items() for breach in rule(path, tree)] == []


def breaches(rule: Callable[..., Iterator[str]], path: str, source: str, *more: Faults) -> list[str]:
    return list(rule(path, ast.parse(source), *more))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("hil/model/links.py", "from hil.errors import HilError"),
        ("hil/hosts/base.py", "import hil.discovery"),
        ("hil/discovery/linux.py", "from hil import bench"),
        ("hil/pci/reset.py", "def f():\n    from hil.control.sysfs import SysfsActuator"),
        ("hil/pci/reset.py", "from ..control import sysfs"),
        ("hil/pci/reset.py", "import importlib\nimportlib.import_module('hil.bench.process')"),
        ("hil/watch/xid.py", "if TYPE_CHECKING:\n    from hil.history import store"),
        ("hil/errors.py", "from hil.hosts import Host"),
        ("hil/bench/process.py", "import fixtures.hotplug"),
        ("hil/cli/demo.py", "from hil.suites import driver"),
        ("hil/cli/demo.py", "import tests"),
        ("hil/misc/things.py", ""),
        ("hil/things.py", ""),
        ("fixtures/transfer.py", "from suites.driver import test_x"),
        ("suites/driver/test_x.py", "import os"),
        ("suites/driver/test_x.py", "from hil.pci.sysfs import read_config"),
        ("suites/driver/test_x.py", "from hil.model import _hints"),
        ("suites/driver/test_x.py", "import hil.sim"),
    ],
)
def test_a_forbidden_import_is_caught(path, source):
    assert breaches(import_breaches, path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("hil/model/links.py", "from hil.model.units import GB\nimport enum"),
        ("hil/registry.py", "from hil.errors import UsageError"),
        ("hil/hosts/simulated.py", "from hil.sim.machine import Machine"),
        (
            "hil/cli/__init__.py",
            "import hil\nfrom hil import __version__, registry\nfrom hil.bench.locks import Lock",
        ),
        ("hil/pci/reset.py", "from . import config\nfrom .config import read\nfrom ..hosts.base import Host"),
        (
            "fixtures/transfer.py",
            "import fixtures.measure\nfrom hil.bench.process import DeviceProcess\nimport numpy",
        ),
        (
            "suites/driver/test_x.py",
            "import pytest\nfrom fixtures.hotplug import Plug\nfrom hil.model import GIB",
        ),
    ],
)
def test_an_allowed_import_passes(path, source):
    assert breaches(import_breaches, path, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(1)",
        "import time as t\nnow = t.perf_counter_ns",
        "from time import monotonic",
        "def f():\n    import time\n    return time.time()",
        "import asyncio\nasyncio.sleep(1)",
        "import subprocess",
        "from subprocess import run",
        "import ctypes.util",
        "import os\nos.system('lspci')",
        "import os\nos.kill(1, 9)",
        "import socket\nsocket.socket(socket.AF_UNIX)",
        "from socket import create_connection as dial\ndial(('a', 1))",
        "import serial",
        "import usb.core\nusb.core.find(idVendor=1)",
        "open('/proc/cpuinfo')",
        "from pathlib import Path\nPath('/sys') / 'bus'",
        "import pathlib\npathlib.Path(f'/dev/{name}')",
        "import os\nPCI = '/sys/bus/pci/devices'\nos.listdir(PCI + '/x')",
    ],
)
@pytest.mark.parametrize("path", ["hil/discovery/linux.py", "fixtures/transfer.py", "suites/driver/test_x.py"])
def test_touching_the_machine_past_the_host_is_caught(path, source):
    assert breaches(touch_breaches, path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("hil/hosts/local.py", "import subprocess, time\ntime.sleep(1)\nopen('/proc/stat')"),
        ("hil/sim/clock.py", "import time\ntime.monotonic()"),
        ("hil/bench/watching.py", "import time\ntime.monotonic_ns()"),
        (
            "hil/discovery/linux.py",
            "host.read('/sys/bus/pci')\nhost.clock.sleep(1)\nserial = host.serial('/dev/x', 9600)",
        ),
        ("hil/discovery/usb.py", "import usb.core\nusb.core.find(backend=host.usb_backend())"),
        ("hil/copy/simulated.py", "import socket\ndef f(sock: socket.socket): ...\nhost.connect('driver')"),
        (
            "hil/history/store.py",
            "from pathlib import Path\nimport time\nopen(Path(name))\ntime.strftime('%Y')",
        ),
    ],
)
def test_the_hosts_and_the_products_own_affairs_pass(path, source):
    assert breaches(touch_breaches, path, source) == []


def test_leave_given_to_one_room_holds_in_no_other():
    source = "import subprocess, time\ntime.sleep(1)\ntime.monotonic()"
    assert len(breaches(touch_breaches, "hil/report/allure.py", source)) == 2
    assert breaches(touch_breaches, "hil/bench/process.py", source) == [
        "hil/bench/process.py:2: time.sleep belongs to the hosts"
    ]


PLANTED = Faults(
    frozenset({"melts-down", "slow"}), frozenset({"MeltsDown", "Slow"}), frozenset({"hil.sim.faults.slow"})
)


@pytest.mark.parametrize(
    "source",
    [
        "x = 'melts-down'",
        '"""Catches melts-down: see the plan."""',
        "x = f'{a} melts-down:after={b}'",
        "x = 'hil.sim.faults.melts_down:MeltsDown'",
        "MeltsDown()",
        "faults.Slow",
        "class MeltsDown: ...",
        "from somewhere import Slow",
        "from hil.sim.faults import slow",
        "import hil.sim.faults.slow as delay",
    ],
)
@pytest.mark.parametrize("path", ["suites/driver/test_x.py", "fixtures/transfer.py", "hil/hosts/simulated.py"])
def test_naming_a_fault_is_caught(path, source):
    assert breaches(fault_breaches, path, source, PLANTED)


@pytest.mark.parametrize(
    "source",
    ["x = 'slow'", "slow = Slower()", "x = 'it melts down'", "x = 'melts-downs'", "x = 'never-melts-down'"],
)
def test_words_of_the_field_are_no_fault_names(source):
    assert breaches(fault_breaches, "suites/driver/test_x.py", source, PLANTED) == []


def test_the_simulated_machine_may_name_its_faults():
    assert breaches(fault_breaches, "hil/sim/faults/melts_down.py", "class MeltsDown: ...", PLANTED) == []


def test_faults_are_gathered_under_all_their_names():
    text = '[project.entry-points."hil.faults"]\nmelts-down = "lab.melting:MeltsDown"\n'
    expected = Faults(frozenset({"melts-down"}), frozenset({"MeltsDown"}), frozenset({"lab.melting"}))
    assert registered_faults(text) == expected
