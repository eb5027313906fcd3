"""grulet in Python on 64-bit ARM, under emulation: `python tools/arm64_python.py`.

Builds the abi3 wheel with the cross compiler and installs it, with numpy and cffi, into a virtual environment whose
Python is Debian's for arm64.  There it runs `tests/runtime_only.py` and the core of the tests (`CPUS`: of those that
need no more than numpy, cffi, pytest and hypothesis), as a Cortex-A53, which has no dot product, and as a CPU with all
extensions; both at once, in three to four minutes on two cores.  Exit status 1 if anything fails, or if other kernels
are there than the CPU has.

Everything lies under build/arm64, and what is there already is not fetched again:

    sysroot/    Debian's packages, downloaded by an apt with its own configuration and unpacked: nothing is installed
    tests/      the environment; tests/bin/python is a shell script that starts qemu, so that a program that starts
                `sys.executable` works too.  QEMU_CPU in the environment chooses the CPU.

The wheel is dist/grulet-*-linux_aarch64.whl, at the repository's root.

Needs, from Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user cmake.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "build" / "arm64"
SYSROOT = FOLDER / "sysroot"

#: What a Python with numpy needs; its headers come without what they depend on: the cross compiler has its own libc.
RUNTIME = ("python3-minimal", "libpython3-stdlib", "libstdc++6")
#: Wheels that this libc (Debian 12: 2.36) can load.
PLATFORMS = ("linux_aarch64", "manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(17, 37)))

#: CPU -> the kernels that must be there, no others, and what pytest runs: the golden vectors on both; what depends on
#: kernels where all are, and once the reader and writer of files, without the tests that draw hundreds of models.
CPUS = {
    "cortex-a53": ("neon generic", ("test_vectors.py", "test_format.py"), "not (round_trip or two_mutations)"),
    "max": ("i8mm dotprod neon generic", ("test_vectors.py", "test_stream.py"), ""),
}


def run(command: list[str | Path], **environment: str) -> str:
    """What a program prints; ends with its complaint if it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\narm64: failed: {' '.join(words)}")
    return done.stdout


def describe_cpu() -> None:
    """Files from which programs learn what CPU they are on; without them qemu shows those of this machine.

    onnxruntime ends with a segmentation fault where they tell of another kind of CPU.  The core is named as one with
    few instructions; which there are the emulator itself says as well, by QEMU_CPU.
    """
    files = {
        "proc/cpuinfo": "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
        "CPU part\t: 0xd03\nCPU revision\t: 4\n\n",  # a Cortex-A53
        "sys/devices/system/cpu/possible": "0\n",
        "sys/devices/system/cpu/present": "0\n",
        "sys/devices/system/cpu/online": "0\n",
    }
    for name, text in files.items():
        (SYSROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (SYSROOT / name).write_text(text)


def fetch_sysroot() -> None:
    """Download and unpack Debian's Python for arm64, from the mirror that this system's apt uses."""
    if (SYSROOT / "complete").exists():
        return
    apt = FOLDER / "apt"
    packages = apt / "cache" / "archives"
    shutil.rmtree(SYSROOT, ignore_errors=True)
    for folder in (SYSROOT, apt / "state" / "lists" / "partial", packages / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    (apt / "status").write_text("")  # no package is installed
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",  # another could not write here
        "Acquire::Languages": "none",
        "Dir::State": apt / "state",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
    }
    (apt / "conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    config = {"APT_CONFIG": str(apt / "conf"), "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], **config)
    run(["apt-get", "install", "-qq", "--yes", "--download-only", *RUNTIME], **config)
    unpack(packages)
    headers = apt / "headers"
    headers.mkdir(exist_ok=True)
    run(["sh", "-c", f"cd '{headers}' && apt-get download -qq libpython{python_version()}-dev"], **config)
    unpack(headers)
    describe_cpu()
    (SYSROOT / "complete").touch()


def unpack(folder: Path) -> None:
    """All packages of a folder into the sysroot."""
    for package in sorted(folder.glob("*.deb")):
        run(["dpkg-deb", "--extract", package, SYSROOT])


