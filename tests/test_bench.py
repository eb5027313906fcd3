"""What `grulet bench` is made of: time on a clock of our own, operators, the report and its picture."""

from __future__ import annotations

import argparse
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import Builder, plain_frames, small_file

import grulet
from grulet import format as grulet_format
from grulet.__main__ import main
from grulet.commands.arguments import period, whole
from grulet.errors import GruletError
from grulet.measuring import Latency, machine, measure
from grulet.measuring.answers import answers, frames_of
from grulet.measuring.histogram import Histogram
from grulet.measuring.imported import Imported, read_report
from grulet.measuring.machine import before_and_after, described, process
from grulet.measuring.names import READ, REST, STEP, TICK
from grulet.measuring.operators import OperatorParts
from grulet.measuring.paced import WARM_UP, OtherWork, PacedTimes, in_turn, run_paced
from grulet.measuring.picture import MOST_BARS, draw
from grulet.measuring.report import BenchReport, PacedRun

# ---- arguments ------------------------------------------------------------------------------------------------------


@given(microseconds=st.integers(1, 60_000_000))
def test_a_period_in_any_unit(microseconds: int) -> None:
    """The same time, however it is written, to the nanosecond."""
    forms = [f"{microseconds}us", f"{microseconds / 1000:.3f}ms", f"{microseconds / 1e6:.6f}s"]
    forms += [f"{microseconds / 1e6:.6f}", f"{microseconds} us"]
    assert {period(form) for form in forms} == {microseconds * 1000}


@given(text=st.one_of(st.text(), st.from_regex(r"[0-9.e+-]{1,400} ?(s|ms|us|m|min)?", fullmatch=True)))
def test_any_other_period_is_refused(text: str) -> None:
    """In one way; what is taken is in range."""
    try:
        taken = period(text)
    except argparse.ArgumentTypeError:
        return
    assert 1000 <= taken <= 60 * 10**9


@pytest.mark.parametrize(
    "text", ["", "0", "0ms", "-1ms", "nan", "inf", "1h", "ten", "1e-2", "0.5us", "61s", "1_0ms", "10ms\n", "9" * 999]
)
def test_periods_that_are_none(text: str) -> None:
    """Nothing, nothing finite, too short, too long, other notations."""
    with pytest.raises(argparse.ArgumentTypeError, match="10ms, 500us, 1s"):
        period(text)


@given(least=st.integers(0, 9), text=st.one_of(st.text(), st.integers().map(str)))
def test_whole_numbers(least: int, text: str) -> None:
    """Inside the bounds the number itself, and everything else is refused."""
    try:
        number = whole(least, 1000)(text)
    except argparse.ArgumentTypeError:
        assert not (text.isascii() and text.isdigit() and len(text) < 5 and least <= int(text) <= 1000)
    else:
        assert number == int(text)
        assert least <= number <= 1000


# ---- real time ------------------------------------------------------------------------------------------------------


class Time:
    """A clock that only moves when something happens: a sleep (which ends late), or work."""

    def __init__(self, late: int = 0) -> None:
        self.now = 1_000_000
        self.late = late

    def clock(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9) + self.late

    def work(self, *nanoseconds: int) -> Callable[[int], None]:
        """Make a call that takes one time after the other, by frame."""

        def call(frame: int) -> None:
            self.now += nanoseconds[frame % len(nanoseconds)]

        return call


def paced_on(time: Time, turns: list[str], period: int, **calls: Callable[[int], object]) -> dict[str, PacedTimes]:
    """Run on this clock, with nothing in between."""
    return run_paced(calls, turns, period, lambda until: 0, clock=time.clock, sleep=time.sleep)[0]


def test_lateness_and_compute_are_apart() -> None:
    """Due times are absolute: waking late does not move the frames behind."""
    time = Time(late=30)
    times = paced_on(time, ["a"] * 50, 1000, a=time.work(200))["a"]
    assert set(times.late) == {30}
    assert set(times.compute) == {200}
    assert set(times.answer) == {230}
    assert times.misses == 0
    assert time.now == 1_000_000 + (50 + WARM_UP) * 1000 + 230


def test_an_impossible_period_misses_every_deadline() -> None:
    """Who takes longer than a period falls behind, further with every frame."""
    time = Time()
    times = paced_on(time, ["a"] * 20, 100, a=time.work(150))["a"]
    assert times.misses == 20
    assert list(np.diff(times.late)) == [50] * 19


