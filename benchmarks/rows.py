"""What a row of the table is, and how two sides are compared."""

import statistics
from dataclasses import dataclass
from pathlib import Path


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
    first, median, third = (one * 1000 for one in statistics.quantiles(seconds, n=4))
    digits = 0 if median >= 20 else 2
    return f"{median:.{digits}f} ms ({first:.{digits}f}-{third:.{digits}f})"


def table(rows: list[Row]) -> str:
    """As Markdown."""
    lines = [("what", "ours", "floor", "ratio", "goal")]
    lines += [(row.what, row.ours, row.floor, row.ratio, row.goal) for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    written = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([written[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *written[1:]])


def peak_mb() -> float:
    """The most memory that this process has held, in MB.

    From the kernel's own page, since what getrusage says of a child begins at the peak of the process that started it.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
