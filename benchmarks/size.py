"""How much there is to install: our wheel, library and kernels, and the packages of the rivals.

    python -m benchmarks.size [--output FILE.json] [--quick]

The library is what CMake builds, linked as a shared library with everything in it and stripped; of a kernel its code
and constants.  A package: all its installed files; beside it those that it requires, and what those require.  --quick
leaves out the wheel, which pip builds.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from pathlib import Path
from typing import Any

from benchmarks.building import compiler_version, library, run, tool
from benchmarks.common import ROOT, AbsentError, command_line

#: What a device installs to run one of these.
PACKAGES = ("grulet", "onnxruntime", "torch", "ai-edge-litert", "openvino", "ncnn")


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that can be had here."""
    archive = library(folder)
    results: dict[str, Any] = {
        "compiler": compiler_version(),
        "objects": object_bytes(archive),
        "shared_library_bytes": shared_library_bytes(folder),
        "packages": {},
        "absent": {},
    }
    if options.quick:
        results["absent"]["wheel"] = "--quick"
    else:
        try:
            results["wheel"] = wheel(folder)
        except (RuntimeError, AbsentError) as error:
            results["absent"]["wheel"] = str(error).splitlines()[0]
    for name in PACKAGES:
        try:
            results["packages"][name] = package(name)
        except importlib.metadata.PackageNotFoundError:
            results["absent"][name] = "is not installed"
    return results


def object_bytes(archive: Path) -> dict[str, int]:
    """Code and constants of every source file."""
    lines = run([tool("size"), str(archive)]).splitlines()[1:]
    found = {}
    for line in lines:
        text, data, _, _, _, name, *_ = line.split()
        found[name.split(".")[0]] = int(text) + int(data)
    return found


def shared_library_bytes(folder: Path) -> int:
    """The whole library as one stripped file."""
    stripped = folder / "stripped.so"
    run([tool("strip"), "-o", str(stripped), str(library(folder, shared=True))])
    return stripped.stat().st_size


def wheel(folder: Path) -> dict[str, Any]:
    """What pip would download."""
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)])
    path = next(folder.glob("grulet-*.whl"))
    return {"name": path.name, "bytes": path.stat().st_size}


def package(name: str) -> dict[str, Any]:
    """Bytes of an installed package, and of all that it requires."""
    requirements = sorted(closure(name) - {name})
    return {
        "version": importlib.metadata.version(name),
        "bytes": None
        if name == "grulet"
        else installed_bytes(name),  # an editable install says nothing: the wheel does
        "required": requirements,
        "required_bytes": sum(installed_bytes(required) for required in requirements),
    }


def installed_bytes(name: str) -> int:
    """All files that pip wrote, what Python compiled left out."""
    files = importlib.metadata.files(name) or []
    paths = [Path(str(file.locate())) for file in files if file.suffix != ".pyc"]
    return sum(path.stat().st_size for path in paths if path.is_file())


def closure(name: str) -> set[str]:
    """Names of a package and of all installed ones that it requires without extras."""
    from packaging.requirements import Requirement

    found: set[str] = set()
    waiting = [name]
    while waiting:
        this = waiting.pop()
        if this in found:
            continue
        try:
            lines = importlib.metadata.requires(this) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        found.add(this)
        for line in lines:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name.lower().replace("_", "-"))
    return found


if __name__ == "__main__":
    command_line(__file__, __doc__, measure)
