"""The quality report: its numbers against independent ones, drift, classes, the page, the command line, refusals."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from builder import Builder, Floats
from torch import nn

import grulet
from grulet import format as grulet_format
from grulet.__main__ import main
from grulet.errors import GruletError
from grulet.format import LEVELS
from grulet.operators import Cell, Dense, Embedding, Matrix, Program
from grulet.reference import Reference
from grulet_export import Quality, export, verify
from grulet_export.graph import Binary, Graph, Port, StateRead, StateWrite
from grulet_export.graph import Dense as DenseNode
from grulet_export.lower import lower
from grulet_export.quality import Material, TradeOff, UserMetric, assess, page
from grulet_export.quality.variants import unrounded_activations, weighted, with_operator

TOTAL = 800  # frames of a short run


def network(cell: str = "gru", function: str = "none", seed: int = 0) -> Program:
    """A layer of 12 units, then a dense layer of 5, in f32."""
    builder = Builder(seed, "f32", "f32")
    x = builder.input("x", 7)
    builder.output("y", builder.dense(builder.cell(cell, x, 12), 5, function))
    return builder.program()


def rounded(values: Floats, level: float = 1.0) -> Matrix:
    """Each row by its largest weight over 127: an implementation of its own."""
    scale = np.abs(values).max(axis=-1) / np.float32(127)
    return Matrix(np.rint(values / scale[..., None]).astype(np.int8), (scale * np.float32(level)).astype(np.float32))


def quantized(program: Program, *, only: str | None = None, activations: str = "int16") -> Program:
    """The program in int8; ``only``: one operator of it."""
    for index, op in weighted(program):
        if only not in (None, op.name):
            continue
        formats: dict[str, Any] = {"weights": "int8", "activations": activations}
        if isinstance(op, Cell):
            level = 1 / LEVELS[activations]
            matrices = rounded(op.input_matrix.values), rounded(op.recurrent_matrix.values, level)
            op = replace(op, **formats, input_matrix=matrices[0], recurrent_matrix=matrices[1])
        elif isinstance(op, Dense):
            op = replace(op, **formats, matrix=rounded(op.matrix.values))
        program = with_operator(program, index, op)
    return program


def dense_of(program: Program) -> tuple[int, Dense]:
    """The last operator and its place."""
    index, op = weighted(program)[-1]
    assert isinstance(op, Dense)
    return index, op


def shifted(program: Program, by: Floats | float) -> Program:
    """The program with ``by`` added to the bias of its dense layer: an error that is known."""
    index, op = dense_of(program)
    return with_operator(program, index, replace(op, bias=op.bias + np.float32(by)))


def run(program: Program, frames: Floats) -> Floats:
    """Answers from the initial state."""
    return grulet.load(grulet_format.write(program)).stream().run(frames)


def decibels(exact: Floats, other: Floats) -> float:
    """SNR, by the definition."""
    noise = (other.astype(np.float64) - exact) ** 2
    return float(10 * np.log10((exact.astype(np.float64) ** 2).sum() / noise.sum()))


def assessed(exact: Program, other: Program, total: int = TOTAL, **options: Any) -> Quality:
    """The report on random frames."""
    return assess("net.grulet", exact, other, Material.of(other, total=total), **options)


# ---- numbers --------------------------------------------------------------------------------------------------------


def test_a_known_error_gives_the_known_numbers() -> None:
    """A bias that is off by 0.01 everywhere."""
    exact = network()
    quality = assessed(exact, shifted(exact, 0.01))
    answers = run(exact, Material.of(exact, total=TOTAL).frames)
    (output,) = quality.outputs
    assert output.snr_db == pytest.approx(10 * np.log10(np.mean(answers.astype(np.float64) ** 2) / 1e-4), abs=1e-3)
    assert output.rms == pytest.approx(0.01, rel=1e-4)
    assert output.largest == pytest.approx(0.01, rel=1e-4)
    assert output.reach == np.abs(answers).max()
    assert quality.drift.ratio == pytest.approx(1, abs=0.2)
    assert not quality.drift.drifts


def test_every_operator_alone() -> None:
    """SNR of the output with one operator in int8, its share, and what of it is the weights', run one by one here."""
    exact = network()
    frames = Material.of(exact, total=TOTAL).frames
    answers = run(exact, frames)
    quality = assessed(exact, quantized(exact, activations="int8"))
    powers = {}
    for loss in quality.operators:
        one = run(quantized(exact, only=loss.name, activations="int8"), frames)
        assert loss.alone_db == pytest.approx(decibels(answers, one), abs=1e-6)
        powers[loss.name] = ((one.astype(np.float64) - answers) ** 2).sum()
    for loss in quality.operators:
        assert loss.share == pytest.approx(powers[loss.name] / sum(powers.values()), rel=1e-6)
    assert quality.costliest is max(quality.operators, key=lambda loss: powers[loss.name])

    index, op = dense_of(exact)
    states = Reference(exact).run_with_gates(frames)[1][exact.operators[0].name]["h"]
    change = rounded(op.matrix.values)
    moved = states @ (change.values * change.scale[..., None] - op.matrix.values)[0].T  # type: ignore[index]
    one = run(quantized(exact, only=op.name, activations="int8"), frames)
    weights, activations = ((moved**2).sum(), ((one - answers - moved) ** 2).sum())
    assert quality.operators[-1].from_weights == pytest.approx(weights / (weights + activations), rel=1e-3)
    assert index == 1


