"""Rewrite docs/benchmarks.md, the pages of other machines, and their pictures from the results.

python -m benchmarks.report [--results FOLDER --docs FILE.md [--pictures FOLDER]]

With options: only that page, from that folder.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.report.page import Page, write, write_all


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, help="folder of the benchmarks' JSON; goes with --docs")
    parser.add_argument("--docs", type=Path, help="the page; goes with --results")
    parser.add_argument(
        "--pictures", type=Path, help="folder for pictures, below the page's; default: pictures beside it"
    )
    options = parser.parse_args()
    if (options.results is None) != (options.docs is None) or (options.pictures and not options.docs):
        parser.error("--results and --docs go together, --pictures with them")
    try:
        if options.docs is None:
            write_all()
        else:
            write(Page(options.docs, options.results, options.pictures or options.docs.parent / "pictures"))
    except FileNotFoundError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
