"""Draws a terminal's screen, as `tmux capture-pane -e -p` prints it, as SVG.

The argument is the title, which is also what a screen reader says.
"""

import re
import sys
from html import escape

CELL, LINE, MARGIN = 8, 18, 12
COLOURS = ["#4b5563", "#f87171", "#86efac", "#fde047", "#93c5fd", "#f0abfc", "#67e8f9", "#e5e7eb"]


def spans(line, state):
    """Yields (column, text, style) of a line. `state` goes on from line to line, as a terminal's does."""
    column = 0
    for codes, text in re.findall(r"(?:\x1b\[([\d;]*)m)|([^\x1b]+)", line):
        if not text:
            for code in [int(code or 0) for code in codes.split(";")]:
                if code == 0:
                    state.update(colour=None, bold=False)
                elif code == 1:
                    state["bold"] = True
                elif code == 39:
                    state["colour"] = None
                elif 30 <= code <= 37 or 90 <= code <= 97:
                    state["colour"] = COLOURS[code % 10]
            continue
        style = f' fill="{state["colour"]}"' if state["colour"] else ""
        style += ' font-weight="bold"' if state["bold"] else ""
        yield column, text, style
        column += len(text)


def main():
    title = escape(sys.argv[1])
    lines = sys.stdin.read().rstrip("\n").split("\n")
    state = {"colour": None, "bold": False}
    drawn = [list(spans(line.rstrip(), state)) for line in lines]
    width = max(column + len(text) for line in drawn for column, text, _ in line) * CELL
    width, height = width + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
          f'viewBox="0 0 {width} {height}" role="img" aria-label="{title}">')
    print(f'<title>{title}</title>\n<rect width="100%" height="100%" rx="6" fill="#111827"/>')
    print('<g font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" '
          'font-size="13" fill="#e5e7eb" xml:space="preserve">')
    for row, line in enumerate(drawn):
        for column, text, style in line:
            # The length given keeps columns in line whatever font there is.
            print(f'<text x="{MARGIN + column * CELL}" y="{MARGIN + 13 + row * LINE}" '
                  f'textLength="{len(text) * CELL}"{style}>{escape(text)}</text>')
    print("</g>\n</svg>")


main()