def test_a_stall_is_caught_up() -> None:
    """One frame of 3.5 periods makes itself and those behind it late, until the backlog is gone."""
    time = Time()
    times = paced_on(time, ["a"] * 10, 100, a=time.work(0, 0, 350, 0, 0, 0, 0, 0, 0, 0))["a"]
    assert list(times.late) == [0, 0, 0, 250, 150, 50, 0, 0, 0, 0]
    assert times.misses == 3


def test_a_frame_answered_as_the_next_is_due_is_in_time() -> None:
    """The bound belongs to the period."""
    time = Time()
    assert paced_on(time, ["a"] * 5, 100, a=time.work(100))["a"].misses == 0


@given(steps=st.integers(1, 100), rivals=st.integers(0, 3))
def test_turns(steps: int, rivals: int) -> None:
    """Everybody steps equally often, the read every now and then and at least once."""
    names = ["us", *(f"rival {i}" for i in range(rivals))]
    turns = in_turn(names, "read", steps)
    assert {turns.count(name) for name in names} == {steps}
    assert turns.count("read") == -(-steps // 7)


def test_each_contestant_has_its_own_times() -> None:
    """In the order of its turns."""
    time = Time()
    times = paced_on(time, in_turn(["a", "b"], "r", 3), 1000, a=time.work(1), b=time.work(20), r=time.work(300))
    assert {name: list(each.compute) for name, each in times.items()} == {"r": [300], "a": [1] * 3, "b": [20] * 3}


def test_other_work_touches_every_line_once() -> None:
    """With time enough; the next call goes through it again."""
    work = OtherWork(1 << 20)
    assert [work(2**62), work(2**62)] == [1 << 20] * 2
    assert {int(line) for part in work._slices for line in part} == {2}


def test_other_work_stops_in_time_and_goes_on_where_it_was() -> None:
    """Three slices a call, around the buffer."""
    time = Time()

    def ticking() -> int:
        time.now += 10
        return time.now

    work = OtherWork(1 << 20, ticking)
    assert [work(time.now + 40) for _ in range(4)] == [3 << 18] * 4
    assert [int(part[0]) for part in work._slices] == [3, 3, 3, 3]


@pytest.mark.parametrize("size", [0, 63])
def test_no_other_work(size: int) -> None:
    """Less than a line is nothing."""
    assert OtherWork(size)(2**62) == 0


def test_other_work_is_told_to_leave_time_to_sleep() -> None:
    """It is called behind every frame and ends before the next is due."""
    time, ends = Time(), []

    def other(until: int) -> int:
        ends.append(until - time.now)
        return 7

    _, touched = run_paced({"a": time.work(100)}, ["a"] * 5, 1000, other, clock=time.clock, sleep=time.sleep)
    assert ends == [750] + [650] * (4 + WARM_UP)
    assert list(touched) == [7] * 5


# ---- operators ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("isa", grulet.isas())
def test_all_operators_in_order_are_a_step(isa: str) -> None:
    """On the frame that lies in the stream: the same state as stepping it again."""
    grulet.use_isa(isa)
    model = grulet.load(small_file())
    streams = [model.stream(), model.stream()]
    for frame in plain_frames(0, 5, model.input_width):
        for stream in streams:
            stream.step(frame)
        streams[0].step(frame)
        assert all(streams[1].step_operator(index) for index in range(len(model.ops)))
        assert streams[0].save() == streams[1].save()


def test_an_operator_behind_the_last_is_nothing() -> None:
    """The cost of a call alone: nothing has changed."""
    model = grulet.load(small_file())
    stream = model.stream()
    before = stream.save()
    assert stream.step_operator(len(model.ops)) is False
    assert stream.save() == before


def test_costs_of_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """The empty call is taken off, shares are of a tick, the read is shared out by bytes."""
    model = grulet.load(small_file())
    parts = OperatorParts(model, np.zeros(model.input_width, np.float32), 10)
    parts._times[:] = [1100, 2100, 400, 100]  # three operators, an empty call: nanoseconds
    costs = parts.costs(tick=4000.0, read=1100.0)
    assert [cost.info for cost in costs] == list(model.ops)
    assert [cost.latency.p50 for cost in costs] == [1.0, 2.0, 0.3]
    assert [cost.share for cost in costs] == pytest.approx([0.25, 0.5, 0.075])
    bytes_read = np.array([op.weight_bytes for op in model.ops])
    assert [cost.reads for cost in costs] == pytest.approx(
        list(np.array([1.0, 2.0, 0.3]) / (bytes_read / bytes_read.sum()))
    )
    assert {cost.reads for cost in parts.costs(tick=4000.0, read=50.0)} == {None}  # faster than an empty call


def test_operators_are_a_contestant() -> None:
    """Measured in turn with others; the warm-up is not counted."""
    model = grulet.load(small_file())
    parts = OperatorParts(model, np.ones(model.input_width, np.float32), 30)
    measure({"parts": parts}, 30)
    assert (parts._times > 0).all()


# ---- distributions ---------------------------------------------------------------------------------------------------


@given(times=st.lists(st.integers(0, 2**62), min_size=1, max_size=50))
def test_histogram(times: list[int]) -> None:
    """Every call is in a bin, between whose edges it lies; no bins without calls at the ends."""
    histogram = Histogram.of(np.array(times, np.int64))
    assert sum(histogram.counts) == len(times)
    assert histogram.counts[0] > 0
    assert histogram.counts[-1] > 0
    slack = 1 + 1e-9
    for end, time in ((0, min(times)), (-1, max(times))):
        low, high = histogram.edges[end - 1 if end else 0], histogram.edges[end or 1]
        assert low / slack <= max(time, 1) / 1e3 <= high * slack
    assert Histogram.of_json({"first": histogram.first, "counts": [*histogram.counts]}) == histogram


def test_jitter() -> None:
    """What lies between the middle and all but a thousandth."""
    latency = Latency.of(np.arange(0, 1_001_000, 1000))
    assert (latency.p50, latency.p999) == pytest.approx((500.0, 999.0))
    assert latency.jitter == latency.p999 - latency.p50


# ---- frames and facts ------------------------------------------------------------------------------------------------


def test_frames_to_measure_on() -> None:
    """Numbers from -2 to 2 spread evenly, tokens below their limit, and always the same ones."""
    frames = frames_of([(3, 0), (2, 7)], 500)
    assert frames.dtype == np.float32
    assert frames.shape == (500, 5)
    numbers, tokens = frames[:, :3], frames[:, 3:]
    assert (numbers >= -2).all()
    assert (numbers < 2).all()
    assert np.histogram(numbers, 4, (-2, 2))[0] == pytest.approx([375] * 4, rel=0.15)
    assert set(tokens.ravel()) == set(range(7))
    assert np.unique(numbers).size == numbers.size
    assert [float(number) for number in frames[0, :2]] == [0.2935903072357178, 0.3535749912261963]


def test_answers_are_those_of_a_stream() -> None:
    """From the initial state on."""
    model = grulet.load(small_file())
    frames = frames_of([(model.input_width, 0)])
    found = answers(model, frames)
    stream = model.stream()
    computed = np.array([stream.step(frame) for frame in frames])
    assert found["outputs_crc32"] == f"{zlib.crc32(computed.tobytes()):08x}"
    assert found["frames"] == len(frames)


def test_facts_for_people() -> None:
    """What may be unknown, refused or emulated is said; what is usual is not made much of."""
    facts = machine() | process(None)
    unknown = before_and_after(*[{"frequency_mhz": None, "governor": None}] * 2)
    known = before_and_after(
        {"frequency_mhz": 600.0, "governor": "ondemand"}, {"frequency_mhz": 1500.0, "governor": "performance"}
    )
    assert len(described(facts | unknown | {"emulator": None})) == 3
    text = "\n".join(described(facts | known | {"refused": ["mlockall: no"], "emulator": "qemu-arm"}))
    for part in (
        "not pinned",
        "governor ondemand, then performance, 600 MHz before, 1500 after",
        "mlockall: no",
        "qemu-arm",
    ):
        assert part in text
    assert "governor and frequency unknown" in "\n".join(described(facts | unknown))


# ---- the report and its picture -------------------------------------------------------------------------------------


def report_of(
    data: bytes,
    *,
    paced: bool = True,
    rivals: tuple[str, ...] = (),
    model: str = "net.grulet",
    imported: tuple[Imported, ...] = (),
) -> BenchReport:
    """A report with made-up times."""
    opened = grulet.load(data)
    rng = np.random.default_rng(0)

    def times(median: float, count: int = 100) -> np.ndarray:
        return (median * rng.lognormal(sigma=0.2, size=count)).astype(np.int64)

    parts = OperatorParts(opened, np.zeros(opened.input_width, np.float32), 20)
    parts._times[:] = rng.integers(300, 900, parts._times.shape)
    names = {READ: 2e3, TICK: 9e3, STEP: 1e4, **dict.fromkeys(rivals, 1e5)}
    hot = {"a call of nothing": times(100)} | {name: times(median) for name, median in names.items()}
    late = times(5e4)
    run = PacedRun(
        period=10**7,
        between_bytes=2**25,
        touched_bytes=2**24,
        times={name: PacedTimes(late, 4 * hot[name], 10**7) for name in (READ, STEP, *rivals)},
    )
    clock = {"frequency_mhz": 1500.0, "governor": "performance"}
    return BenchReport(
        model=model,
        model_crc32=f"{opened.crc32:08x}",
        title="a model",
        weight_bytes=opened.weight_bytes,
        answers=answers(opened, frames_of((port.width, port.tokens) for port in opened.inputs)),
        machine=machine() | process(None) | {"cpu": "a CPU", "release": "6"} | before_and_after(clock, clock),
        hot=hot,
        operators=parts.costs(float(np.median(hot[TICK])), 2e3),
        paced=run if paced else None,
        imported=imported,
    )


_FIXED = report_of(small_file())


def many_operators() -> bytes:
    """More than a picture has bars for; one name is a formula to matplotlib, one is long, one is of other letters."""
    builder = Builder(3)
    value = builder.input("input", 4)
    for _ in range(MOST_BARS + 5):
        value = builder.dense(value, 4, "relu")
    builder.output("output", builder.activation(value, "tanh"))
    program = builder.program()
    for operator, name in zip(program.operators, ("$\\frac$ $", "long " * 100, "\N{HIRAGANA LETTER A}"), strict=False):
        object.__setattr__(operator, "name", name)
    return grulet_format.write(program)


@pytest.mark.parametrize("paced", [False, True])
@pytest.mark.parametrize("rivals", [(), ("onnxruntime (float32)", "torch (float32)")])
def test_report(paced: bool, rivals: tuple[str, ...]) -> None:
    """Whoever was measured is in the tables and in the JSON form, which is JSON; shares add up to the whole."""
    report = report_of(small_file(), paced=paced, rivals=rivals)
    text, data = str(report), json.loads(json.dumps(report.as_json()))
    for name in (STEP, TICK, READ, REST, *rivals, *(cost.info.name for cost in report.operators)):
        assert name in text
    assert max(map(len, text.splitlines())) <= 120
    assert set(data["microseconds"]) == {"a call of nothing", READ, TICK, STEP, *rivals}
    assert sum(op["share"] for op in data["operators"]) + data["rest"]["share"] == pytest.approx(1)
    assert ("paced" in data) == ("Paced" in text) == ("deadlines missed" in text) == paced
    if paced:
        ours = data["paced"]["contestants"][STEP]
        assert ours["real_time_factor"] == pytest.approx(ours["compute_microseconds"]["p50"] / 1e4)
        assert ours["real_time_factor_hot"] == pytest.approx(data["microseconds"][STEP]["p50"] / 1e4)
        assert ours["answer_microseconds"]["p50"] > ours["compute_microseconds"]["p50"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
@pytest.mark.parametrize("paced", [False, True])
def test_picture(paced: bool, ending: str, tmp_path: Path) -> None:
    """In the format of its name, whatever the operators are called, and how ever many."""
    starts = {"png": b"\x89PNG\r\n", "svg": b"<?xml", "pdf": b"%PDF"}
    draw(str(tmp_path / f"p.{ending}"), report_of(many_operators(), paced=paced, rivals=("torch (float32)",)))
    assert [path.name for path in tmp_path.iterdir()] == [f"p.{ending}"]
    assert (tmp_path / f"p.{ending}").read_bytes().startswith(starts[ending])


def board_of(report: BenchReport, name: str = "board", **changes: object) -> Imported:
    """The report, as that of another machine."""
    return Imported(name, json.loads(json.dumps(report.as_json())) | changes)


@pytest.mark.parametrize("board_paced", [False, True])
@pytest.mark.parametrize("paced", [False, True])
def test_report_beside_another(paced: bool, board_paced: bool) -> None:
    """Every row of either is there, with both machines where both have it."""
    board = board_of(report_of(small_file(), paced=board_paced))
    report = report_of(small_file(), paced=paced, imported=(board,))
    table = str(report).partition("Side by side")[2]
    assert table.count("this machine ") == 7 + 4 * paced
    assert table.count(" board ") == 7 + 4 * board_paced
    assert "the same answers to 64 frames, bit for bit" in table
    assert table.count(f"{STEP}, hot") == 1
    assert max(map(len, table.splitlines())) <= 120
    assert report.as_json()["imported"] == [board.data]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_crc32": "00000000", "model": "other.grulet"}, "ANOTHER MODEL: other.grulet"),
        ({"answers": {"frames": 9, "inputs_crc32": "0", "outputs_crc32": "0"}}, "answers cannot be compared"),
    ],
)
def test_another_model_or_other_frames(change: dict[str, object], said: str, tmp_path: Path) -> None:
    """Said plainly, and drawn."""
    board = board_of(report_of(small_file()), **change)
    report = report_of(small_file(), imported=(board,))
    assert said in str(report)
    draw(str(tmp_path / "p.png"), report)


