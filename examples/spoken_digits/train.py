"""Train the spoken-digit network on continuous noisy streams, in about two minutes on one CPU core.

The official test recordings (index 0 to 4) train nothing and choose nothing, they are only counted at the end; early
stopping looks at a validation split taken from the training recordings. The last third of the noise recording is kept
out of training as well, for the demo and the noisy tests.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from clips import SAMPLE_RATE, Clip, Samples, load_clips
from evaluate import clip_accuracy, clip_frames, evaluate, table, torch_network
from model import AUDIO, CHECKPOINT, SpokenDigits
from recurrence import run_layers
from scipy.signal import resample_poly  # type: ignore[import-untyped]
from streams import Recipe, StreamMaker
from torch import Tensor, nn
from tqdm import tqdm

from grulet.audio import read_wav

#: Training recordings with these indices choose the checkpoint and are not trained on.
VALIDATION_INDICES = range(5, 8)

#: The part of the noise recording that training may use.
NOISE_SHARE = 2.0 / 3.0

#: A batch is this many streams of 6 s, about 200 words; an epoch says about every training recording once.
STREAMS = 32
STREAM_FRAMES = 600
BATCHES_PER_EPOCH = 10
EPOCHS = 36
EPOCHS_PER_VALIDATION = 2
#: One thread costs 46 ms a step here, two cost 33 ms; but as soon as anything else runs, two wait for each other.
THREADS = 1
#: Gradients flow this many frames back; the state is carried on, so that nothing starts from zero but a stream.
CHUNK_FRAMES = 100

PEAK_LEARNING_RATE = 6e-3
WEIGHT_DECAY = 0.01
LARGEST_GRADIENT = 1.0
DROPOUT = 0.1
LABEL_SMOOTHING = 0.02
#: The checkpoint is a running average of the weights: smoother than any one of them.
AVERAGE_DECAY = 0.98
#: Stop when the validation loss has not improved for this many epochs.
PATIENCE = 10


def read_noise(path: Path) -> Samples:
    """The noise recording at 8 kHz, mono, all of it."""
    if path.suffix == ".wav":
        samples, sample_rate = read_wav(path)
    else:
        import soundfile

        samples, sample_rate = soundfile.read(path, dtype="float32", always_2d=True)
        samples = samples.mean(axis=1)
    factor = np.gcd(sample_rate, SAMPLE_RATE)
    resampled: Samples = resample_poly(samples, SAMPLE_RATE // factor, sample_rate // factor).astype(np.float32)
    return resampled


class Validation:
    """The loss that chooses the checkpoint: held-out training recordings, alone and in noisy streams."""

    def __init__(self, clips: list[Clip], noise: Samples) -> None:
        frames = [torch.from_numpy(clip_frames(clip, AUDIO)) for clip in clips]
        self._digits = torch.tensor([clip.digit for clip in clips])
        self._lengths = torch.tensor([len(f) for f in frames])
        self._frames = nn.utils.rnn.pad_sequence(frames, batch_first=True)
        unspoiled = Recipe(warp=(1.0, 1.0), speed=(0.95, 1.05), tilt_decibel=0.0, mask_share=0.0)
        self._streams = StreamMaker(clips, noise, AUDIO, unspoiled, seed=1).batch(24, STREAM_FRAMES)

    @torch.no_grad()
    def __call__(self, model: SpokenDigits) -> tuple[float, float]:
        """The loss and the accuracy per clip."""
        model.eval()
        probabilities = model(self._frames).softmax(-1)[:, :, :10]
        inside = torch.arange(self._frames.shape[1]) < self._lengths[:, None]
        evidence = (probabilities * inside[:, :, None]).sum(1)
        share = evidence / evidence.sum(1, keepdim=True)
        clip_loss = -share.gather(1, self._digits[:, None]).clamp_min(1e-6).log().mean()
        frames, targets, weights = self._streams
        stream_loss = weighted_loss(model(frames), targets, weights, smoothing=0.0)
        model.train()
        right = (evidence.argmax(1) == self._digits).float().mean()
        return float(clip_loss + stream_loss), float(right)


def weighted_loss(logits: Tensor, targets: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Cross entropy over the frames that have a clear answer."""
    losses = nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=smoothing
    )
    return (losses * weights.flatten()).sum() / weights.sum()


