"""The JUnit file is a whole document after every test."""

import os
from pathlib import Path
from xml.etree import ElementTree as ET

from hypothesis import given, settings
from hypothesis import strategies as st

from hil.report.junit import Case, Journal


def journal(folder: Path) -> tuple[Journal, Path]:
    path = folder / "deep" / "junit.xml"
    return Journal(path, name="hil", host="bench <1>", time="2026-11-22T09:00:00"), path


def test_every_state_of_the_file_is_a_whole_document(tmp_path):
    written, path = journal(tmp_path)
    counts = []
    for outcome in ("passed", "failed", "error", "skipped"):
        counts.append(len(ET.parse(path).findall(".//testcase")))
        written.add(Case(classname="suites.a", name="t", seconds=0.25, outcome=outcome, message="m", text="long\ntext"))
    written.close()

    root = ET.parse(path).getroot()
    assert counts == [0, 1, 2, 3]
    assert [len(root.findall(f".//{tag}")) for tag in ("failure", "error", "skipped")] == [1, 1, 1]
    assert root.find(".//failure").text == "long\ntext"


def test_what_the_disk_takes_in_parts_is_a_whole_document(tmp_path, monkeypatch):
    whole = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda file, data, at: whole(file, data[:7], at))

    written, path = journal(tmp_path)
    for name in ("a", "b"):
        written.add(Case(classname="suites.a", name=name, seconds=0.25, outcome="passed"))
    written.close()

    assert [case.get("name") for case in ET.parse(path).findall(".//testcase")] == ["a", "b"]


@settings(max_examples=60, deadline=None)
@given(st.text(), st.text(), st.lists(st.tuples(st.text(), st.text()), max_size=3))
def test_any_text_stays_text(tmp_path_factory, name, text, properties):
    written, path = journal(tmp_path_factory.mktemp("junit"))

    written.add(
        Case(
            classname="c", name=name, seconds=0, outcome="failed", message=text, text=text, properties=tuple(properties)
        )
    )
    written.close()

    case = ET.parse(path).find(".//testcase")
    assert len(case.findall("properties/property")) == len(properties)
    assert case.find("failure") is not None
