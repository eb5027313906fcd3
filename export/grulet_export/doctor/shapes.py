"""Sizes that the exporter froze: the model runs on nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator

from grulet_export.doctor.facts import Facts, Layer, Size, attributes, input_of, name_of
from grulet_export.doctor.finding import Finding, counted
from grulet_export.doctor.recurrent import carried

EXPORT_FREE = "Export again with this axis dynamic (dynamic_axes or dynamic_shapes in torch.onnx.export)."


def batch(facts: Facts) -> Iterator[Finding]:
    """Find the first recurrent layer whose number of streams is fixed, by its frames or by its initial state."""
    for layer in facts.layers:
        _, frames = _time_and_batch(facts, layer)
        if isinstance(frames, int) and frames > 1:
            yield _frozen("frozen_batch", layer, f"It runs only on batches of {frames:,}.", EXPORT_FREE, frames)
            return
        for start, _ in layer.states:
            state = _batch_of_state(facts, layer, start)
            if isinstance(state, int) and isinstance(frames, str):
                yield _frozen(
                    "frozen_batch",
                    layer,
                    f"The batch '{frames}' of its frames is free, but its initial state '{start}' is for {state:,}: it "
                    "fails on any other.",
                    "Make the initial state an input with a free batch axis, or leave it out if it is zeros.",
                    state,
                )
                return


def time(facts: Facts) -> Iterator[Finding]:
    """Find the first recurrent layer whose number of frames is fixed; one frame is right if the state is carried."""
    for layer in facts.layers:
        frames, _ = _time_and_batch(facts, layer)
        if isinstance(frames, int) and (frames > 1 or not carried(facts, layer)):
            yield _frozen("frozen_time", layer, f"It runs only on sequences of {frames:,}.", EXPORT_FREE, frames)
            return


def reshapes(facts: Facts) -> Iterator[Finding]:
    """Find reshapes with a fixed size where frames or streams are free."""
    free = {size for name in facts.inputs for size in facts.shapes.get(name, ()) if isinstance(size, str)}
    for node in facts.live:
        shape = facts.shapes.get(input_of(node, 0), ())
        target = facts.constants.get(input_of(node, 1))
        if node.op_type != "Reshape" or target is None or attributes(node).get("allowzero", 0):
            continue
        if not all(isinstance(size, int) or size in free for size in shape):
            continue  # the fixed sizes among these are not known, so nothing can be said
        held = _swallowed(shape, [int(size) for size in target.ravel()])
        if held:
            yield Finding(
                "frozen_reshape",
                name_of(node),
                "Reshape",
                f"The shape {target.tolist()} fixes {held:,} of what is free in {_text(shape)}: it fails on other "
                "sizes, or mixes frames and streams.",
                "Export again with dynamic axes; in torch write x.shape[0] or -1 in view and reshape, or use flatten.",
                held,
                "frames or streams",
            )


def _swallowed(shape: tuple[Size, ...], target: list[int]) -> int:
    """Return how many frames or streams a constant shape counts as fixed; 0 if all that is free stays free."""
    left = [size for place, size in enumerate(shape) if not (place < len(target) and target[place] == 0)]
    if not any(isinstance(size, str) for size in left):
        return 0
    have = math.prod(size for size in left if isinstance(size, int))
    want = math.prod(size for size in target if size > 0)
    if have == 0 or want % have:
        return 0
    # Without a -1 nothing is left to hold the free axes; with it, only a larger product has taken from them.
    return want // have if -1 not in target or want > have else 0


def _time_and_batch(facts: Facts, layer: Layer) -> tuple[Size, Size]:
    """Return the sizes of the frames' first two axes, time first."""
    shape = facts.shapes.get(input_of(layer.node, 0), ())
    if len(shape) != 3:
        return None, None
    return (shape[1], shape[0]) if layer.layout == 1 else (shape[0], shape[1])


def _batch_of_state(facts: Facts, layer: Layer, name: str) -> Size:
    shape = facts.shapes.get(name, ())
    return shape[0 if layer.layout == 1 else 1] if len(shape) == 3 else None


def _frozen(kind: str, layer: Layer, risk: str, remedy: str, value: int) -> Finding:
    unit = "frame" if kind == "frozen_time" else "stream"
    return Finding(kind, name_of(layer.node), layer.node.op_type, risk, remedy, value, counted(value, unit))


def _text(shape: tuple[Size, ...]) -> str:
    return f"({', '.join(map(str, shape))})"
