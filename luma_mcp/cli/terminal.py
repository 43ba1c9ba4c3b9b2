"""The output of commands for a person: headings, tables, and progress lines that change in place.

Colours and changing lines are for a terminal only, and NO_COLOR (no-color.org) turns the colours off.
"""

import os
import shutil
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Literal, TextIO

Colour = Literal["red", "green", "yellow", "bold"]
_CODES: dict[Colour, str] = {"red": "31", "green": "32", "yellow": "33", "bold": "1"}
_GAP = 2
_MIN_COLUMN_WIDTH = 20
_CLEAR_LINE = "\r\x1b[2K"


def width() -> int:
    """The columns of the terminal; 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns


def is_terminal(stream: TextIO | None = None) -> bool:
    """Return whether a stream, stdout if none is named, is a terminal, in which a line may change."""
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str, colour: Colour) -> str:
    """The text in a colour, where there may be one."""
    if not is_terminal() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m"


def heading(text: str) -> None:
    """Print a heading, with a line to the edge."""
    print(f"\n{coloured(text, 'bold')} {'─' * max(3, min(width(), 100) - len(text) - 1)}")


def table(rows: Sequence[Sequence[str]], colours: Sequence[Colour | None] = ()) -> None:
    """Print rows in columns. The last column is wrapped where the terminal ends, between words.

    A word of it that is too long for its column, such as the name of a file, stands whole in the line below.

    Args:
        rows: the texts.
        colours: the colour of the first text of each row.
    """
    sizes = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    indent = sum(sizes) + _GAP * len(sizes)
    for number, row in enumerate(rows):
        cells = [text.ljust(size) for text, size in zip(row, sizes, strict=False)]
        colour = colours[number] if colours else None
        if colour is not None:
            cells[0] = coloured(cells[0], colour)
        room = max(_MIN_COLUMN_WIDTH, width() - indent)
        lines = textwrap.wrap(row[-1], room, break_on_hyphens=False, break_long_words=False) or [""]
        first, *others = lines if len(lines[0]) <= room else ["", *lines]
        print((" " * _GAP).join([*cells, first]).rstrip())
        for line in others:
            print(" " * (indent if len(line) <= room else _GAP) + line)


class Progress:
    """The states of several generations. In a terminal one line changes; elsewhere each is printed when it ends.

    Args:
        names: what they are.
        stream: where they are printed; None for stdout.
    """

    def __init__(self, names: Sequence[str], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        self._states = dict.fromkeys(names, "queued")
        self._started = time.monotonic()
        self._ended: set[str] = set()

    def update(self, name: str, state: str, *, is_over: bool) -> None:
        """Show a new state of one of them."""
        self._states[name] = state
        is_new = is_over and name not in self._ended
        if is_terminal(self._stream):
            print(_CLEAR_LINE, end="", file=self._stream)
        if is_new:
            self._ended.add(name)
            print(f"{name}: {state} after {time.monotonic() - self._started:.0f} s", file=self._stream)
        running = [f"{other}: {value}" for other, value in self._states.items() if other not in self._ended]
        if is_terminal(self._stream) and running:
            print(", ".join(running)[: width() - 1], end="", flush=True, file=self._stream)
