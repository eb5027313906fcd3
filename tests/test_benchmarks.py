"""The benchmarks: each runs in quick mode with rivals here and absent, and their page comes from their JSON alone."""

from __future__ import annotations

import itertools
import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # benchmarks is no installed package

from benchmarks.budget import SLACK_PERCENT, Verdict  # noqa: E402
from benchmarks.building import compiler, run  # noqa: E402
from benchmarks.common import affordable, compact, latencies, numbers  # noqa: E402
from benchmarks.floors import floor_of  # noqa: E402
from benchmarks.instructions import cases, judge, of_a_turn  # noqa: E402
from benchmarks.models import ALL_FORMATS, RIVALLED_FORMATS  # noqa: E402
from benchmarks.report.floors import verdict  # noqa: E402
from benchmarks.report.latency import exceptions  # noqa: E402
from benchmarks.report.page import PAGES, Page, load, write  # noqa: E402
from benchmarks.report.sections import SECTIONS  # noqa: E402
from benchmarks.report.style import apart  # noqa: E402
from benchmarks.report.verdicts import TARGETS, comparisons, target_of  # noqa: E402

import grulet  # noqa: E402
from grulet.measuring import measure  # noqa: E402

#: What `python -m benchmarks --quick --results tests/benchmark_results` wrote, with all rivals installed.
SAMPLE = Path(__file__).parent / "benchmark_results"

#: Rivals that are absent in these tests, wherever they run; onnxruntime and torch are there, as in all tests.
BLOCKED = ("ai_edge_litert", "litert_torch", "openvino", "ncnn")
RUN_WITHOUT = """
import runpy, sys
for name in sys.argv.pop(1).split(","):
    sys.modules[name] = None
module = sys.argv.pop(1)
runpy.run_module(module, run_name="__main__", alter_sys=True)
"""