@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_every_gate(cell: str) -> None:
    """SNR of every gate, and of every operator's output, is that of the oracle's runs."""
    exact = network(cell)
    other = quantized(exact)
    frames = Material.of(exact, total=400).frames
    (name, gates), *_ = Reference(exact).run_with_gates(frames)[1].items()
    others = Reference(other).run_with_gates(frames)[1][name]
    layer, last = assessed(exact, other, 400).operators
    assert dict(layer.gates) == pytest.approx({gate: decibels(gates[gate], others[gate]) for gate in gates})
    assert list(layer.gates) == list({"gru": "zrnh", "lstm": "ifgoch", "rnn": "h"}[cell])
    assert layer.snr_db == pytest.approx(layer.gates["h"])
    assert last.gates == {}
    assert last.snr_db == pytest.approx(decibels(run(exact, frames), run(other, frames)))


def test_weights_that_are_exact_leave_the_activations() -> None:
    """The float program made of the rounded weights: nothing is the weights' fault."""
    other = quantized(network(), activations="int8")
    exact = other
    for index, op in weighted(other):
        exact = with_operator(exact, index, unrounded_activations(op))
    quality = assessed(exact, other)
    assert [loss.from_weights for loss in quality.operators] == [0.0, 0.0]


@pytest.mark.parametrize("formats", [("int4", "int16"), ("int4", "int8"), ("f16", "f32"), ("int8", "int16")])
@pytest.mark.parametrize("cell", ["gru", "lstm", "rnn"])
def test_floats_of_every_format(cell: str, formats: tuple[str, str]) -> None:
    """The weights that a file stands for, as floats: with exact activations the oracle gives the same answers."""
    builder = Builder(3, *formats)
    x = builder.input("x", 70)
    builder.output("y", builder.dense(builder.cell(cell, x, 40), 5))
    program = builder.program()
    exact = program
    for index, op in weighted(program):
        exact = with_operator(exact, index, unrounded_activations(op))
    frames = Material.of(program, total=50).frames
    expected = Reference(program, exact_activations=True).run(frames)
    np.testing.assert_allclose(run(exact, frames), expected, atol=2e-6)


def test_worst_frames_and_rows() -> None:
    """The frames and the rows with the largest errors, found here by sorting."""
    exact = network()
    index, op = dense_of(exact)
    values = op.matrix.values.copy()
    values[0, 3] += np.float32(0.05) * np.sign(values[0, 3])
    other = with_operator(quantized(exact), index, replace(op, matrix=rounded(values), weights="int8",
                                                           activations="int16"))  # fmt: skip
    frames = Material.of(exact, total=TOTAL).frames
    one, two = run(exact, frames), run(other, frames)
    errors = np.abs(two - one).max(axis=1)
    quality = assessed(exact, other)
    worst = quality.worst_frames
    assert len(worst) == 10
    assert worst[0].index == errors.argmax()
    assert [frame.error for frame in worst] == sorted((frame.error for frame in worst), reverse=True)
    for frame in worst:
        assert frame.error == pytest.approx(float(errors[frame.index]), rel=1e-4)
        assert frame.float_values == tuple(map(float, one[frame.index]))
        assert frame.quantized_values == tuple(map(float, two[frame.index]))
        assert all(other is frame or abs(other.index - frame.index) >= 10 for other in worst)
    row = quality.worst_rows[0]
    assert (row.operator, row.matrix, row.unit) == (op.name, "input", 3)
    np.testing.assert_array_equal(row.weights, op.matrix.values[0, 3])
    assert set(row.rounded) <= set(row.levels)
    steps = np.diff(row.levels)
    assert steps.max() == pytest.approx(steps.min(), rel=1e-4)
    assert steps[0] == pytest.approx(float(np.abs(values[0, 3]).max()) / 127, rel=1e-4)


