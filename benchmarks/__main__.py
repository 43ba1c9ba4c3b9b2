"""`python -m benchmarks`: how fast it is, as a table of ratios against a floor measured in the same run.

A shared machine is noisy, so nothing here is a number of seconds to be compared with another day's: the two sides of a
row are run in turns, and the row is the ratio of their medians. `--write` puts the table into docs/speed.md.
"""

import sys
from pathlib import Path

from benchmarks import calls, files, starting, waiting
from benchmarks.rows import table

PAGE = Path(__file__).parent.parent / "docs" / "speed.md"


def main() -> None:
    measured = table([row for part in (starting, calls, waiting, files) for row in part.rows()])
    print(measured)
    if "--write" in sys.argv:
        before, _, rest = PAGE.read_text().partition("<!-- table -->\n")
        _, _, after = rest.partition("<!-- /table -->")
        PAGE.write_text(f"{before}<!-- table -->\n{measured}\n<!-- /table -->{after}")


if __name__ == "__main__":
    main()