def train(clips: list[Clip], noise: Samples, seed: int, epochs: int) -> SpokenDigits:
    """Train on these recordings and this noise; the network with the best validation loss comes back."""
    torch.manual_seed(seed)
    validation = Validation([clip for clip in clips if clip.index in VALIDATION_INDICES], noise)
    maker = StreamMaker([clip for clip in clips if clip.index not in VALIDATION_INDICES], noise, AUDIO, Recipe(), seed)
    model = SpokenDigits(dropout=DROPOUT)
    average = deepcopy(model)
    best, best_loss, best_epoch = deepcopy(model), float("inf"), 0
    matrices = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    biases = [parameter for parameter in model.parameters() if parameter.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": biases, "weight_decay": 0.0}]
    )
    steps = epochs * BATCHES_PER_EPOCH * (STREAM_FRAMES // CHUNK_FRAMES)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_LEARNING_RATE, total_steps=steps, pct_start=0.2)

    def learn(frames: Tensor, targets: Tensor, weights: Tensor) -> None:
        """One pass over a batch of streams, a chunk of frames at a time, carrying the state on."""
        state = None
        for part in (slice(at, at + CHUNK_FRAMES) for at in range(0, STREAM_FRAMES, CHUNK_FRAMES)):
            states, state = run_layers(model.gru, frames[:, part], state)
            loss = weighted_loss(model.output(states), targets[:, part], weights[:, part], LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for kept, fresh in zip(average.parameters(), model.parameters(), strict=True):
                    kept.lerp_(fresh, 1.0 - AVERAGE_DECAY)

    progress = tqdm(total=epochs * BATCHES_PER_EPOCH, desc="training", unit="batch")
    for epoch in range(1, epochs + 1):
        for _ in range(BATCHES_PER_EPOCH):
            learn(*maker.batch(STREAMS, STREAM_FRAMES))
            progress.update()
        if epoch % EPOCHS_PER_VALIDATION and epoch < epochs:
            continue
        loss, accuracy = validation(average)
        progress.set_postfix(epoch=epoch, validation=f"{loss:.3f}", clips=f"{100 * accuracy:.1f} %")
        if loss < best_loss:
            best, best_loss, best_epoch = deepcopy(average), loss, epoch
        elif epoch - best_epoch > PATIENCE:
            break
    progress.close()
    return best.eval()


def add_to_metrics(path: Path, key: str, value: dict[str, Any], speaker: str | None) -> None:
    """Write one result into the metrics file, keeping what other training runs have written there.

    Confusion tables are left out: `evaluate.py` prints them.
    """
    value.pop("confusion", None)
    value.get("per_clip", {}).pop("confusion", None)
    metrics = json.loads(path.read_text()) if path.exists() else {}
    if speaker is None:
        metrics[key] = value
    else:
        metrics.setdefault(key, {})[speaker] = value
    path.write_text(json.dumps(metrics, indent=2) + "\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the Free Spoken Digit Dataset's recordings")
    parser.add_argument(
        "--noise", type=Path, required=True, help="background noise, wav or flac; its last third is kept out"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="default: %(default)s")
    parser.add_argument("--leave-out", metavar="SPEAKER", help="train without this speaker and test on all they said")
    parser.add_argument(
        "--checkpoint", type=Path, help="weights to write (default: digits.pt here; none if leaving out)"
    )
    parser.add_argument("--metrics", type=Path, help="JSON file to add the results to")
    options = parser.parse_args()

    torch.set_num_threads(THREADS)
    clips = load_clips(options.data)
    noise = read_noise(options.noise)
    border = int(len(noise) * NOISE_SHARE)
    speaker = options.leave_out
    if speaker is not None and speaker not in {clip.speaker for clip in clips}:
        parser.error(f"no recordings of the speaker {speaker!r} in {options.data}")
    material = [clip for clip in clips if not clip.is_test and clip.speaker != speaker]

    started, worked = time.perf_counter(), time.process_time()
    model = train(material, noise[:border], options.seed, options.epochs)
    result: dict[str, Any] = {
        "command": f"train.py --data {options.data.name} --noise {options.noise.name} --seed {options.seed} "
        f"--epochs {options.epochs}" + (f" --leave-out {speaker}" if speaker else ""),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}",
        "seed": options.seed,
        "training_seconds": round(time.perf_counter() - started, 1),
        "training_processor_seconds": round(time.process_time() - worked, 1),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_recordings": len([clip for clip in material if clip.index not in VALIDATION_INDICES]),
        "validation_recordings": len([clip for clip in material if clip.index in VALIDATION_INDICES]),
    }
    network = torch_network(model)
    if speaker is None:
        checkpoint = options.checkpoint or CHECKPOINT
        torch.save(model.state_dict(), checkpoint)
        result |= evaluate(network, AUDIO, [clip for clip in clips if clip.is_test], noise[border:])
        print(table(result))
        print(f"\ntrained in {result['training_seconds']:.0f} s; weights in {checkpoint}")
    else:
        if options.checkpoint:
            torch.save(model.state_dict(), options.checkpoint)
        result |= clip_accuracy(network, AUDIO, [clip for clip in clips if clip.speaker == speaker])
        print(f"{speaker}, left out of training: {result['right']} of {result['clips']} recordings right")
    if options.metrics:
        add_to_metrics(options.metrics, "left_out" if speaker else "official_split", result, speaker)


if __name__ == "__main__":
    main()
