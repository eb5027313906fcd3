"""A folder of files that is whole or not there, and that never takes the place of a user's work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grulet.errors import GruletError

MANIFEST = "bundle.json"


def check_folder(folder: Path) -> None:
    """Refuse what `write_folder` would not replace: anything but an empty folder or a bundle as it was written."""
    if not folder.parent.is_dir():
        raise GruletError(f"{folder}: there is no folder {folder.parent}")
    if folder.is_dir() and folder == Path.cwd():
        raise GruletError(f"{folder} is the current folder; name another, which need not exist")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not _unchanged(folder))):
        raise GruletError(
            f"{folder} holds something else than a bundle as grulet wrote it, which could be replaced; "
            "name another folder or remove this one"
        )


def write_folder(folder: Path, files: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    """Write ``files`` (name -> text) and a manifest with ``facts`` in one move; an older bundle is replaced whole."""
    check_folder(folder)
    manifest = dict(facts) | {"files": {name: _sha256(text.encode()) for name, text in files.items()}}
    contents = dict(files) | {MANIFEST: json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"}
    work: Path | None = None
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        (work / "new").mkdir()
        for name, text in contents.items():
            (work / "new" / name).write_bytes(text.encode())
        _exchange(folder, work)
    except OSError as error:
        raise GruletError(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _exchange(folder: Path, work: Path) -> None:
    if folder.exists():
        os.rename(folder, work / "old")
    try:
        os.rename(work / "new", folder)
    except OSError:
        if (work / "old").exists():
            os.rename(work / "old", folder)
        raise


def _unchanged(folder: Path) -> bool:
    try:
        written = json.loads((folder / MANIFEST).read_bytes())["files"]
        found = {path.name: _sha256(path.read_bytes()) for path in folder.iterdir() if path.name != MANIFEST}
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(written == found)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