def python_version() -> str:
    """Of the sysroot's Python, such as "3.11"."""
    return os.readlink(SYSROOT / "usr/bin/python3").removeprefix("python")


def build_wheel() -> Path:
    """The wheel for arm64, in dist/: the same build as `make wheel`, with CMake's toolchain file."""
    include = SYSROOT / "usr" / "include"
    settings = {
        "cmake.args": f"-DCMAKE_TOOLCHAIN_FILE={ROOT / 'cmake' / 'aarch64-linux-gnu.cmake'}",
        "cmake.define.CMAKE_C_FLAGS": f"-idirafter {include}",
        "cmake.define.Python_INCLUDE_DIR": include / f"python{python_version()}",
        "env._PYTHON_HOST_PLATFORM": "linux-aarch64",  # what the wheel's tag is made of
    }
    options = [f"--config-settings={name}={value}" for name, value in settings.items()]
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", ROOT / "dist", *options, ROOT])
    return max((ROOT / "dist").glob("grulet-*-linux_aarch64.whl"), key=lambda wheel: wheel.stat().st_mtime)


def environment(name: str, *packages: str | Path) -> Path:
    """The Python of a virtual environment build/arm64/``name`` with these packages, made anew.

    Needs `fetch_sysroot`.  pip of this machine fills it, told which wheels an arm64 Python takes: none is built.
    """
    folder = FOLDER / name
    version, interpreter = python_version(), SYSROOT / "usr" / "bin" / "python3"
    shutil.rmtree(folder, ignore_errors=True)
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\nexec qemu-aarch64 -L '{SYSROOT}' -0 '{python}' '{interpreter}' \"$@\"\n")
    python.chmod(0o755)
    (folder / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\ninclude-system-site-packages = false\n")
    taken = ["--implementation=cp", f"--python-version={version}"]
    taken += [f"--abi={abi}" for abi in (f"cp{version.replace('.', '')}", "abi3", "none")]
    taken += [f"--platform={platform}" for platform in PLATFORMS]
    target = folder / "lib" / f"python{version}" / "site-packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target", target]
    run([*pip, *taken, f"--constraint={ROOT / 'requirements-bench.txt'}", *packages])
    return python


def test_processes(python: Path, cpu: str) -> subprocess.Popen[str]:
    """Start all that is run for one CPU; the first failure ends it."""
    kernels, names, selected = CPUS[cpu]
    tests = [ROOT / "tests" / name for name in names]
    digits = ROOT / "examples" / "spoken_digits" / "digits.grulet"
    commands = (
        [python, "-c", f"import grulet; isas = ' '.join(grulet.isas()); assert isas == {kernels!r}, isas"],
        [python, ROOT / "tests" / "runtime_only.py", digits],
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", selected, *tests],
    )
    lines = [" ".join(f'"{word}"' for word in command) for command in commands]
    return subprocess.Popen(
        ["sh", "-e", "-c", "\n".join(lines)],
        cwd=ROOT,
        env=os.environ | {"QEMU_CPU": cpu},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def main() -> int:
    """Fetch, build, install, test."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--environment",
        nargs="+",
        metavar=("NAME", "PACKAGE"),
        help="no tests: make an environment build/arm64/NAME with grulet and these packages, and print its Python",
    )
    options = parser.parse_args()
    fetch_sysroot()
    wheel = build_wheel()
    print(f"{wheel.relative_to(ROOT)}: {wheel.stat().st_size} bytes", flush=True)
    if options.environment:
        name, *packages = options.environment
        print(environment(name, wheel, *packages))
        return 0
    python = environment("tests", wheel, "pytest", "hypothesis")
    processes = {cpu: test_processes(python, cpu) for cpu in CPUS}
    failed = False
    for cpu, process in processes.items():
        output, _ = process.communicate()
        failed |= process.returncode != 0
        print(f"\n--- 64-bit ARM Python, emulated {cpu}\n{output}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
