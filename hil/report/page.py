"""The page: one HTML file with its style, its script and its data in it, which asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from importlib import resources
from typing import Any, Final

STYLES: Final = ("colours.css", "layout.css", "views.css")
SCRIPTS: Final = tuple(
    f"{name}.js" for name in ("elements", "theme", "tonight", "tests", "grid", "chart", "devices", "stories", "page")
)
"""One after the other, in one function: what the first declare, the later ones use."""


def build(found: Mapping[str, Any]) -> str:
    """The page that shows `found` (see `hil.report.contents`), as text to be written as UTF-8."""
    style = "\n".join(_part(name) for name in STYLES)
    script = "(() => {\n'use strict';\n" + "\n".join(_part(name) for name in SCRIPTS) + "\n})();\n"
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    # No text of a device or a log ends the element that holds the data, or begins another.
    data = json.dumps(found, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    parts = {"policy": policy, "style": style, "script": script, "data": data}
    html = _part("page.html")
    before, *rest = html.split("{{")
    pieces = [before]
    for piece in rest:
        name, _, after = piece.partition("}}")
        pieces += [parts[name.strip()], after]
    # What JSON cannot hold as UTF-8, half a character, is shown as a question mark.
    return "".join(pieces).encode("utf-8", errors="replace").decode()


def _part(name: str) -> str:
    return (resources.files("hil") / "reports" / "page" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
