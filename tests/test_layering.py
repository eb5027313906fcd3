"""Who may import whom (DESIGN.md, section 3): a device needs numpy and cffi, and one module touches the C extension."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import grulet

PACKAGE = Path(grulet.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "onnx", "onnxruntime", "grulet_export", "matplotlib", "scipy", "soundfile", "tqdm")


def imported(path: Path, *, lazily: bool) -> set[str]:
    """Dotted names of the modules a file imports: at import time, or (``lazily``) anywhere."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not lazily:
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            waiting += node.orelse  # never run
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            package = ".".join(["grulet", *path.relative_to(PACKAGE).parts[: -node.level]]) if node.level else ""
            module = ".".join(part for part in (package, node.module) if part)
            names |= {module} | {f"{module}.{alias.name}" for alias in node.names}
        waiting += ast.iter_child_nodes(node)
    return names


def imports(path: Path, module: str, *, lazily: bool) -> bool:
    """Whether the file imports this module or a part of it."""
    return any(name == module or name.startswith(module + ".") for name in imported(path, lazily=lazily))


def relative(paths: list[Path]) -> list[str]:
    """Paths inside the package."""
    return [path.relative_to(PACKAGE).as_posix() for path in paths]


def test_import_grulet_is_light() -> None:
    """`import grulet` loads none of the workstation's libraries."""
    code = f"import sys, grulet; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_a_start_is_light(tmp_path: Path) -> None:
    """Import, load, step and a pool's step load no more of grulet than they need: a device waits for this."""
    from programs import small_file

    path = tmp_path / "net.grulet"
    path.write_bytes(small_file())
    code = """
import sys
import numpy as np
import grulet
model = grulet.load(sys.argv[1])
model.stream().step(np.zeros(5, np.float32))
model.pool(2).step(np.zeros((2, 5), np.float32))
print(sorted(name for name in sys.modules if name.startswith("grulet.") and not name.startswith("grulet._kernel")))
"""
    loaded = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    needed = ("errors", "kernel", "model", "pool", "stream", "tables")
    assert loaded.stdout.strip() == str([f"grulet.{name}" for name in needed])


def test_names_that_are_loaded_late() -> None:
    """They are the package's like the others; a wrong name is the usual error."""
    assert grulet.Port.__name__ == "Port"
    assert grulet.OperatorInfo.__name__ == "OperatorInfo"
    assert all(hasattr(grulet, name) for name in grulet.__all__)
    with pytest.raises(AttributeError, match="module 'grulet' has no attribute 'Prot'"):
        grulet.Prot  # noqa: B018


def test_running_a_model_is_light(tmp_path: Path) -> None:
    """Nor does loading, describing, running, saving, restoring or explaining a refusal."""
    from programs import small_file

    path = tmp_path / "net.grulet"
    path.write_bytes(small_file())
    code = f"""
import sys
import numpy as np
import grulet
model = grulet.load(sys.argv[1])
model.describe(), model.metadata
stream = model.stream()
stream.run(np.zeros((3, 5), np.float32))
stream.restore(stream.save())
try:
    grulet.load(b"no model")
except grulet.FormatError:
    print([name for name in {HEAVY} if name in sys.modules])
"""
    loaded = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_only_kernel_imports_the_extension() -> None:
    """Status codes and pointers stop at one module."""
    importers = [path for path in MODULES if imports(path, "grulet._kernel", lazily=True)]
    assert relative(importers) == ["kernel.py"]


@pytest.mark.parametrize("name", ["tables", "operators", "weights", "format", "functions", "reference", "errors"])
def test_format_and_reference_know_numpy_alone(name: str) -> None:
    """The reader and the oracle work where no C library is."""
    allowed = set(sys.stdlib_module_names) | {"numpy"}
    foreign = {
        module for module in imported(PACKAGE / f"{name}.py", lazily=True) if module.partition(".")[0] not in allowed
    }
    own = {module for module in foreign if module.startswith("grulet")}
    assert foreign == own
    known = tuple(f"grulet.{part}" for part in ("format", "functions", "operators", "tables", "weights", "errors"))
    assert all(module == "grulet" or module.startswith(known) for module in own)


def test_format_and_reference_do_not_import_the_extension() -> None:
    """The same seen from outside: with the extension forbidden, a file can still be read and run by the oracle."""
    code = """
import importlib.util, pathlib, sys, types
folder = pathlib.Path(sys.argv[1])
package = types.ModuleType("grulet")
package.__path__ = [str(folder)]
sys.modules["grulet"] = package
sys.modules["grulet._kernel"] = None
import grulet.reference
print(sorted(name for name in sys.modules if name.startswith("grulet.") and name != "grulet._kernel"))
"""
    command = [sys.executable, "-c", code, str(PACKAGE)]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)
    parts = ("errors", "format", "functions", "operators", "reference", "tables", "weights")
    assert loaded.stdout.strip() == str([f"grulet.{part}" for part in parts])


@pytest.mark.parametrize(
    "module", ["grulet_export", "torch", "onnx", "onnxruntime", "matplotlib", "soundfile", "scipy"]
)
def test_no_module_imports_the_workstation_eagerly(module: str) -> None:
    """Commands may import these lazily, inside the function that needs them; nothing may at import time."""
    assert relative([path for path in MODULES if imports(path, module, lazily=False)]) == []


def test_only_numpy_and_cffi_are_required() -> None:
    """At import time the package needs the standard library, numpy, and itself."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "grulet"}
    for path in MODULES:
        tops = {name.partition(".")[0] for name in imported(path, lazily=False)}
        assert tops <= allowed, (path.name, tops - allowed)


def test_layers_below_do_not_know_layers_above() -> None:
    """errors <- tables <- weights <- format <- reference <- kernel <- stream <- pool <- model <- the package."""
    order = ["errors", "tables", "weights", "format", "reference", "kernel", "stream", "pool", "model"]
    for i, name in enumerate(order):
        above = [f"grulet.{other}" for other in order[i + 1 :]]
        found = [module for module in above if imports(PACKAGE / f"{name}.py", module, lazily=True)]
        assert found == [], name
