"""The command line: `grulet COMMAND ...` or `python -m grulet COMMAND ...`.

Every command is a module of grulet.commands.  Bad input of any kind is one line on stderr and exit status 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from grulet.errors import GruletError
from grulet.kernel import version

COMMANDS = ("convert", "export", "run", "inspect", "verify", "bench", "bundle", "doctor", "demo")
FAILURE = 2


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of printing the whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILURE, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line."""
    top = _Parser(prog="grulet", description="Run GRU networks on a device: export, check, run and measure them.")
    top.add_argument("--version", action="version", version=f"grulet {version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    for name in COMMANDS:
        module = import_module(f"grulet.commands.{name}")
        summary = (module.__doc__ or "").splitlines()[0]
        command = commands.add_parser(name, help=summary, description=module.__doc__)
        module.add_arguments(command)
        command.add_argument("--json", action="store_true", help="print the result as JSON")
        command.set_defaults(run=module.run)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = parser().parse_args(arguments)
    try:
        result = options.run(options)
        print(json.dumps(result.as_json(), indent=2) if options.json else result, flush=True)
    except GruletError as error:
        return _fail(options.command, error)
    except ModuleNotFoundError as error:
        return _fail(options.command, _missing(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of our output has gone: nothing is wrong
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        return _fail(options.command, f"{error.filename or 'file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        return _fail(options.command, "interrupted; nothing was written")
    return 0


def _missing(error: ModuleNotFoundError) -> str:
    extras = {"torch": "export", "onnx": "export", "onnxruntime": "export", "matplotlib": "plot"}
    extra = extras.get((error.name or "").partition(".")[0])
    if extra is None:
        return f"the Python package {error.name} is missing"
    return f"this needs the package {error.name}: pip install 'grulet[{extra}]'"


def _fail(command: str, problem: Any) -> int:
    line = " ".join(str(problem).split())
    print(f"grulet {command}: {line}", file=sys.stderr)
    return FAILURE


if __name__ == "__main__":
    sys.exit(main())
