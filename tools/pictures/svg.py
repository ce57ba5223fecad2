"""Draws a terminal's screen, as `tmux capture-pane -e -p` prints it, as SVG.

The argument is the title, which is also what a screen reader says.
"""

import re
import sys
from html import escape

CELL, LINE, MARGIN = 8, 18, 12
COLOURS = ["#4b5563", "#f87171", "#86efac", "#fde047", "#93c5fd", "#f0abfc", "#67e8f9", "#e5e7eb"]
BACKGROUND, FOREGROUND = "#111827", "#e5e7eb"


def change(state, codes):
    """Does what the numbers of an escape sequence (SGR) say."""
    codes = [int(code or 0) for code in codes.split(";")]
    while codes:
        code = codes.pop(0)
        if code == 0:
            state.update(colour=None, bold=False, underlined=False, reverse=False)
        elif code in (38, 48) and codes[:1] == [5]:
            if code == 38:
                state["colour"] = COLOURS[codes[1] % 8]
            codes = codes[2:]
        elif code in (1, 4, 7):
            state[{1: "bold", 4: "underlined", 7: "reverse"}[code]] = True
        elif code == 39:
            state["colour"] = None
        elif 30 <= code <= 37 or 90 <= code <= 97:
            state["colour"] = COLOURS[code % 10]


def spans(line, state):
    """Yields (column, text, state) of a line. `state` goes on from line to line, as a terminal's does."""
    column = 0
    for codes, text in re.findall(r"(?:\x1b\[([\d;]*)m)|([^\x1b]+)", line):
        if not text:
            change(state, codes)
            continue
        yield column, text, dict(state)
        column += len(text)


def style(state):
    """The attributes of a text."""
    colour = BACKGROUND if state["reverse"] else state["colour"]
    return ((f' fill="{colour}"' if colour else "") + (' font-weight="bold"' if state["bold"] else "")
            + (' text-decoration="underline"' if state["underlined"] else ""))


def main():
    title = escape(sys.argv[1])
    lines = sys.stdin.read().rstrip("\n").split("\n")
    state = {}
    change(state, "0")
    drawn = [list(spans(line, state)) for line in lines]
    width = max(column + len(text.rstrip()) for line in drawn for column, text, _ in line) * CELL
    width, height = width + 2 * MARGIN, len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
          f'viewBox="0 0 {width} {height}" role="img" aria-label="{title}">')
    print(f'<title>{title}</title>\n<rect width="100%" height="100%" rx="6" fill="{BACKGROUND}"/>')
    print('<g font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" '
          f'font-size="13" fill="{FOREGROUND}" xml:space="preserve">')
    for row, line in enumerate(drawn):
        for column, text, state in line:
            x, y = MARGIN + column * CELL, MARGIN + row * LINE
            if state["reverse"]:
                print(f'<rect x="{x}" y="{y - 1}" width="{len(text) * CELL}" height="{LINE}" '
                      f'fill="{state["colour"] or FOREGROUND}"/>')
            else:
                text = text.rstrip()
            if text:
                # The length given keeps columns in line whatever font there is.
                print(f'<text x="{x}" y="{y + 13}" textLength="{len(text) * CELL}"{style(state)}>'
                      f'{escape(text)}</text>')
    print("</g>\n</svg>")


main()
