"""What the commands of the examples share: whatever goes wrong is one line on stderr and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Callable

from grulet.errors import GruletError


def exit_status(program: str, run: Callable[[], None]) -> int:
    """Run a command; 0, or 2 where its input or the environment would not do."""
    try:
        run()
    except GruletError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(
            f"{program}: this needs the package {error.name}: pip install '.[export,plot]' soundfile", file=sys.stderr
        )
        return 2
    return 0