def test_no_loss_at_all() -> None:
    """f32 against itself: nothing to show, nothing to divide by."""
    exact = network()
    quality = assessed(exact, exact)
    assert quality.exact
    assert quality.as_json()["headline"].startswith("No loss at all")
    assert (quality.worst_frames, quality.worst_rows, quality.costliest) == ((), (), None)
    assert quality.file_bytes == quality.float_bytes
    assert "no output differs" in str(quality)
    assert Page(page(quality, Material.of(exact, total=TOTAL))).pictures == []


def test_another_structure_is_said() -> None:
    """A file of other operators: the outputs are compared, the operators are not."""
    other = network()
    exact = replace(other, operators=(replace(other.operators[0], name="another name"), *other.operators[1:]))
    quality = assessed(exact, quantized(other))
    assert quality.outputs[0].snr_db is not None
    assert all(loss.alone_db is None and loss.gates == {} for loss in quality.operators)
    assert quality.notes[0].startswith("the file's operators are not those")
    assert quality.notes[0] in page(quality, Material.of(other, total=TOTAL)).replace("&#x27;", "'")


# ---- drift ----------------------------------------------------------------------------------------------------------


def accumulator() -> Program:
    """``y(t) = y(t - 1) + W x(t) + b``: an error of b adds up for ever."""
    nodes = (
        DenseNode("dense", ("x",), "d", np.eye(3, 4, dtype=np.float32), np.zeros(3, np.float32)),
        StateRead("before", (), "s", "sum", np.zeros(3, np.float32)),
        Binary("add", ("d", "s"), "a", "add"),
        StateWrite("after", ("a",), "y", "sum"),
    )
    return lower(Graph((Port("x", "x", 4),), (Port("y", "y", 3),), nodes, "0" * 64))


def test_drift_is_found_where_there_is_drift() -> None:
    """An error that adds up drifts; the same error in a layer that forgets does not."""
    total = 2000
    exact = accumulator()
    (index, dense), *_ = weighted(exact)
    assert isinstance(dense, Dense)
    other = with_operator(exact, index, replace(dense, bias=dense.bias + np.float32(0.01)))
    quality = assessed(exact, other, total)
    assert quality.drift.drifts
    assert quality.drift.quarters == tuple(sorted(quality.drift.quarters))
    assert quality.as_json()["headline"].endswith("and it grows with time")
    assert str(quality).startswith("A large loss, and it grows with time.\n")
    good = assessed(network(), quantized(network()), total)
    assert not good.drift.drifts
    assert good.drift.ratio == pytest.approx(1, abs=0.2)
    assert good.as_json()["headline"].endswith("does not grow with time")


def test_material() -> None:
    """Given frames are all used, and repeated so that the quarters hold the same ones."""
    program = network()
    given = np.arange(700, dtype=np.float32).reshape(100, 7)
    material = Material.of(program, given, total=1000)
    assert (material.total, material.distinct) == (1200, 100)
    whole = material.part(0, material.total)
    np.testing.assert_array_equal(whole[:300], whole[900:])
    np.testing.assert_array_equal(material.part(250, 450)[50:150], given)
    assert "12 times" in material.source
    assert Material.of(program, given, total=90).total == 100  # more than asked for: all of them
    assert Material.of(program, given, total=200).source == "200 frames (the 100 given ones, and from the first again)"
    assert Material.of(program, total=50).source == "50 random frames"


# ---- classes and metrics --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", ["none", "softmax"])
def test_agreement_of_classes(function: str) -> None:
    """How often the largest element is the same, counted here."""
    exact = network(function=function)
    other = shifted(exact, np.array([0, 0.2, -0.2, 0.4, -0.4], np.float32))
    frames = Material.of(exact, total=TOTAL).frames
    one, two = run(exact, frames), run(other, frames)
    agreement = assessed(exact, other).outputs[0].agreement
    assert agreement is not None
    different = int((one.argmax(axis=1) != two.argmax(axis=1)).sum())
    assert different > 0
    assert agreement.different == different
    assert agreement.share == 1 - different / TOTAL
    leads = np.diff(np.sort(one, axis=1)[:, -2:], axis=1)[:, 0]
    assert agreement.lead == pytest.approx(float(np.median(leads)))
    assert ("softmax" in agreement.reason) == (function == "softmax")


