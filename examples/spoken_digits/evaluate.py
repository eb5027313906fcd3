"""How well a network hears digits: clip by clip on the official test recordings, and in continuous noisy streams.

Both measures feed the network as a device would: frame after frame from a zero state, nothing normalized. They take
any function from frames ``(T, bands)`` to logits ``(T, 11)``, so that torch, onnxruntime and a grulet stream are
measured by the same code.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from clips import SAMPLE_RATE, Clip, Samples, active_region, load_clips, loudness
from decode import DIGITS, DigitDetector, Event, classify
from numpy.typing import NDArray

import grulet
from grulet.audio import Frames, LogMel, read_wav

Network = Callable[[Frames], NDArray[np.float32]]

#: A clip is fed with digital silence before and after it, s: the answer needs a moment after the word.
SILENCE_BEFORE = 0.10
SILENCE_AFTER = 0.30

#: A digit counts as heard when it is announced between the start of its word and this long after its end, s.
LATEST_ANNOUNCEMENT = 0.5

RECORDINGS = Path(__file__).with_name("recordings")


def clip_frames(clip: Clip, audio: LogMel) -> Frames:
    """The frames of one clip with 100 ms of digital silence before it and 300 ms after it."""
    before = np.zeros(round(SILENCE_BEFORE * SAMPLE_RATE), np.float32)
    after = np.zeros(round(SILENCE_AFTER * SAMPLE_RATE), np.float32)
    return audio.frames(np.concatenate((before, clip.samples, after)))


def clip_accuracy(network: Network, audio: LogMel, clips: Sequence[Clip]) -> dict[str, Any]:
    """Each clip alone, from a zero state: how many are right, by speaker, which went wrong, and the confusion."""
    confusion = np.zeros((DIGITS, DIGITS), int)
    speakers: dict[str, list[int]] = {}
    wrong = {}
    for clip in clips:
        answer = classify(network(clip_frames(clip, audio)))
        confusion[clip.digit, answer] += 1
        speakers.setdefault(clip.speaker, []).append(int(answer == clip.digit))
        if answer != clip.digit:
            wrong[clip.name] = answer
    return {
        "clips": len(clips),
        "right": int(confusion.trace()),
        "accuracy": round(float(confusion.trace() / len(clips)), 4),
        "by_speaker": {name: round(sum(right) / len(right), 4) for name, right in sorted(speakers.items())},
        "wrong": wrong,
        "confusion": confusion.tolist(),
    }


@dataclass(frozen=True)
class Word:
    """What was really said: a digit, and when, in seconds from the first sample."""

    label: int
    start: float
    end: float


def continuous(
    clips: Iterable[Clip],
    background: Samples,
    signal_to_noise_decibel: float,
    seed: int = 0,
    gap_seconds: tuple[float, float] = (0.3, 1.0),
    level: float = 0.05,
) -> tuple[Samples, list[Word]]:
    """One recording of all clips in turn, with pauses between them and background noise throughout.

    Every word is brought to the same loudness ``level`` (root mean square of the word without the silence around
    it); the background, repeated as needed, is scaled to lie so many decibel below that over the whole recording.
    """
    random = np.random.default_rng(seed)
    pieces: list[Samples] = []
    words = []
    length = 0

    def pause() -> None:
        nonlocal length
        pieces.append(np.zeros(round(random.uniform(*gap_seconds) * SAMPLE_RATE), np.float32))
        length += len(pieces[-1])

    pause()
    for clip in clips:
        start, end = active_region(clip.samples)
        words.append(Word(clip.digit, (length + start) / SAMPLE_RATE, (length + end) / SAMPLE_RATE))
        pieces.append(clip.samples * np.float32(level / loudness(clip.samples)))
        length += len(pieces[-1])
        pause()
    speech = np.concatenate(pieces)
    noise = np.resize(background, length)
    gain = level * 10.0 ** (-signal_to_noise_decibel / 20.0) / np.sqrt(np.square(noise, dtype=np.float64).mean())
    return np.clip(speech + np.float32(gain) * noise, -1.0, 1.0), words


def detect(logits: NDArray[np.float32], audio: LogMel) -> list[Event]:
    """All digits that a detector hears in the logits ``(T, 11)`` of a stream."""
    detector = DigitDetector(audio.hop_seconds, audio.window_seconds)
    return [event for frame in logits if (event := detector.step(frame)) is not None]


@dataclass(frozen=True)
class Heard:
    """A word that was said with what was announced for it (None: nothing), or an announcement of no word."""

    said: Word | None
    event: Event | None

    @property
    def is_right(self) -> bool:
        """Whether the digit said is the digit announced."""
        return self.said is not None and self.event is not None and self.said.label == self.event.label


def pair(events: Sequence[Event], words: Sequence[Word]) -> list[Heard]:
    """Every word with the announcement in its time, then the announcements that are left over."""
    waiting = list(events)
    heard = []
    for word in words:
        in_time = [e for e in waiting if word.start <= e.end <= word.end + LATEST_ANNOUNCEMENT]
        # Of several announcements the right one is the word's; the others stay and count as insertions.
        chosen = next((event for event in in_time if event.label == word.label), in_time[0] if in_time else None)
        if chosen is not None:
            waiting.remove(chosen)
        heard.append(Heard(word, chosen))
    return heard + [Heard(None, event) for event in waiting]


def match(events: Sequence[Event], words: Sequence[Word]) -> dict[str, int]:
    """Count hits (right digit in time), substitutions (wrong digit in time), misses and insertions."""
    heard = pair(events, words)
    hits = sum(entry.is_right for entry in heard)
    answered = sum(entry.said is not None and entry.event is not None for entry in heard)
    return {
        "words": len(words),
        "hits": hits,
        "substitutions": answered - hits,
        "misses": len(words) - answered,
        "insertions": len(heard) - len(words),
    }


def stream_detection(
    network: Network, audio: LogMel, clips: Sequence[Clip], background: Samples, decibel: float, seed: int = 0
) -> dict[str, Any]:
    """All clips in random order as one continuous noisy recording, heard by the detector."""
    order = np.random.default_rng(seed).permutation(len(clips))
    samples, words = continuous([clips[i] for i in order], background, decibel, seed)
    events = detect(network(audio.frames(samples)), audio)
    delays = [
        event.end - word.end
        for word in words
        for event in events
        if event.label == word.label and word.start <= event.end <= word.end + LATEST_ANNOUNCEMENT
    ]
    return match(events, words) | {
        "signal_to_noise_decibel": decibel,
        "seconds": round(len(samples) / SAMPLE_RATE, 1),
        "median_delay_after_word_seconds": round(float(np.median(delays)), 3) if delays else None,
    }


def background_alone(network: Network, audio: LogMel, background: Samples) -> dict[str, Any]:
    """How many digits are heard in background noise in which nobody speaks."""
    events = detect(network(audio.frames(background)), audio)
    return {"seconds": round(len(background) / SAMPLE_RATE, 1), "false_alarms": len(events)}


def evaluate(network: Network, audio: LogMel, clips: Sequence[Clip], background: Samples) -> dict[str, Any]:
    """Everything this file measures."""
    return {
        "per_clip": clip_accuracy(network, audio, clips),
        "streams": [stream_detection(network, audio, clips, background, decibel) for decibel in (20.0, 10.0)],
        "background_alone": background_alone(network, audio, background),
    }


def torch_network(model: Any) -> Network:
    """A torch module as a function from frames to logits."""
    import torch

    def network(frames: Frames) -> NDArray[np.float32]:
        with torch.no_grad():
            logits: NDArray[np.float32] = model(torch.from_numpy(frames)[None])[0].numpy()
        return logits

    return network


def checkpoint_network(path: Path | None) -> tuple[Network, LogMel]:
    """A checkpoint in torch, and its front end."""
    from model import AUDIO, load

    return torch_network(load(path)), AUDIO


def grulet_network(path: Path) -> tuple[Network, LogMel]:
    """A .grulet file in the C kernel, and the front end it declares."""
    model = grulet.load(path)
    return lambda frames: model.stream().run(frames), LogMel.from_metadata(model.metadata["audio"])


def table(result: dict[str, Any]) -> str:
    """The result for people."""
    clips = result["per_clip"]
    lines = [
        f"per clip      {clips['right']} of {clips['clips']} right ({100 * clips['accuracy']:.2f} %)",
        "by speaker    " + ", ".join(f"{name} {100 * a:.1f} %" for name, a in clips["by_speaker"].items()),
        "wrong         " + (", ".join(f"{n} heard as {a}" for n, a in clips["wrong"].items()) or "none"),
        "",
        "confusion     " + "".join(f"{digit:5}" for digit in range(DIGITS)) + "   <- heard",
        *(
            f"{digit:12}  " + "".join(f"{count or '.':>5}" for count in row)
            for digit, row in enumerate(clips["confusion"])
        ),
        "",
        "continuous    words  hits  substitutions  misses  insertions  median delay after the word",
        *(
            f"at {s['signal_to_noise_decibel']:4.0f} dB    {s['words']:5}  {s['hits']:4}  {s['substitutions']:13}"
            f"  {s['misses']:6}  {s['insertions']:10}  {s['median_delay_after_word_seconds']} s"
            for s in result["streams"]
        ),
        "noise alone   {false_alarms} false alarms in {seconds} s".format(**result["background_alone"]),
    ]
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=RECORDINGS, help="folder of recordings (default: beside this)")
    parser.add_argument("--background", type=Path, default=RECORDINGS / "background.wav", help="noise, wav, 8 kHz")
    parser.add_argument("--checkpoint", type=Path, help="torch checkpoint (default: the one beside this)")
    parser.add_argument("--model", type=Path, help="a .grulet file instead of a checkpoint: what the device will hear")
    parser.add_argument("--speaker", help="all recordings of this speaker, instead of the official test split")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()

    clips = load_clips(options.data)
    chosen = [c for c in clips if (c.speaker == options.speaker if options.speaker else c.is_test)]
    if not chosen:
        parser.error(f"no recordings of the speaker {options.speaker!r} in {options.data}")
    background, _ = read_wav(options.background)
    network, audio = grulet_network(options.model) if options.model else checkpoint_network(options.checkpoint)
    result = evaluate(network, audio, chosen, background)
    print(json.dumps(result, indent=2) if options.json else table(result))


if __name__ == "__main__":
    main()
