"""What all pictures for reports share: their frame, their texts and lines, and colours for light and for dark."""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 720
_STYLE: Final = (
    ".ground{fill:#fff}.ink{fill:#1a1a1a}.note{fill:#7a4a00}.bad{fill:#b3261e}.dot{fill:#2a6fb0}"
    ".area{fill:#2a6fb0;fill-opacity:.14}.axis{stroke:#d8d8d8}.trace{stroke:#2a6fb0;stroke-width:1.5;fill:none}"
    ".note-line{stroke:#7a4a00;stroke-dasharray:4 3}.bad-line{stroke:#b3261e}"
    # An image follows the colours of the page that shows it, where the browser can; else those of the system.
    "@media (prefers-color-scheme:dark){.ground{fill:#0e1217}.ink{fill:#e7ecf2}.note{fill:#f0c05a}.bad{fill:#ff9a92}"
    ".dot{fill:#8cc2ff}.area{fill:#8cc2ff;fill-opacity:.2}.axis{stroke:#303945}.trace{stroke:#8cc2ff}"
    ".note-line{stroke:#f0c05a}.bad-line{stroke:#ff9a92}}"
)
_BOLD: Final = ' font-weight="bold"'


def document(title: str, height: int, parts: list[str]) -> str:
    """`parts` below `title` as an SVG document, `WIDTH` wide and `height` high."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}"'
    opening = [
        f'{head} font-family="sans-serif" font-size="11" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{height}" class="ground"/>',
    ]
    return "\n".join([*opening, *parts, "</svg>", ""])


def words(
    x: float, y: float, text: str, *, kind: str = "ink", anchor: str = "start", bold: bool = False, whole: str = ""
) -> str:
    """`text` at a place; `whole` is shown when it is pointed at, where it says more."""
    hint = f"<title>{escape(whole)}</title>" if whole and whole != text else ""
    weight = _BOLD if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight} class="{kind}">{escape(text)}{hint}</text>'


def line(x1: float, y1: float, x2: float, y2: float, kind: str = "axis") -> str:
    """A line between two places."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def trace(points: list[tuple[float, float]]) -> str:
    """The course of a value."""
    return f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" class="trace"/>'
