"""The README's examples run as they stand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(blocks("python"))))
def test_python_example(number: int, tmp_path: Path) -> None:
    """It runs in the repository's folder; the output that the README shows behind ``# ->`` comes."""
    code = blocks("python")[number]
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for shown in re.findall(r"# -> (.*)", code):
        assert shown in done.stdout


def test_c_example(tmp_path: Path) -> None:
    """It compiles with the README's own command and steps the digits model."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    (code,) = blocks("c")
    (command,) = re.findall(r"\$ (cc .*)", README)
    (tmp_path / "main.c").write_text(code)
    for folder in ("c_src", "examples"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    subprocess.run(command, shell=True, check=True, cwd=tmp_path)
    (run,) = re.findall(r"\$ (\./main .*)", README)
    done = subprocess.run(run, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    answers = [float(line.split()[-1]) for line in done.stdout.splitlines()]
    assert len(answers) == 3


def test_files_that_the_readme_links_exist() -> None:
    """No dead link into the repository."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link
