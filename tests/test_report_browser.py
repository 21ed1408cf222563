"""The page in a real browser: every view opens, no network is asked, everybody can read and reach all of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from browser import CONTRASTS, browser, complaints, prefers, press, requested, sized
from report_rig import DEVICE, KEY, finished, history, record, steady

from hil.history import open_history
from hil.integrity import fill, verify
from hil.integrity import picture as drawn
from hil.report.contents import contents
from hil.report.lines import judged
from hil.report.nights import load, record_files
from hil.report.page import build
from hil.report.sensors import sensors_chart
from hil.watch import TelemetrySample

pytestmark = pytest.mark.slow
HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\u202etxet"
HOSTILE_PICTURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20" onload="parent.hacked = 1">'
    '<script>parent.hacked = 1</script><image href="http://192.0.2.1/x.png" width="9" height="9"/></svg>'
)
LEAST = 4.5


def picture() -> str:
    buffer = np.zeros(1 << 16, dtype=np.uint8)
    fill(buffer)
    buffer[4096:8192] = 0
    return drawn(verify(buffer))


def warming() -> str:
    return sensors_chart("gpu under load", [TelemetrySample(time=float(n), temperature_c=40.0 + n) for n in range(9)])


def build_page(folder, *, hostile: str = ""):
    """Two real benches and a simulated one, with something of everything."""
    records = folder / "records"
    records.mkdir()
    svg = HOSTILE_PICTURE if hostile else picture()
    corrupt = finished(
        "test_bytes", "failed", error="DataCorrupt", hop="copy path", markers=("transfer",),
        message=f"64 KiB are wrong {hostile}",
        evidence=(
            {"name": f"where it is wrong {hostile}", "kind": "svg", "text": svg},
            {"name": "corruption", "kind": "txt", "text": f"at 0x0 {hostile}"},
        ),
    )  # fmt: skip
    rungs = [{"name": f"reopen{hostile}", "tried": True, "ok": False, "seconds": 0.5},
             {"name": "reset", "tried": False, "ok": False, "seconds": 0.0},
             {"name": "replug", "tried": True, "ok": True, "seconds": 4.25}]  # fmt: skip
    hung = finished("test_hang", "failed", error="DeviceHung", hop="driver", message=f"did not come back {hostile}",
                    evidence=({"name": "recovery", "kind": "txt", "text": f"reopen: well again {hostile}"},
                              {"name": "recovery as data", "kind": "json", "text": json.dumps(rungs)}))  # fmt: skip
    warm = finished(
        "test_warm", evidence=({"name": "under load", "kind": "svg", "text": svg if hostile else warming()},)
    )
    for night in range(45):
        bad = [corrupt, hung] if night in (20, 44) else []
        skipped = finished(f"test_skip{hostile}", "skipped", message=f"no cable {hostile}")
        record(records, night, finished(f"test_a{hostile}"), skipped, warm, *bad, bench=f"lab{hostile}")
        record(records, night, finished(), bench="desk", name=f"{night}-desk.jsonl")
        record(records, night, finished(), simulated=True, bench="sim", name=f"{night}-sim.jsonl")
    record(records, 44, bench="cut", ended=False, under_way="suites/driver/test_x.py::test_b")
    keys = [
        (replace(KEY, bench=f"lab{hostile}"), [*steady(35), *steady(10, 3.0e9)]),
        (replace(KEY, bench=f"lab{hostile}", direction="D2D"), steady(45, 460e9)),
        *((replace(KEY, bench=f"lab{hostile}", nbytes=4**n << 20), steady(45)) for n in (0, 1, 2)),
        (replace(KEY, bench="sim", simulated=True), steady(45)),
    ]
    path = history(folder / "h.db", *keys, changed_at=35, driver=f"2.0{hostile}")
    with open_history(path) as opened:
        verdicts = judged(opened)
    notes = [f"left out: {hostile or 'x.jsonl'}"]
    found = contents(load(record_files([records])).visits, verdicts, notes, made="2026-05-01T08:00+00:00")
    page = folder / "index.html"
    page.write_text(build(found), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as driven:
        yield driven


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return build_page(tmp_path_factory.mktemp("page"))


@pytest.fixture
def shown(driver, page):
    return opened(driver, page)


def opened(driver, page):
    """The page, light and wide, with nothing noted of it yet."""
    sized(driver, 1200)
    prefers(driver, "light")
    driver.get("about:blank")
    requested(driver)
    complaints(driver)
    driver.get(page.as_uri())
    return driver


def open_all(driver) -> int:
    """Open every fold and one cell of each kind; how many folds there are."""
    return driver.execute_script(
        """
        const seen = new Set();
        for (const cell of document.querySelectorAll('td.cell')) {
          if (seen.has(cell.className)) continue;
          seen.add(cell.className);
          cell.click();
        }
        let count = -1;
        while (count !== (count = document.querySelectorAll('details').length)) {
          for (const box of document.querySelectorAll('details')) {
            box.open = true;
            (box.draw || box.fillOnce || (() => {}))();
          }
        }
        return count;
        """
    )


def test_every_view_opens_without_a_complaint_or_a_request(shown, page):
    assert shown.execute_script("return document.documentElement.dataset.ready") == "yes"
    assert open_all(shown) > 10
    links = shown.execute_script("return [...document.querySelectorAll('nav a')].map((a) => a.getAttribute('href'))")
    assert len(links) == 11
    assert shown.execute_script("return arguments[0].every((id) => document.querySelector(id))", links)
    assert shown.execute_script("return document.querySelectorAll('figure svg').length") >= 6
    assert complaints(shown) == []
    outside = [url for url in requested(shown) if not url.startswith("data:") and url != page.as_uri()]
    assert outside == []


def test_first_screen_says_that_the_night_is_not_good_and_why(shown):
    first = shown.execute_script("return document.querySelector('#real-tonight h1').textContent")
    assert first.endswith("is NOT good")
    items = shown.execute_script(
        "return [...document.querySelectorAll('#real-tonight .items .card')].map((c) => c.innerText)"
    )
    (regression,) = [item for item in items if "regression" in item]
    assert "driver 1.0 → 2.0" in regression
    height = shown.execute_script(
        "return document.querySelector('#real-tonight .card.regression').getBoundingClientRect().bottom"
    )
    assert height < 900


def texts(shown, selector: str) -> list[str]:
    return shown.execute_script("return [...document.querySelectorAll(arguments[0])].map((e) => e.innerText)", selector)


def test_the_tab_of_the_browser_says_how_the_night_was(shown):
    assert shown.title.startswith("✕ 2026-04-15 NOT good · ✓ 2026-04-15 good (simulated)")


def test_what_happened_to_a_device_night_after_night_is_one_story(shown):
    (story,) = texts(shown, "#real-corruption + .rows > li")
    assert "2 nights since 2026-03-22" in story
    assert "Also on 2026-03-22" in story


def test_the_story_of_a_hang_shows_which_rungs_were_tried_and_which_helped(shown):
    assert texts(shown, "#real-stories + .rows > li > .ladder") == ["reopen ✕ 0.500 s → replug ✓ 4.25 s"]


def test_a_device_shows_its_last_load_in_words_too(shown):
    shown.execute_script(
        "for (const box of document.querySelectorAll('details.device')) { box.draw(); box.open = true; }"
    )
    described = shown.execute_script("return [...document.querySelectorAll('figure img')].map((one) => one.alt)")
    assert described == ["under load: gpu under load: temperature 40 … 48 °C"]


def test_a_size_that_is_slower_than_usual_says_by_how_much(shown):
    labels = shown.execute_script(
        "return [...document.querySelectorAll('.sweep .change-text, .sweep .better-text')].map((e) => e.textContent)"
    )
    assert labels == ["-6.5 %"]


def test_real_and_simulated_are_told_apart(shown):
    natures = shown.execute_script("return [...document.querySelectorAll('.nature')].map((n) => n.textContent)")
    assert natures == ["Real hardware", "Simulated: no hardware was measured"]
    real = shown.execute_script("return document.querySelector('#real-tonight').innerText")
    assert "sim\n" not in real


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(shown, scheme):
    prefers(shown, scheme)
    open_all(shown)
    found = shown.execute_script(CONTRASTS)
    assert len(found) > 100
    assert [(ratio, where) for ratio, where in found if ratio < LEAST] == []


def test_the_switch_is_stronger_than_the_system(shown):
    ground = "return getComputedStyle(document.body).backgroundColor"
    light = shown.execute_script(ground)
    prefers(shown, "dark")
    dark = shown.execute_script(ground)
    shown.find_element("css selector", "#theme option[value=light]").click()
    assert shown.execute_script(ground) == light != dark
    prefers(shown, "light")
    shown.find_element("css selector", "#theme option[value=dark]").click()
    assert shown.execute_script(ground) == dark
    shown.find_element("css selector", "#theme option[value='']").click()


def test_everything_that_can_be_used_or_seen_has_a_name(shown):
    open_all(shown)
    elements = shown.find_elements(
        "css selector", "a, button, select, summary, figure svg, img, [role=region], [role=grid]"
    )
    elements += shown.find_elements("css selector", "td.cell")[:20]
    assert [element.get_attribute("outerHTML")[:90] for element in elements if not element.accessible_name] == []


def test_the_tab_key_reaches_all_that_can_be_used(shown):
    usable = shown.execute_script(
        """
        const all = [...document.querySelectorAll('a, button, select, summary, .scroll, td.cell[tabindex="0"]')];
        const wanted = all.filter((one) => one.checkVisibility() && one.tabIndex >= 0);
        wanted.forEach((one, i) => { one.dataset.wanted = i; });
        return wanted.length;
        """
    )
    reached = set()
    for _ in range(usable + 10):
        press(shown, "TAB")
        reached.add(shown.execute_script("return document.activeElement.dataset.wanted"))
    assert {str(i) for i in range(usable)} <= reached


def test_arrow_keys_move_through_the_nights_and_enter_shows_the_tests(shown):
    where = "return document.activeElement.getAttribute('aria-label') || document.activeElement.className"
    shown.execute_script("document.querySelector('td.cell[tabindex=\"0\"]').focus()")
    first = shown.execute_script(where)
    press(shown, "ARROW_LEFT")
    second = shown.execute_script(where)
    assert first != second
    press(shown, "ARROW_RIGHT", "ARROW_DOWN", "END", "ENTER")
    assert shown.execute_script(where).startswith("opened")
    assert "night of 2026-04-15" in shown.execute_script("return document.activeElement.innerText")


def test_buttons_of_what_changed_lead_to_its_tests_and_its_line(shown):
    shown.execute_script("document.querySelector('.card.regression button').click()")
    assert DEVICE in shown.execute_script("return document.activeElement.innerText")
    shown.execute_script("document.querySelector('.card.failed button').click()")
    assert "night of" in shown.execute_script("return document.activeElement.innerText")


def test_a_test_outside_any_folder_is_found_and_outcomes_are_in_the_order_of_the_summary(driver, tmp_path):
    (records := tmp_path / "records").mkdir()
    root = replace(finished(outcome="failed", message="why"), test="test_root.py::test_a", markers=("folder",))
    record(records, 0, finished("test_b"), finished("test_c", "skipped"), root)
    found = contents(load(record_files([records])).visits, [], [], made="2026-05-01T08:00+00:00")
    (tmp_path / "index.html").write_text(build(found), encoding="utf-8")
    shown = opened(driver, tmp_path / "index.html")

    shown.execute_script("document.querySelector('.card.failed button').click()")

    assert "lab · folder · night of" in shown.execute_script("return document.activeElement.innerText")
    badges = shown.execute_script(
        "return [...document.querySelectorAll('table.stack td:last-child .badge')].map((one) => one.innerText)"
    )
    assert badges == ["1 failed", "1 skipped", "1 passed"]
    assert complaints(shown) == []


@pytest.mark.parametrize("width", [320, 390, 768])
def test_a_small_screen_needs_no_sideways_scrolling(shown, width):
    sized(shown, width, 800)
    shown.refresh()  # charts are drawn for the width that the page opens with
    open_all(shown)
    assert shown.execute_script("return document.documentElement.scrollWidth") <= width


def test_print_leaves_out_what_cannot_be_used_on_paper(shown):
    prefers(shown, "light", media="print")
    assert (
        shown.execute_script("return [...document.querySelectorAll('nav, button')].some((e) => e.checkVisibility())")
        is False
    )
    prefers(shown, "light")


def test_hostile_text_stays_text(driver, tmp_path):
    shown = opened(driver, build_page(tmp_path, hostile=HOSTILE))
    open_all(shown)
    assert shown.execute_script("return window.hacked") is None
    assert shown.execute_script("return document.scripts.length") == 2
    assert shown.execute_script("return [...document.images].every((one) => one.src.startsWith('data:image/svg'))")
    assert shown.execute_script("return document.images.length") > 0
    assert shown.execute_script("return document.body.innerText.includes(arguments[0])", f"lab{HOSTILE}")
    assert [url for url in requested(shown) if url.startswith("http")] == []
    assert complaints(shown) == []


def test_nothing_to_show_is_said(driver, tmp_path):
    page = tmp_path / "empty.html"
    page.write_text(build(contents([], [], [], made="2026-05-01T08:00+00:00")), encoding="utf-8")
    shown = opened(driver, page)
    assert "nothing to show yet" in shown.execute_script("return document.querySelector('h1').textContent")
    assert complaints(shown) == []