def test_numbers_are_no_classes() -> None:
    """A sigmoid's elements are a mask, not a class, unless the model has labels for them."""
    exact = network(function="sigmoid")
    assert assessed(exact, quantized(exact)).outputs[0].agreement is None
    labelled = replace(exact, text=replace(exact.text, metadata={"labels": list("abcde")}))
    agreement = assessed(labelled, quantized(labelled)).outputs[0].agreement
    assert agreement is not None
    assert "label" in agreement.reason


def test_metric() -> None:
    """The user's measure sees both networks, each recording from the initial state."""
    exact = network()
    other = quantized(exact)
    frames = Material.of(exact, total=60).frames

    def measure(answer: Callable[[Floats], Floats]) -> float:
        np.testing.assert_array_equal(answer(frames), answer(frames))
        return float(np.abs(answer(frames)).sum())

    metric = assessed(exact, other, metric=UserMetric(measure, "loudness")).metric
    assert metric is not None
    assert metric.float_value == pytest.approx(float(np.abs(run(exact, frames)).sum()))
    assert metric.quantized_value == pytest.approx(float(np.abs(run(other, frames)).sum()))
    assert metric.float_value != metric.quantized_value
    for wrong in (np.nan, "high", None, [1, 2]):
        with pytest.raises(GruletError, match="metric 'loudness' must give one finite number, not"):
            assessed(exact, other, metric=UserMetric(lambda answer, given=wrong: given, "loudness"))  # type: ignore[misc]