needs_compiler = pytest.mark.skipif(
    not (shutil.which("cc") or shutil.which("gcc")) or not sys.platform.startswith("linux"), reason="needs a C compiler"
)
needs_cmake = pytest.mark.skipif(not shutil.which("cmake"), reason="needs CMake")
needs_valgrind = pytest.mark.skipif(not shutil.which("valgrind"), reason="needs valgrind")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and the library, made once for all tests."""
    return tmp_path_factory.mktemp("benchmarks")


def quick(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run one benchmark in quick mode; its results, after what all JSON files must have."""
    output = folder / f"{name}.json"
    words = ["--quick", "--folder", str(folder), "--output", str(output), *arguments]
    command = [sys.executable, "-c", RUN_WITHOUT, ",".join(BLOCKED), f"benchmarks.{name}", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(output.read_text(encoding="utf-8"))
    assert document["benchmark"] == name
    assert document["quick"] is True
    assert {"date", "seconds", "settings", "machine"} <= document.keys()
    assert {"cpu", "system", "python", "numpy", "grulet", "isa", "cpus"} <= document["machine"].keys()
    assert done.stdout.startswith("## ")
    assert SECTIONS[name]({name: document}) in done.stdout
    if "absent" in document:
        pytest.skip(document["absent"])
    results: dict[str, Any] = document["results"]
    return results


def assert_latency(latency: dict[str, Any]) -> None:
    """Percentiles in order."""
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["worst"]
    assert latency["steps"] > 0


# ---- every benchmark ------------------------------------------------------------------------------------------------


def test_latency(folder: Path) -> None:
    """All contestants at every size; what is absent says why."""
    results = quick("latency", folder, "--sizes", "8,12")
    assert list(results["sizes"]) == ["8", "12"]
    for size in results["sizes"].values():
        contestants = size["contestants"]
        for latency in contestants.values():
            assert_latency(latency)
            assert latency["quantiles"] == sorted(latency["quantiles"])
        assert {"a call of nothing", "read int8", "read f32", "grulet f32, tick"} <= contestants.keys()
        assert {
            "grulet int8 x int16, tick",
            "grulet int8 x int8, step",
            "onnxruntime f32",
            "torch f32",
        } <= contestants.keys()
        assert {"LiteRT int8", "LiteRT f32", "OpenVINO f32", "ncnn int8"} <= size["absent"].keys()
        assert "not installed" in size["absent"]["LiteRT int8"]
    assert len(list(comparisons({"results": results}))) == 2 * len(RIVALLED_FORMATS)


def test_isa(folder: Path) -> None:
    """Every kernel and format."""
    results = quick("isa", folder, "--sizes", "8")
    assert tuple(results["sizes"]["8"]) == tuple(results["isas"]) == grulet.isas()
    for formats in results["sizes"]["8"].values():
        assert list(formats) == [form.title for form in ALL_FORMATS]
        for latency in formats.values():
            assert_latency(latency)


def test_streams(folder: Path) -> None:
    """Ours and the rivals', for every number of streams."""
    results = quick("streams", folder, "--size", "8", "--streams", "2,3")
    assert list(results["counts"]) == ["2", "3"]
    for count, part in results["counts"].items():
        assert {"grulet int8 x int16, pool.tick", "grulet f32, pool.step", "torch f32"} <= part["contestants"].keys()
        for contestant in part["contestants"].values():
            assert contestant["us_per_stream_step"] == pytest.approx(contestant["p50"] / int(count))


def test_sequence(folder: Path) -> None:
    """Ours in several block sizes."""
    results = quick("sequence", folder, "--sizes", "8", "--frames", "20")
    contestants = results["sizes"]["8"]["contestants"]
    assert {"grulet int8 x int16, block 1", "grulet f32, block 32", "onnxruntime f32"} <= contestants.keys()
    for contestant in contestants.values():
        assert contestant["us_per_frame"] == pytest.approx(contestant["p50"] / 20)


@needs_compiler
def test_limits(folder: Path) -> None:
    """More bytes take longer; rates are positive."""
    results = quick("limits", folder, "--sizes", "64,256")
    assert results["clock_ghz"] > 0.01
    assert results["dot"]["giga_multiply_adds"] > 0
    assert results["f32"]["giga_multiply_adds"] > 0
    assert results["read"]["64"]["int8"]["bytes"] == 3 * 64 * 128
    for key in ("us", "in_turns_us"):
        assert results["read"]["256"]["f32"][key] > results["read"]["64"]["int4"][key] > 0


@needs_compiler
@needs_cmake
def test_floors(folder: Path) -> None:
    """Every part of every floor, and the floor is made of them."""
    results = quick("floors", folder, "--sizes", "16,32", "--streams", "2")
    assert list(results["layers"]) == ["int8 x int8", "int8 x int16", "f32"]
    for form, sizes in results["layers"].items():
        assert list(sizes) == ["16", "32"]
        assert results["streams"]["formats"][form]["us_per_stream_step"] > 0
        for layer in sizes.values():
            assert min(layer.values()) > 0
            assert layer["step_us"] > layer["read_us"]
        assert sizes["32"]["products_us"] == pytest.approx(4 * sizes["16"]["products_us"], rel=1e-3)
    assert list(results["calls"]) == ["16", "32"]
    for call in results["calls"].values():
        assert min(call["C call_us"], call["bare tick_us"]) > 0
        assert call["bare tick_us"] < call["bare step_us"]
        assert call["tick_us"] < call["step_us"]
        names = ("tick", "step", "step(out)")
        assert {f"{which}{name} over C_us" for which in ("", "bare ") for name in names} < call.keys()


@needs_compiler
@needs_cmake
def test_calls(folder: Path) -> None:
    """Every kernel, format and size: a step, a read and their ratio."""
    results = quick("calls", folder, "--sizes", "8,12")
    assert tuple(results["kernels"]) == grulet.isas()
    for formats in results["kernels"].values():
        for sizes in formats.values():
            assert list(sizes) == ["8", "12"]
            for call in sizes.values():
                assert call["step_us"] > 0
                assert call["ratios"][0] <= call["ratio"] <= call["ratios"][1]


@needs_compiler
@needs_cmake
def test_cells(folder: Path) -> None:
    """Both cells in every format and size; an LSTM has four sets of rows, a GRU three."""
    results = quick("cells", folder, "--sizes", "16,32")
    assert results["kernel"] == grulet.isas()[0]
    assert list(results["formats"]) == ["int8 x int8", "f32"]
    for sizes in results["formats"].values():
        assert list(sizes) == ["16", "32"]
        for both in sizes.values():
            ratio = both["gru"]["weight_bytes"] / both["lstm"]["weight_bytes"]
            assert both["bytes_ratio"] == pytest.approx(ratio, rel=1e-3) == pytest.approx(0.75, abs=0.02)
            assert both["step_ratios"][0] <= both["step_ratio"] <= both["step_ratios"][1]
            assert both["gru"]["step_us"] > 0


@needs_compiler
@needs_cmake
@needs_valgrind
def test_instructions(folder: Path) -> None:
    """Counts repeat, and grow with the work."""
    results = quick("instructions", folder)
    assert min(results["counts"].values()) > 500
    valgrind = shutil.which("valgrind")
    assert valgrind
    for case in cases(folder, quick=True)[:2]:  # a network and a layer
        count = results["counts"][f"generic: {case.title}"]
        assert of_a_turn(valgrind, folder / "instructions", "generic", case) == pytest.approx(count, rel=0.001)
    lstm, rnn = (results["counts"][f"generic: {cell}, 8 units int8 x int8, step"] for cell in ("LSTM", "RNN"))
    assert lstm > results["counts"]["generic: 8 units int8 x int8, step"] > rnn


def test_coldstart(folder: Path) -> None:
    """The parts are less than the whole."""
    results = quick("coldstart", folder, "--size", "8")
    assert {"numpy alone", "grulet int8 x int16", "onnxruntime f32", "torch f32"} <= results["contestants"].keys()
    for start in results["contestants"].values():
        assert start["import_ms"] + start["load_ms"] + start["first_step_ms"] < start["process_ms"]


@needs_compiler
@needs_cmake
def test_size(folder: Path) -> None:
    """The library's parts and the packages."""
    results = quick("size", folder)
    assert 10_000 < results["shared_library_bytes"] <= 96 * 1024
    assert results["objects"]["grulet_products_generic"] > 1000
    assert results["packages"]["torch"]["bytes"] > 10**8
    assert "numpy" in results["packages"]["grulet"]["required"]


@pytest.mark.parametrize("name", list(SECTIONS))
def test_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every benchmark explains itself; in this process, which has torch already."""
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "benchmarks" / f"{name}.py"), run_name="__main__")
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert f"python -m benchmarks.{name}" in said
    assert "--output" in said


# ---- the page --------------------------------------------------------------------------------------------------------


def test_page_of_the_sample(tmp_path: Path) -> None:
    """All sections, all pictures, no dead link, and the warning that a sample deserves."""
    docs = tmp_path / "docs" / "benchmarks.md"
    write(Page(docs, SAMPLE, docs.parent / "pictures"), PAGES)
    page = docs.read_text(encoding="utf-8")
    assert "these figures mean nothing" in page
    assert page.count("\n## ") == len(SECTIONS) + 3  # the machine, in short, settings
    pictures = re.findall(r"!\[[^]\n]+\]\(([^)]+)\)", page)
    assert len(pictures) == 6
    for picture in pictures:
        assert (docs.parent / picture).read_bytes().startswith(b"\x89PNG")
    for link in re.findall(r"\]\(\.\./([^)]+)\)", page):
        assert (ROOT / link).exists(), link
    for other in PAGES:
        assert f"]({other.docs.name})" in page


def test_page_is_made_from_any_part(tmp_path: Path) -> None:
    """Each benchmark alone, and one that could not be run."""
    for name in SECTIONS:
        results = tmp_path / name
        results.mkdir()
        shutil.copy(SAMPLE / f"{name}.json", results)
        write(Page(results / "page.md", results, results / "pictures"))
    document = json.loads((SAMPLE / "instructions.json").read_text())
    del document["results"]
    document["absent"] = "valgrind is not installed"
    assert "valgrind is not installed" in SECTIONS["instructions"]({"instructions": document})


def test_a_remark_stands_under_its_heading(tmp_path: Path) -> None:
    """What a reader must know of kept results that later ones do without."""
    shutil.copytree(SAMPLE, tmp_path / "results")
    path = tmp_path / "results" / "calls.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"remark": "Taken in the dark."}))
    write(Page(tmp_path / "page.md", tmp_path / "results", tmp_path / "pictures"))
    assert "## The C call alone\n\nTaken in the dark.\n\n" in (tmp_path / "page.md").read_text()


def test_bursts_hold_as_many_backward_sweeps_as_forward_ones(tmp_path: Path) -> None:
    """An even number of calls, two at least, for about 20 us."""
    source, program = tmp_path / "bursts.c", tmp_path / "bursts"
    source.write_text(
        "#define _POSIX_C_SOURCE 200112L\n"
        '#include "timing.h"\n#include <stdio.h>\n'
        "int main(int count, char **each) {\n"
        '    for (int i = 1; i < count; i++) printf("%zu\\n", burst_of(atof(each[i])));\n'
        "    return 0;\n}\n"
    )
    run([*compiler(), f"-I{ROOT / 'benchmarks'}", str(source), "-o", str(program)])
    times = [0.0, 50.0, 999.0, 3999.0, 6665.0, 9999.0, 10001.0, 20000.0, 46e3, 2e6]
    for time, burst in zip(times, map(int, run([str(program), *map(str, times)]).split()), strict=True):
        assert burst % 2 == 0
        assert 2 <= burst <= 2 + 20e3 / (time + 1)


def test_no_results_is_one_line(tmp_path: Path) -> None:
    """Said, not raised."""
    docs = tmp_path / "page.md"
    command = [sys.executable, "-m", "benchmarks.report", "--results", str(tmp_path), "--docs", str(docs)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("which", PAGES, ids=lambda which: which.docs.stem)
def test_docs_are_what_the_results_say(which: Page, tmp_path: Path) -> None:
    """A page in docs/ is what `python -m benchmarks.report` makes of its results, not a word by hand."""
    docs = tmp_path / which.docs.name
    pictures = tmp_path / which.pictures.relative_to(which.docs.parent)
    write(Page(docs, which.results, pictures), [other for other in PAGES if other is not which])
    assert docs.read_text(encoding="utf-8") == which.docs.read_text(encoding="utf-8")
    assert not any(document["quick"] for document in load(which.results).values())


# ---- verdicts --------------------------------------------------------------------------------------------------------


def latency_document(size: int, ours: float, theirs: dict[str, tuple[str, float]]) -> dict[str, Any]:
    """A latency result with one format of ours."""
    contestants: dict[str, dict[str, Any]] = {"read int8": {"kind": "floor", "weights": "int8", "p50": 0.1}}
    for call in ("tick", "step"):
        contestants[f"grulet int8 x int8, {call}"] = {
            "kind": "grulet", "format": "int8 x int8", "weights": "int8", "call": call, "p50": ours,
        }  # fmt: skip
    for name, (weights, time) in theirs.items():
        contestants[name] = {"kind": "rival", "weights": weights, "p50": time}
    return {"results": {"sizes": {str(size): {"contestants": contestants, "absent": {}}}}}


def test_ahead_is_against_the_best_rival_of_such_weights() -> None:
    """A rival's int4 is another thing; its float32, where faster than its int8, is not."""
    rivals = {"A int8": ("int8", 8.0), "B f32": ("f32", 6.0), "C int4": ("int4", 1.0)}
    (item,) = comparisons(latency_document(128, 2.0, rivals))
    assert item.rival == "B f32"
    assert item.ahead == pytest.approx(3.0)
    assert item.exception is None


@pytest.mark.parametrize(
    ("ours", "words"), [(1.0, "ahead by 1.50, 4 was wanted"), (3.0, "**slower**, by a factor of 2.00")]
)
def test_exceptions_are_named(ours: float, words: str) -> None:
    """Both kinds: not as far ahead as wanted, and behind."""
    (item,) = comparisons(latency_document(64, ours, {"A int8": ("int8", 1.5)}))
    assert item.exception is not None
    assert words in item.exception


def test_exceptions_say_what_reading_allows() -> None:
    """Reading takes 0.1 us forwards, four fifths of that in turns; without limits nothing is said of it."""
    document = latency_document(64, 0.2, {"A int8": ("int8", 0.25)})
    limits = {"results": {"read": {"64": {"int8": {"bytes": 24576, "us": 2.0, "in_turns_us": 1.6}}}}}
    (line,) = [line for line in exceptions(document, limits).splitlines() if line.startswith("- ")]
    assert "ahead by 1.25, 4 was wanted; merely reading the weights" in line
    assert line.endswith("is ahead by 3.12")
    assert "reading" not in exceptions(document, None)


def test_without_rivals_nothing_is_claimed() -> None:
    """No factor, no exception."""
    (item,) = comparisons(latency_document(64, 1.0, {}))
    assert item.ahead is None
    assert item.exception is None


def test_targets_fall_with_size() -> None:
    """4 for small models, never slower for large ones."""
    assert [target_of(size) for size in (1, 32, 64, 128, 200, 256, 512, 1024, 4096)] == [4, 4, 4, 2, 2, 1.5, 1.25, 1, 1]
    assert list(TARGETS) == sorted(TARGETS)


@pytest.mark.parametrize(("count", "exceeds"), [(1000, False), (1029, False), (1031, True), (500, False)])
def test_slack_of_the_budget(count: int, exceeds: bool) -> None:
    """3 % and not more; fewer is always fine."""
    assert SLACK_PERCENT == 3
    assert Verdict("case", count, 1000).exceeds is exceeds
    assert Verdict("case", count, None).exceeds


@pytest.mark.parametrize(
    ("compiler", "count", "status", "said"),
    [
        ("gcc 12", 1000, 0, ""),
        ("gcc 12", 1100, 1, "generic: step: 1,100: +10.0 % of 1,000"),
        ("gcc 13", 1100, 0, "WARNING: the budget was counted with gcc 12"),
    ],
)
def test_budget(compiler: str, count: int, status: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Enforced for its own compiler; for another one only said."""
    budget = {"compiler": "gcc 12", "instructions": {"generic: step": 1000}}
    results = {"compiler": compiler, "budget": budget, "counts": {"generic: step": count}}
    assert judge({"quick": False, "results": results}, update=False) == status
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parts", "floor"),
    [((9.0, 3.0, 2.0, 1.0), 9.0), ((1.0, 3.0, 2.0, 1.0), 5.0), ((1.0, 3.0, 2.0, 8.0), 9.5)],
)
def test_floor_is_what_bounds_most(parts: tuple[float, float, float, float], floor: float) -> None:
    """Reading; products and gates; the chain and the products that wait for it."""
    assert floor_of(*parts) == floor


@pytest.mark.parametrize(
    ("ours", "least", "words"), [(2.9, 2.0, "reached."), (3.5, 3.2, "**out of reach**"), (3.5, 2.0, "**not reached**")]
)
def test_what_a_floor_says_of_a_target(ours: float, least: float, words: str) -> None:
    """A target is out of reach only where the floor is above it."""
    assert words in verdict("int8 x int8", 64, {"step_over_read": ours, "floor_over_read": least})


# ---- measuring -------------------------------------------------------------------------------------------------------


def test_measure_spreads_fewer_calls_over_the_run() -> None:
    """Whole rounds, from the first to the last; warmed up; `before` once for every round."""
    log: list[str] = []
    contestants = {name: lambda step, name=name: log.append(name) for name in ("fast", "slow")}
    times = measure(contestants, 100, round_steps=10, fewer={"slow": 30}, before={"slow": lambda: log.append("before")})
    assert {name: len(row) for name, row in times.items()} == {"fast": 100, "slow": 30}
    assert [log.count(name) for name in ("fast", "slow", "before")] == [110, 40, 4]
    assert log[-1] == "slow"


def test_affordable_gives_the_slow_fewer_calls() -> None:
    """Never fewer than asked for, and the fast ones all."""

    def slow(step: int) -> None:
        sum(range(20_000))

    fewer = affordable({"slow": slow, "fast": lambda step: None}, 10_000, 0.01, 7)
    assert list(fewer) == ["slow"]
    assert 7 <= fewer["slow"] < 10_000


def test_latencies_are_microseconds() -> None:
    """Of nanoseconds, with the shape of the distribution."""
    found = latencies({"a": np.arange(1, 1001, dtype=np.int64) * 1000})["a"]
    assert found["p50"] == pytest.approx(500.5, rel=1e-3)
    assert found["worst"] == found["quantiles"][-1] == 1000


def test_compact_json_is_json() -> None:
    """Short things in a line, long ones in several, all of it back."""
    value = {"a": [1, 2.5, None], "b": {str(i): {"x": "y" * 20} for i in range(9)}, "c": {}, "d": "\u00b5"}
    text = compact(value)
    assert json.loads(text) == value
    assert max(map(len, text.splitlines())) <= 120
    assert len(text.splitlines()) > 9


@pytest.mark.parametrize("text", ["", "0", "a", "1,", "-3", "1,0"])
def test_bad_numbers_are_refused(text: str) -> None:
    """In the words of the command line."""
    from argparse import ArgumentTypeError

    with pytest.raises(ArgumentTypeError, match="1 or more"):
        numbers(text)


def test_labels_keep_apart_and_near() -> None:
    """In order, not closer than told, and where they were if there is room."""
    places = apart([0.0, 1.0, 1.5, 50.0, 50.0, 90.0], 10.0)
    assert all(b - a >= 10.0 - 1e-9 for a, b in itertools.pairwise(places))
    assert places[-1] == 90.0
    assert sum(places[:3]) == pytest.approx(2.5)
