"""Stream the session of a person the network has never met, and say what it takes the exercise for, as it goes.

python -m examples.watch_exercises [--subject 9] [--plot FILE.png]
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from examples.command import exit_status
from examples.watch_exercises.answers import MEMORY, Display
from examples.watch_exercises.evaluate import GRULET
from examples.watch_exercises.frames import FRAMES_PER_SECOND, Session
from examples.watch_exercises.recordings import EXERCISES, TEST_SUBJECTS, load_test
from numpy.typing import NDArray

import grulet
from grulet.files import check_writable

PROGRAM = "watch_exercises"


@dataclass(frozen=True)
class Streamed:
    """A session after the network, frame by frame."""

    logits: NDArray[np.float32]  # (T, 7)
    shown: NDArray[np.intp]  # (T,)
    sure: NDArray[np.float64]  # (T,), 0 to 1
    nanoseconds: NDArray[np.int64]  # (T,) of each step of the network


def stream(model: grulet.Model, session: Session) -> Streamed:
    """As a watch would: a frame, a step, an answer."""
    network, display = model.stream(), Display()
    logits, shown, sure, times = [], [], [], []
    for frame in session.frames:
        begin = time.perf_counter_ns()
        answer = network.step(frame)
        times.append(time.perf_counter_ns() - begin)
        exercise, probability = display.step(answer)
        logits.append(answer)
        shown.append(exercise)
        sure.append(probability)
    return Streamed(np.stack(logits), np.array(shown), np.array(sure), np.array(times))


def lines(session: Session, streamed: Streamed) -> list[str]:
    """A line for every change of what is shown or done."""
    done = session.truth
    found = [f"{'time':>6}  {'shown':<22}{'sure':>5}  {'really':<22}"]
    for frame in range(MEMORY - 1, len(done)):
        now = int(streamed.shown[frame]), int(done[frame])
        if frame == MEMORY - 1 or now != (int(streamed.shown[frame - 1]), int(done[frame - 1])):
            seconds = int((frame + 1) / FRAMES_PER_SECOND)
            mark = "" if now[0] == now[1] else " <-"
            found.append(
                f"{seconds // 60:>3}:{seconds % 60:02}  {EXERCISES[now[0]]:<22}{streamed.sure[frame]:>5.2f}  "
                f"{EXERCISES[now[1]]}{mark}"
            )
    return found


def run(options: argparse.Namespace) -> None:
    """Stream, print, draw."""
    if options.plot:
        check_writable(options.plot)
    session = Session.of([recording for recording in load_test() if recording.subject == options.subject])
    streamed = stream(grulet.load(options.model), session)
    print(*lines(session, streamed), sep="\n")
    right = np.mean(streamed.shown == session.truth)
    p50, p99 = np.percentile(streamed.nanoseconds, [50, 99]) / 1e3
    minutes, milliseconds = len(session.frames) / FRAMES_PER_SECOND / 60, 1e3 / FRAMES_PER_SECOND
    print(f"\n{minutes:.1f} minutes, right {100 * right:.1f} % of the time, the moments after every change included")
    print(f"a step, one every {milliseconds:.0f} ms, takes {p50:.1f} us (median), {p99:.1f} us (99 %)")
    if options.plot:
        from examples.watch_exercises.picture import draw

        draw(options.plot, session, streamed)
        print(f"picture: {options.plot}")


def main() -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--subject", type=int, choices=TEST_SUBJECTS, default=TEST_SUBJECTS[0])
    parser.add_argument("--model", type=Path, default=GRULET, metavar="FILE.grulet", help="(default: the one here)")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the session; needs matplotlib")
    options = parser.parse_args()
    return exit_status(PROGRAM, lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
