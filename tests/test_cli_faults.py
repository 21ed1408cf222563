"""``hil faults``: every registered fault, a third party's too; docs/faults.md and the draws keep up with them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hil import registry
from hil.cli import main
from hil.cli.coverage import catalogue
from hil.sim import profile
from hil.sim.faults import choice
from hil.sim.faults.base import Trigger

ROOT = Path(__file__).parents[1]
DOMAINS = {"link", "pcie", "dma", "memory", "driver", "thermal", "hot plug", "reset", "host"}
ENTRIES = catalogue.chosen(())
each_fault = pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
LAB = """
from enum import StrEnum
from typing import Annotated, Literal
from pydantic import Field
from hil.sim.faults.base import Fault, Trigger

class Side(StrEnum):
    LEFT = "left"
    RIGHT = "right"

class MeltsParameters(Trigger):
    side: Annotated[Side | None, Field(description="where")] = None
    mode: Literal["slow", "fast"] = "slow"
    after_s: Annotated[float, Field(gt=0, description="s until it melts; inf = never")] = float("inf")
    share: Annotated[float, Field(gt=0, le=1, description="of the solder")] = 0.5
    rate: Annotated[float, Field(ge=0, lt=1, description="of it a second")] = 0
    colder: Annotated[float, Field(lt=1, description="than now")] = 0
    times: Annotated[int | None, Field(ge=1, description="how often at the most")] = 1

class Melts(Fault):
    name = "melts"
    domain = "thermal"
    story = "The solder melts."
    seen_by = "driver"
    unscored = "an oven"
    Parameters = MeltsParameters
"""


def hil(capsys, *arguments):
    main_error = None
    try:
        main(list(arguments))
    except SystemExit as end:
        main_error = end.code
    told = capsys.readouterr()
    return main_error or 0, told.out, told.err


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A package of a lab's own that registers one fault that works and one that does not."""
    (tmp_path / "lab_melting.py").write_text(LAB)
    info = tmp_path / "lab_faults-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-faults\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[hil.faults]\nmelts = lab_melting:Melts\ntorn-wire = lab_nowhere:TornWire\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    registry._points.cache_clear()
    yield
    registry._points.cache_clear()


def test_every_registered_fault_is_told_with_the_ranges_and_defaults_of_its_parameters(capsys):
    code, out, err = hil(capsys, "faults", "--json")
    faults = {fault["name"]: fault for fault in json.loads(out)["faults"]}

    assert (code, err) == (0, "")
    assert sorted(faults) == registry.names(choice.GROUP)
    assert {fault["domain"] for fault in faults.values()} <= DOMAINS
    for fault in faults.values():
        assert list(fault) == ["name", "domain", "story", "seen_by", "control", "unscored", "parameters"]
        assert {"probability", "seed"} <= {parameter["name"] for parameter in fault["parameters"]}
    probability = next(p for p in faults["bit-flip"]["parameters"] if p["name"] == "probability")
    assert probability == {
        "name": "probability",
        "type": "number",
        "default": 1.0,
        "minimum": 0,
        "maximum": 1,
        "description": "chance at each opportunity",
    }


def test_json_knows_no_infinity(capsys):
    _, out, _ = hil(capsys, "faults", "--json")

    assert json.loads(out, parse_constant=pytest.fail)


def test_text_tells_a_fault_by_domain_with_its_story_and_what_it_takes(capsys):
    code, out, _ = hil(capsys, "faults")

    assert code == 0
    assert {line.rstrip(":") for line in out.splitlines() if re.match(r"\w", line)} <= DOMAINS | {"every fault"}
    assert "  bit-flip (seen by transfer" in out
    assert "      bits=1  whole number 1 … 64: bits flipped in a chunk" in out
    assert "      direction=none  H2D, D2H, D2D: " in out
    assert ", a negative control" in out
    assert out.count("at the n-th opportunity and no other") == 1  # told once, for all of them


def test_a_fault_of_another_package_is_listed_and_a_broken_one_named_on_standard_error(lab, capsys):
    code, out, err = hil(capsys, "faults")

    assert code == 0
    assert "  melts (seen by driver, not scored yet: an oven)\n    The solder melts.\n" in out
    assert "      side=none  left, right: where" in out
    assert "      mode=slow  slow, fast: " in out
    assert "      after_s=inf  number above 0: s until it melts; inf = never" in out
    assert "      share=0.5  number above 0 … 1: of the solder" in out
    assert "      rate=0  number 0 … below 1: of it a second" in out
    assert "      colder=0  number below 1: than now" in out
    assert "      times=1  whole number from 1: how often at the most" in out
    assert "torn-wire" not in out
    assert "hil: fault 'torn-wire'" in err
    assert "lab_nowhere" in err


@each_fault
def test_the_documents_table_has_a_row_with_the_faults_own_parameters(entry):
    page = (ROOT / "docs/faults.md").read_text(encoding="utf-8")
    row = next((line for line in page.splitlines() if line.startswith(f"| `{entry.name}` |")), "")
    own = entry.kind.Parameters.model_fields.keys() - Trigger.model_fields.keys()

    assert [name for name in own if f"`{name}`" not in row] == [], row or f"docs/faults.md has no row of {entry.name}"
    assert row


@each_fault
def test_a_fault_draws_what_it_takes_from_mild_to_severe(entry):
    drawn = [catalogue.draw(entry, number, 20, seed) for number in range(20) for seed in (0, 1)]

    assert [one for one in drawn if not one.text.startswith(f"{entry.name}:")] == []
    # What is left out says why in words.
    assert {type(one.below_sight) for one in drawn} == {str}
    assert not all(one.below_sight for one in drawn)


@each_fault
def test_a_fault_says_of_itself_what_a_score_needs(entry):
    kind = entry.kind

    assert kind.name == entry.name
    assert kind.seen_by in {"driver", "transfer", "throughput"}
    assert re.compile(kind.shows_as, re.IGNORECASE)
    assert set(entry.profiles) <= set(profile.shipped())
