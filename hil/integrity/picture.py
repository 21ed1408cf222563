"""A picture of a buffer, as SVG: what is wrong where, a colour a kind. Needs nothing but a viewer, light or dark."""

from __future__ import annotations

from xml.sax.saxutils import escape

from hil.integrity.findings import INTACT, Kind, Report, letter
from hil.model import size_text

_COLUMNS = 64
_CELL, _GAP = 10, 1
_LEFT, _TOP = 96, 44
_LINE = 18
_LEGEND_COLUMNS = 4
_WIDTH = _LEFT + _COLUMNS * (_CELL + _GAP) + 12
# Of one lightness and distinct hues, so that each is seen on white and on black; kinds that go together are neighbours.
_COLOURS = dict(
    zip(
        Kind,
        (f"hsl({hue} 70% {light}%)" for light in (50, 70) for hue in range(0, 360, 30)),
        strict=False,  # as many as there are kinds
    )
)
_STYLE = """
text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1f2328; }
.title { font-weight: bold; }
.back { fill: #ffffff; }
.intact { fill: #d8dee4; }
.unexplained { fill: #6e7781; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .back { fill: #0d1117; }
  .intact { fill: #30363d; }
  .unexplained { fill: #8b949e; }
}
"""


def picture(report: Report) -> str:
    """`report` as the text of an SVG file, about 20 KiB.

    Each square is one part of the buffer, rows from the start to the end; its colour says what kind of wrong bytes lie
    in it, and pointing at it shows which bytes it stands for.
    """
    cells = report.cells or INTACT
    size = max(-(-report.nbytes // len(cells)), 1)
    rows = -(-len(cells) // _COLUMNS)
    body = [_text(12, 20, _title(report), "title"), _text(12, 36, f"one square is {size_text(size)}")]
    for row in range(rows):
        y = _TOP + row * (_CELL + _GAP)
        if row % 4 == 0:
            body.append(_text(12, y + _CELL - 1, f"{row * _COLUMNS * size:#x}"))
        body += _row(cells[row * _COLUMNS : (row + 1) * _COLUMNS], row, y, size)
    y = _TOP + rows * (_CELL + _GAP) + _LINE
    legend = _legend(report)
    for number, (paint, name) in enumerate(legend):
        line, column = divmod(number, _LEGEND_COLUMNS)
        x = 12 + column * (_WIDTH - 24) // _LEGEND_COLUMNS
        body.append(f'<rect x="{x}" y="{y + line * _LINE - _CELL + 1}" width="{_CELL}" height="{_CELL}" {paint}/>')
        body.append(_text(x + _CELL + 5, y + line * _LINE, name))
    height = y + -(-len(legend) // _LEGEND_COLUMNS) * _LINE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img">\n<title>{escape(_title(report))}</title>\n<style>{_STYLE}</style>\n'
        f'<rect class="back" width="{_WIDTH}" height="{height}"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _title(report: Report) -> str:
    if report.intact:
        return f"all {size_text(report.nbytes)} are intact"
    main = report.headline
    return f"{report.wrong_bytes} of {report.nbytes} bytes wrong" + (
        f": {main.kind} at {main.offset:#x}" if main else ""
    )


def _row(cells: str, row: int, y: int, size: int) -> list[str]:
    """Squares of one row; neighbours alike are one rectangle, which keeps the file small."""
    drawn = []
    start = 0
    while start < len(cells):
        end = start + 1
        while end < len(cells) and cells[end] == cells[start]:
            end += 1
        first = (row * _COLUMNS + start) * size
        last = (row * _COLUMNS + end) * size - 1
        width = (end - start) * (_CELL + _GAP) - _GAP
        drawn.append(
            f'<rect x="{_LEFT + start * (_CELL + _GAP)}" y="{y}" width="{width}" height="{_CELL}" '
            f"{_paint(cells[start])}>"
            f"<title>{escape(_name(cells[start]))}: {first:#x} … {last:#x}</title></rect>"
        )
        start = end
    return drawn


def _legend(report: Report) -> list[tuple[str, str]]:
    """Colour and name of what is in the picture, and of what was found outside of the buffer."""
    inside = dict.fromkeys(report.cells)
    found = {letter(finding.kind): finding for finding in report.findings}
    marks = [INTACT, *sorted(mark for mark in {*inside, *found} if mark != INTACT)]
    return [(_paint(mark), _name(mark)) for mark in marks]


def _name(mark: str) -> str:
    if mark == INTACT:
        return "intact"
    return next((kind.value for kind in Kind if letter(kind) == mark), "wrong, not examined")


def _paint(mark: str) -> str:
    if mark == INTACT:
        return 'class="intact"'
    colour = next((_COLOURS[kind] for kind in Kind if letter(kind) == mark), None)
    return f'fill="{colour}"' if colour else 'class="unexplained"'


def _text(x: int, y: int, text: str, style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text x="{x}" y="{y}"{named}>{escape(text)}</text>'
