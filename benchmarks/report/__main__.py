"""Rewrite docs/benchmarks.md and its pictures from the results.

python -m benchmarks.report [--results FOLDER] [--docs FILE.md] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.common import RESULTS, ROOT
from benchmarks.report.page import write

DOCS = ROOT / "docs" / "benchmarks.md"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the benchmarks' JSON")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the page")
    parser.add_argument(
        "--pictures", type=Path, help="folder for pictures, below the page's; default: pictures beside it"
    )
    options = parser.parse_args()
    try:
        write(options.results, options.docs, options.pictures or options.docs.parent / "pictures")
    except FileNotFoundError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