def test_other_answers_are_an_alarm() -> None:
    """The same model and frames have one answer."""
    report = report_of(small_file())
    wrong = board_of(report, answers=report.answers | {"outputs_crc32": "00000000"})
    assert "OTHER ANSWERS" in str(report_of(small_file(), imported=(wrong,)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("paced", [False, True])
def test_picture_beside_others(paced: bool, tmp_path: Path) -> None:
    """Boards with and without real time, with another period, with one bin."""
    boards = (
        board_of(report_of(small_file(), paced=not paced), "first"),
        board_of(report_of(many_operators(), paced=True), "second"),
    )
    boards[1].data["paced"]["period_seconds"] = 0.02
    boards[1].data["microseconds"][STEP]["histogram"] = {"first": 320, "counts": [5], "bins_per_doubling": 32}
    draw(str(tmp_path / "p.svg"), report_of(small_file(), paced=paced, imported=boards))
    text = (tmp_path / "p.svg").read_text()
    for words in ("this machine: hot", "first: hot", "second: hot, ANOTHER MODEL"):
        assert f"<!-- {words}" in text  # what the letters below it spell


def without(data: dict[str, Any], *path: str) -> dict[str, Any]:
    """A copy that lacks a key."""
    copy = json.loads(json.dumps(data))
    at = copy
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return copy


def test_a_report_is_read(tmp_path: Path) -> None:
    """Its name is the file's; keys of later versions do no harm."""
    data = board_of(report_of(small_file()), later=1).data
    (tmp_path / "pi4.json").write_text(json.dumps(data))
    board = read_report(str(tmp_path / "pi4.json"))
    assert board.name == "pi4"
    assert board.data == data


REFUSED_REPORTS = {
    "nothing": ("", "it is no JSON"),
    "not JSON": ("{'p50': 1}", "it is no JSON"),
    "deep": ("[" * 100_000, "it is no JSON"),
    "an array": ("[]", "it is not an object"),
    "a number": ("7", "it is not an object"),
    "something else": ('{"p50": 1}', "model is missing"),
}


@pytest.mark.parametrize("name", REFUSED_REPORTS)
def test_files_that_are_no_report(name: str, tmp_path: Path) -> None:
    """One line that names the file and what is wrong."""
    text, reason = REFUSED_REPORTS[name]
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(GruletError, match=rf"x\.json: not a report.*{reason}"):
        read_report(str(tmp_path / "x.json"))


def test_reports_with_something_missing_or_wrong(tmp_path: Path) -> None:
    """Named by its path."""
    data = json.loads(json.dumps(report_of(small_file()).as_json()))
    changed = json.loads(json.dumps(data))
    changed["microseconds"][STEP]["p50"] = float("nan")
    cases = {
        "machine.isa is missing": without(data, "machine", "isa"),
        "microseconds.grulet step is missing": without(data, "microseconds", STEP),
        "operators is not an array": data | {"operators": {}},
        "microseconds.grulet step.p50 is not a number of at least 0": changed,
        "paced.period_seconds is not a number above 0": data | {"paced": data["paced"] | {"period_seconds": 0}},
        "model_crc32 is not a line of text": data | {"model_crc32": "two\nlines"},
    }
    for reason, wrong in cases.items():
        (tmp_path / "x.json").write_text(json.dumps(wrong))
        with pytest.raises(GruletError, match=reason.replace(".", r"\.")):
            read_report(str(tmp_path / "x.json"))


@given(data=st.data())
def test_a_changed_report_is_refused_or_shown(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Whatever a file holds in some place: one error of ours, or a table."""
    report = json.loads(json.dumps(_FIXED.as_json()))
    at: Any = report
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
            at = at[key]
            continue
        break
    at[key] = data.draw(st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({})))
    path = tmp_path_factory.getbasetemp() / "changed.json"
    path.write_text(json.dumps(report))
    try:
        board = read_report(str(path))
    except GruletError as error:
        assert "\n" not in str(error)  # noqa: PT017
        return
    assert "Side by side" in str(report_of(small_file(), imported=(board,)))


def test_a_picture_that_fails_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole or not there: what was there before stays."""
    from matplotlib.figure import Figure

    def fail(figure: Figure, target: object, **options: object) -> None:
        target.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    path = tmp_path / "p.png"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="No space"):
        draw(str(path), report_of(small_file()))
    assert path.read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


# ---- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny model; also the current folder."""
    (tmp_path / "net.grulet").write_bytes(small_file())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_import(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report of this very command is taken, in tables, JSON and picture; what cannot be imported is refused first."""
    assert main([*SHORT, "--period", "1ms", "--json"]) == 0
    (net / "board.json").write_text(capsys.readouterr().out)
    assert main(["bench", "net.grulet", "--steps", "40", "--import", "board.json", "--plot", "p.png"]) == 0
    assert "board: " in capsys.readouterr().out
    assert (net / "p.png").exists()
    assert main(["bench", "net.grulet", "--steps", "40", "--import", "board.json", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["imported"] == [json.loads((net / "board.json").read_text())]
    (net / "this machine.json").write_text("")
    for paths, reason in (
        (["board.json", "board.json"], "'board' names another report"),
        (["none.json"], "none.json: No such file"),
        (["net.grulet"], "net.grulet: not a report"),
        (["."], "Is a directory"),
    ):
        given_paths = [word for path in paths for word in ("--import", path)]
        assert main(["bench", "net.grulet", "--steps", "10000000", *given_paths]) == 2
        problem = capsys.readouterr().err
        assert problem.count("\n") == 1
        assert reason in problem


SHORT = ["bench", "net.grulet", "--steps", "40", "--paced-steps", "20", "--between-bytes", "65536"]


def test_bench_in_real_time(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Steps that were asked for, operators of the model, a picture; the clock is real, so times are not judged."""
    assert main([*SHORT, "--period", "1ms", "--plot", "p.png", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [op["name"] for op in data["operators"]] == [op.name for op in grulet.load("net.grulet").ops]
    assert data["paced"]["period_seconds"] == 0.001
    ours, read = (data["paced"]["contestants"][name] for name in (STEP, READ))
    assert (ours["compute_microseconds"]["steps"], read["compute_microseconds"]["steps"]) == (20, 3)
    assert 0 <= ours["deadline_misses"] <= 20
    assert (net / "p.png").read_bytes().startswith(b"\x89PNG")
    assert {path.name for path in net.iterdir()} == {"net.grulet", "p.png"}


def test_bench_of_a_period_that_nobody_keeps(net: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends, and says so."""
    assert main([*SHORT, "--period", "1us", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["paced"]["contestants"][STEP]["deadline_misses"] > 0
    assert main([*SHORT, "--period", "0.000001"]) == 0
    assert "of 20 deadlines missed" in capsys.readouterr().out


def test_bench_without_matplotlib(
    net: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, before anything is measured."""
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert main(["bench", "net.grulet", "--plot", "p.png"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "grulet bench: this needs the package matplotlib: pip install 'grulet[plot]'\n"
    assert not (net / "p.png").exists()


def test_a_place_that_cannot_be_written_is_refused_first(net: Path) -> None:
    """A folder, a folder that is not there, a name no file can have."""
    from grulet.files import check_writable

    (net / "folder.png").mkdir()
    for name in ("folder.png", "no/p.png", "p\0.png"):
        with pytest.raises(GruletError, match="cannot be written"):
            check_writable(name)
    check_writable("p.png")
    assert not (net / "p.png").exists()
