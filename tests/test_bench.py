"""What `grulet bench` is made of: time on a clock of our own, operators, the report and its picture."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from programs import Builder, plain_frames, small_file

import grulet
from grulet import format as grulet_format
from grulet.__main__ import main
from grulet.bench import measure
from grulet.bench_operators import OperatorParts
from grulet.bench_picture import MOST_BARS, draw
from grulet.bench_report import READ, REST, STEP, TICK, BenchReport, PacedRun
from grulet.commands.arguments import period, whole
from grulet.errors import GruletError
from grulet.paced import WARM_UP, OtherWork, PacedTimes, in_turn, run_paced

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


# ---- the report and its picture -------------------------------------------------------------------------------------


def report_of(
    data: bytes, *, paced: bool = True, rivals: tuple[str, ...] = (), model: str = "net.grulet"
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
    facts = {"cpu": "a CPU", "system": "a system", "python": "3", "isa": "generic", "pinned_to_cpu": None}
    return BenchReport(
        model,
        "a model",
        opened.weight_bytes,
        facts,
        hot,
        parts.costs(float(np.median(hot[TICK])), 2e3),
        run if paced else None,
    )


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
