"""What README and docs/ say is so: their commands print what they show, their tables name what there is."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hil.plugin.devices import NEEDS
from hil.sim.faults.base import Fault, Site

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"<!-- (?P<kind>run|file)(?:: (?P<path>\S+))? -->\n```\w+\n(?P<text>.*?)```", re.DOTALL)
VOLATILE = (
    # What differs from run to run, from machine to machine, or with every test that a suite gains.
    (r"because: .*", "because: …"),
    (r"hil \d+(\.\d+)*: ", "hil: "),
    (r"seed[:=] ?\d+", "seed"),
    (r"=+ (.*) in [\d.]+s.*", r"\1"),
    (r"\d+ passed", "passed"),
    (r", \d+ (deselected|skipped)", ""),
    (r" [.sF]+ +\[ *\d+%\]", " ran"),
)


def blocks(page):
    return [match.groupdict() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def stable(line):
    for pattern, text in VOLATILE:
        line = re.sub(pattern, text, line)
    return " ".join(line.split())


def shell(command, home):
    """Run `command` as somebody in a clone of the repository would, on the simulated machine."""
    clean = {key: text for key, text in os.environ.items() if not key.startswith(("HIL_", "PYTEST_", "COV_CORE"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{clean['PATH']}"
    # Home is where a document says `~`; -p no:cacheprovider, so that nothing is left in the repository.
    own = {"HOME": str(home), "PATH": path, "HIL_BENCH": "sim", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        env={**clean, **own},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def written(page, home):
    """Write the files that `page` shows to where it says; its other marked blocks."""
    commands = []
    for block in blocks(page):
        if block["kind"] == "run":
            commands.append(block["text"])
            continue
        path = Path(block["path"].replace("~", str(home), 1))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
    return commands


def missing(shown, printed):
    """Lines of `shown` that are not in `printed`, in that order."""
    left = iter([stable(line) for line in printed.splitlines()])
    wanted = [line for line in map(stable, shown.splitlines()) if line not in ("", "…")]
    return [line for line in wanted if not any(line == there for there in left)]


EXAMPLES = [
    pytest.param(page, text, id=f"{page.stem}: {text.splitlines()[0].removeprefix('$ ')}")
    for page in PAGES
    for text in (block["text"] for block in blocks(page) if block["kind"] == "run")
]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "text"), EXAMPLES)
def test_a_command_prints_what_the_page_shows(page, text, tmp_path):
    written(page, tmp_path)
    command, _, shown = text.removeprefix("$ ").partition("\n")

    done = shell(command, tmp_path)

    assert missing(shown, done.stdout) == [], done.stdout


def test_a_line_that_is_not_printed_is_missed():
    assert missing("one\n…\nthree\n", "one\ntwo\nthree") == []
    assert missing("three\none\n", "one\ntwo\nthree") == ["one"]
    assert missing("== 3 passed in 1.2s ==", "== 1 failed, 5 passed in 9.9s (0:00:09) ==") == ["passed"]


def exit_codes():
    """Rows of docs/exit-codes.md that give an example: code and command."""
    rows = re.findall(r"^\| (\d) \|.*\| `(.+)` \|$", (ROOT / "docs/exit-codes.md").read_text(), re.MULTILINE)
    return [pytest.param(int(code), command, id=command) for code, command in rows]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "command"), exit_codes())
def test_an_example_ends_with_its_exit_code(code, command, tmp_path):
    done = shell(command, tmp_path)

    assert done.returncode == code, done.stdout
    assert "Traceback (most recent call last)" not in done.stdout


def signature(function):
    """As a table of a document writes it: without `self`, and | escaped."""
    told = inspect.signature(function)
    plain = told.replace(parameters=list(told.parameters.values())[1:])
    return f"`{function.__name__}{plain}`".replace("'", "").replace("|", r"\|")


def test_every_hook_of_a_fault_is_documented_as_it_is():
    page = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    hooks = [function for name, function in vars(Fault).items() if name.startswith("on_")]
    calls = [function for name, function in vars(Site).items() if not name.startswith("_")]

    assert len(hooks) == page.count("| `on_")
    assert [text for text in map(signature, [*hooks, *calls]) if text not in page] == []


def test_a_hook_is_said_not_to_be_called_if_and_only_if_the_machine_never_calls_it():
    page = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    machine = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "hil/sim").glob("*.py"))
    called = set(re.findall(r"hooks\.\w+\(\s*\"(\w+)\"", machine))

    silent = set(re.findall(r"^\| `on_(\w+)\(.*not called yet", page, re.MULTILINE))

    assert silent == {name[3:] for name in vars(Fault) if name.startswith("on_")} - called


def test_every_parameter_of_the_trigger_is_documented():
    page = (ROOT / "docs/faults.md").read_text(encoding="utf-8")

    assert [name for name in Fault.Parameters.model_fields if f"| `{name}` |" not in page] == []


def test_every_need_and_every_word_is_documented():
    page = (ROOT / "docs/writing-suites.md").read_text(encoding="utf-8")
    words = [path.stem for path in (ROOT / "fixtures").glob("[a-z]*.py")]

    assert [need for need in NEEDS if f"| `{need}` |" not in page] == []
    assert [word for word in words if not re.search(rf"^\| `{word}\b", page, re.MULTILINE)] == []


def keys(value):
    if isinstance(value, dict):
        return set(value) | {key for below in value.values() for key in keys(below)}
    return {key for below in value for key in keys(below)} if isinstance(value, list) else set()


@pytest.mark.parametrize(
    "command", ["list --json --bench sim:linux-two-enclosures", "profiles --json", "doctor --json", "faults --json"]
)
def test_every_key_of_the_json_is_documented(command, tmp_path):
    page = (ROOT / "docs/json.md").read_text(encoding="utf-8")

    facts = json.loads(shell(f"hil {command}", tmp_path).stdout)

    assert [key for key in sorted(keys(facts)) if f"`{key}`" not in page] == []


def test_options_that_the_pages_name_exist(pytester):
    known = pytester.runpytest("--help").stdout.str()
    named = {name for page in PAGES for name in re.findall(r"--hil-[a-z-]+", page.read_text(encoding="utf-8"))}

    assert {name for name in named if name not in known} == set()


def test_links_between_the_pages_lead_somewhere():
    broken = [
        f"{page.name}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]

    assert broken == []


def test_ci_runs_the_command_that_the_readme_gives():
    commands = re.findall(r"^    (python3 -m venv .*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")

    assert len(commands) == 2
    assert commands[1] in script
    assert all(shlex.split(command) for command in commands)