# ---- the page -------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """A page taken apart; every tag that opens must close."""

    VOID = ("meta", "br", "img", "hr", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_page(text: str) -> Page:
    """It parses, needs nothing from outside, and every picture is whole."""
    found = Page(text)
    ids: list[str] = []
    for tag, attributes in found.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "data", "srcset"):
                assert value is not None
                assert value.startswith(("#", "data:image/png;base64,")), value[:80]
                if value.startswith("data:"):
                    image = base64.b64decode(value.partition(",")[2], validate=False)
                    assert image.startswith(b"\x89PNG\r\n\x1a\n")
                    assert image.rstrip().endswith(b"IEND\xaeB`\x82")
            if name == "id" and value is not None:
                ids.append(value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert len(set(ids)) == len(ids)
    for picture in found.pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("aria-label")
        known = {element.get("id") for element in root.iter()}
        for reference in re.findall(r'(?:href="|url\()#([^")]+)', picture):
            assert reference in known
    return found


def everything() -> Program:
    """Tokens and numbers in; an embedding, an LSTM and a GRU; two outputs, one of them wide; names of any letters."""
    builder = Builder(1, "f32", "f32")
    tokens, x = builder.input("tokens", 1, 9), builder.input("x", 6)
    value = builder.concat(builder.embedding(tokens, 10), x)
    state = builder.cell("lstm", value, 8)
    builder.output("<classes>", builder.dense(state, 4, "softmax"))
    builder.output("mask $x_1$ 語", builder.dense(builder.cell("gru", state, 9), 40, "sigmoid"))
    return builder.program()


def test_page_of_everything() -> None:
    """Whatever a model holds; the trade-off, the metric and notes are on it; names are text, not HTML."""
    exact = everything()
    other = quantized(exact)
    (index, table), *_ = weighted(other)
    assert isinstance(table, Embedding)
    values = rounded(table.table.values)
    other = with_operator(other, index, replace(table, weights="int8", table=values))
    curve = [TradeOff(900, 20.5, "int4"), TradeOff(700, 11.0, "all <int4>"), TradeOff(1600, 41.0, "int8")]
    quality = assessed(
        exact, other, metric=UserMetric(lambda answer: 0.5, "accuracy <of> mine"), trade_off=curve, notes=["a <note>"]
    )
    assert [point.file_bytes for point in quality.trade_off] == [700, 900, 1600]
    text = page(quality, Material.of(other, total=TOTAL))
    found = check_page(text)
    assert (
        len(found.pictures) == 2 + 2 + 2 + 10 + 4
    )  # operators, time, trade-off (two forms each), worst frames, worst rows
    for word in (
        "accuracy &lt;of&gt; mine",
        "Accuracy &lt;of&gt; mine: 0.5",
        "Note: a &lt;note&gt;",
        "&lt;classes&gt;",
        "mask $x_1$ 語",
    ):
        assert word in text
    assert "<of>" not in text
    data = json.loads(json.dumps(quality.as_json(), allow_nan=False))
    assert data["metric"] == {"name": "accuracy <of> mine", "float_value": 0.5, "quantized_value": 0.5}
    assert data["headline"] == "Accuracy <of> mine: 0.5, as in float; the error does not grow with time"
    assert len(data["verdict"]) == 3


def test_page_of_a_whole_sequence() -> None:
    """A bidirectional layer: the frames are one sequence, and gates and rows are there too."""
    builder = Builder(2, "f32", "f32")
    x = builder.input("x", 6)
    both = builder.concat(builder.cell("gru", x, 5), builder.cell("gru", x, 5, reverse=True))
    builder.output("y", builder.dense(both, 30, "tanh"))
    exact = builder.program()
    quality = assessed(exact, quantized(exact), 300)
    assert quality.frames == 300
    assert all(op.alone_db is not None for op in quality.operators)
    check_page(page(quality, Material.of(exact, total=300)))


# ---- export, verify, the command line -------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model, its ONNX form and frames; also the current folder."""
    monkeypatch.chdir(tmp_path)
    export(nn.GRU(4, 6), "net.grulet", onnx="net.onnx", frames=20)
    np.save("frames.npy", np.random.default_rng(0).standard_normal((77, 4), np.float32))
    return tmp_path


def test_export_and_verify_give_the_same_as_data(files: Path) -> None:
    """The page is written; the report has the numbers, also without a page."""
    made = export(nn.GRU(4, 6), "a.grulet", frames=20, report="a.html", metric=lambda answer: 1.0, metric_name="ones")
    check_page(Path("a.html").read_text(encoding="utf-8"))
    assert made.quality is not None
    assert made.quality.metric is not None
    assert made.quality.metric.name == "ones"
    assert made.quality.frames == 20_000
    assert export(nn.GRU(4, 6), "a.grulet", frames=20).quality is None
    checked = verify("net.onnx", "net.grulet", input=np.load("frames.npy"), metric=lambda answer: 1.0)
    assert checked.quality is not None
    assert checked.quality.given == 77
    assert str(checked.quality) in str(checked)
    calibrated = export("net.onnx", "b.grulet", calibration=np.load("frames.npy"), report="b.html")
    assert calibrated.quality is not None
    assert calibrated.quality.given == 77
    assert "those of the calibration" in Path("b.html").read_text(encoding="utf-8")


def test_command_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`verify` and `convert` write the page, print the table, and give JSON."""
    capsys.readouterr()
    assert main(["verify", "net.onnx", "net.grulet", "--input", "frames.npy", "--report", "v.html"]) == 0
    text = capsys.readouterr().out
    assert "does not grow with time" in text
    assert "the 77 given ones" in text
    check_page(Path("v.html").read_text(encoding="utf-8"))
    options = ["--frames", "20", "--report", "c.html", "--json"]
    assert main(["convert", "net.onnx", "-o", "c.grulet", *options]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["quality"]["drift"]["drifts"] is False
    assert data["quality"]["verdict"][0].startswith("c.grulet has int8 weights and int16 activations: ")
    assert Path("c.html").is_file()


REFUSED = {
    "no page": ("out.txt", "report: the name of a .html file was expected, not 'out.txt'"),
    "nowhere": ("no/out.html", "no/out.html: cannot be written: No such file or directory"),
    "a folder": ("folder.html", "folder.html: cannot be written: Is a directory"),
}


@pytest.mark.parametrize("command", ["convert", "verify"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, command: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, status 2, and nothing is written, no model either."""
    Path("folder.html").mkdir()
    before = sorted(path.name for path in files.iterdir())
    capsys.readouterr()
    report, message = REFUSED[name]
    arguments = {"convert": ["net.onnx", "-o", "new.grulet"], "verify": ["net.onnx", "net.grulet"]}[command]
    assert main([command, *arguments, "--report", report]) == 2
    captured = capsys.readouterr()
    assert captured.err == f"grulet {command}: {message}\n"
    assert captured.out == ""
    assert sorted(path.name for path in files.iterdir()) == before


def test_a_metric_that_fails_writes_nothing(files: Path) -> None:
    """Neither the model nor the page."""
    before = sorted(path.name for path in files.iterdir())
    with pytest.raises(GruletError, match="metric 'words' must give one finite number, not nan"):
        export(
            "net.onnx", "new.grulet", frames=20, report="new.html", metric=lambda run: float("nan"), metric_name="words"
        )
    with pytest.raises(GruletError, match=r"metric must be a function of a network .*, not 'accuracy'"):
        export("net.onnx", "new.grulet", frames=20, metric="accuracy")  # type: ignore[arg-type]
    assert sorted(path.name for path in files.iterdir()) == before
