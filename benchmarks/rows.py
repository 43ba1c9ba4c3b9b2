"""The rows of the table, and the comparison of two sides."""

import statistics
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent.parent / "docs" / "speed.md"


@dataclass(frozen=True)
class Row:
    """A measurement beside its floor, both of the same run."""

    what: str
    ours: str
    floor: str = "-"
    ratio: str = "-"
    goal: str = ""


def ratio(ours: list[float], floor: list[float]) -> str:
    return f"{statistics.median(ours) / statistics.median(floor):.2f}x"


def spread(seconds: list[float]) -> str:
    """The median, and the range from the fastest to the slowest quarter, in milliseconds."""
    first, median, third = (item * 1000 for item in statistics.quantiles(seconds, n=4))
    digits = 0 if median >= 20 else 2
    return f"{median:.{digits}f} ms ({first:.{digits}f}-{third:.{digits}f})"


def table(rows: list[Row]) -> str:
    """As Markdown."""
    head = ("what", "ours", "floor", "ratio", "goal")
    return grid([head, *((row.what, row.ours, row.floor, row.ratio, row.goal) for row in rows)])


def grid(lines: list[tuple[str, ...]]) -> str:
    """Lines of cells as a table in Markdown; the first is its head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    written = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([written[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *written[1:]])


def into_page(mark: str, text: str, page: Path = PAGE) -> None:
    """Put a text into a page, between the marks of that name."""
    before, _, rest = page.read_text().partition(f"<!-- {mark} -->\n")
    _, _, after = rest.partition(f"<!-- /{mark} -->")
    page.write_text(f"{before}<!-- {mark} -->\n{text}\n<!-- /{mark} -->{after}")


def peak_mb() -> float:
    """The most memory that this process has held, in MB.

    From the kernel's own page, since what getrusage says of a child begins at the peak of the process that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
