"""`python -m benchmarks`: how fast it is, as a table of ratios against a floor measured in the same run.

A shared machine is noisy, so nothing here is a number of seconds to be compared with another day's: the two sides of a
row are run in turns, and the row is the ratio of their medians. `--write` puts the table into docs/speed.md.
`growth` measures the ledger with many purchases, and nothing else.
"""

import sys

from benchmarks import at_once, calls, editing, files, films, growth, sizes, starting, tool_search, waiting
from benchmarks.rows import into_page, table


def main() -> None:
    if "growth" in sys.argv:
        growth.main()
        return
    modules = (starting, sizes, tool_search, calls, at_once, waiting, files, editing, films)
    measured = table([row for module in modules for row in module.rows()])
    print(measured)
    if "--write" in sys.argv:
        into_page("table", measured)


if __name__ == "__main__":
    main()
