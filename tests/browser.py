"""Debian's Chromium, headless, for tests of pages: what it shows, complains of and asks for."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
PROGRAMS = ("chromium", "chromedriver")


def missing() -> str:
    """What keeps a browser from being driven here; empty if nothing does."""
    found = [program for program in PROGRAMS if shutil.which(program) is None]
    if find_spec("selenium") is None:
        found.append("selenium")
    return f"not installed: {', '.join(found)}" if found else ""


@contextmanager
def browser(profile: Path):
    """A driven browser with the new, empty folder `profile` for what it keeps."""
    reason = missing()
    if reason:
        if os.environ.get("HIL_ALL_PROGRAMS"):
            pytest.fail(f"{reason}, and HIL_ALL_PROGRAMS says that all programs are")
        pytest.skip(reason)
    from selenium import webdriver  # noqa: PLC0415  (not everybody has it)

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def sized(driver, width: int, height: int = 900) -> None:
    """Let the page have this many CSS pixels."""
    facts = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", facts)


def prefers(driver, scheme: str, *, media: str = "") -> None:
    """Let the system be ``light`` or ``dark``, and the page be shown on a `media` other than the screen."""
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})


def press(driver, *keys: str) -> None:
    """Press keys one after the other, by selenium's names of them."""
    from selenium.webdriver import ActionChains, Keys  # noqa: PLC0415

    for key in keys:
        ActionChains(driver).send_keys(getattr(Keys, key)).perform()


def requested(driver) -> list[str]:
    """Addresses that pages asked for since this was last called."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


def complaints(driver) -> list[str]:
    """What the console has shown since this was last called."""
    return [entry["message"] for entry in driver.get_log("browser")]


CONTRASTS = """
const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const parsed = (text) => {
  const parts = (text.match(/[\\d.]+/g) || []).map(Number);
  return parts.length === 3 ? [...parts, 1] : parts;
};
const over = (front, back) => [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3]));
const ground = (element) => {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const colour = parsed(getComputedStyle(at).backgroundColor);
    if (colour.length === 4 && colour[3] > 0) layers.push(colour);
    if (colour[3] === 1) break;
  }
  return layers.reverse().reduce((back, front) => over(front, back), [255, 255, 255]);
};
const found = [];
for (const element of document.body.querySelectorAll('*')) {
  const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const box = element.getBoundingClientRect();
  const style = getComputedStyle(element);
  if (!own || !box.width || !box.height || style.visibility === 'hidden' || style.backgroundImage !== 'none') continue;
  if (['SCRIPT', 'STYLE', 'NOSCRIPT', 'title'].includes(element.tagName)) continue;
  const back = ground(element);
  const ink = over(parsed(element.namespaceURI.endsWith('svg') ? style.fill : style.color), back);
  const [high, low] = [light(ink), light(back)].sort((a, b) => b - a);
  const ratio = (high + 0.05) / (low + 0.05);
  found.push([ratio, `${element.tagName}.${element.getAttribute('class')}: ${element.textContent.slice(0, 40)}`]);
}
return found;
"""
"""Script that finds the contrast (WCAG 2.2, 1.4.3) of every text that is shown: ratio, and where."""
