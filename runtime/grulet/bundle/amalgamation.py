"""One C file out of many: private includes are replaced by what they name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

_PRIVATE = re.compile(r'\s*#\s*include\s+"([^"]+)"')
_SYSTEM = re.compile(r"\s*#\s*include\s+<[^>]+>")
_OPENS = re.compile(r"\s*#\s*if")
_CLOSES = re.compile(r"\s*#\s*endif")
_GUARD = re.compile(r"(?:\s|/\*(?:[^*]|\*(?!/))*\*/)*#ifndef (\w+)\s+#define \1\s")


def amalgamate(root: Path, sources: Iterable[str], public: str) -> str:
    """Return the text of ``sources``, paths below ``root``, as one file that includes ``public`` and system headers.

    A header with an include guard comes once, one without (which its includers prepare with macros) as often as it is
    included.  Includes are looked for beside the including file, then in ``root``.
    """
    whole = _Amalgamation(root, public)
    return "".join(whole.file(root / source) for source in sources)


class _Amalgamation:
    def __init__(self, root: Path, public: str) -> None:
        self._root = root
        self._public = public
        self._had: set[str] = set()  # headers that must not come again

    def file(self, path: Path) -> str:
        """A file and all it includes."""
        name = path.relative_to(self._root).as_posix()
        return f"/* ---- {name} {'-' * (109 - len(name))} */\n\n{''.join(self._lines(path))}\n"

    def _lines(self, path: Path) -> Iterator[str]:
        text = path.read_text(encoding="utf-8")
        guard = 1 if _GUARD.match(text) else 0
        depth = 0  # of conditions around a line
        for line in text.splitlines(keepends=True):
            depth += bool(_OPENS.match(line)) - bool(_CLOSES.match(line))
            conditional = depth > guard
            if private := _PRIVATE.match(line):
                yield self._included(path.parent, private[1], conditional)
            elif not _SYSTEM.match(line) or self._first(line.strip(), conditional):
                yield line

    def _included(self, folder: Path, name: str, conditional: bool) -> str:
        if name == self._public:
            return f'#include "{name}"\n' if self._first(name, conditional) else ""
        path = folder / name if (folder / name).is_file() else self._root / name
        if _GUARD.match(path.read_text(encoding="utf-8")) and not self._first(str(path), conditional):
            return ""
        return "\n" + self.file(path)

    def _first(self, header: str, conditional: bool) -> bool:
        """Whether it has to come here; under a condition it may have to come again."""
        if header in self._had:
            return False
        if not conditional:
            self._had.add(header)
        return True
