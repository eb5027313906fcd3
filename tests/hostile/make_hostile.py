"""Write the hostile files of this folder: `python tests/hostile/make_hostile.py`.

The C tests read them, and any other reader of the format may.  tests/mutations.py and tests/operator_mutations.py hold
many more, made on the fly.
`index.txt`: a file and the status that `grulet_model_open` must give, one a line.
"""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER.parent))

from mutations import MUTATIONS, base_file, hostile  # noqa: E402
from operator_mutations import hostile_operator  # noqa: E402

CHOSEN = (
    "version-2",
    "trailing-byte",
    "arena-too-small",
    "port-value-outside",
    "value-offset-wraps",
    "overlap-live-value",
    "read-before-written",
    "state-offset",
    "initial-above-1",
    "op-data-huge",
    "hole-between-weights",
    "weights-missing",
    "initial-missing",
    "data-beyond-the-file",
    "panel-padding-row",
    "row-sum",
    "weight-128",
    "scale-nan",
    "f32-weight-inf",
)


CHOSEN_OPERATORS = (
    "tokens-too-many",
    "second-input-outside",
    "binary-widths",
    "slice-far-beyond",
    "norm-of-nothing",
    "history-of-one-tap",
    "history-longer-than-floats-count",
    "embedding-with-too-few-rows",
    "embedding-scale-nan",
    "select-far-outside",
    "overlap-second-input",
    "state-write-of-an-lstm",
    "initial-c-too-large",
    "initial-of-history",
    "lstm-row-sum-fourth-panel",
    "loop-interrupted",
    "reverse-history",
    "first-frame-in-a-loop",
    "state-never-written",
    "state-written-narrower",
    "int4-of-affine",
    "int4-with-f32-activations",
    "int4-multiplier-16-input",
    "int4-multiplier--16-recurrent-fourth-panel",
    "int4-row-sum-recurrent",
    "int4-padding-row",
    "int4-padding-inputs",
    "int4-padding-multiplier",
    "int4-panel-end",
    "int4-table-multiplier-16",
    "int4-table-padding",
    "f16-with-int16-activations",
    "f16-input-nan",
    "f16-recurrent-minus-inf",
    "f16-padding-row",
    "f16-table-inf",
)


def hostile_files() -> dict[str, bytes]:
    """Return file name -> bytes."""
    files = {f"{name}.grulet": hostile(name) for name in CHOSEN}
    files |= {f"{name}.grulet": hostile_operator(name) for name in CHOSEN_OPERATORS}
    base = base_file()
    files["empty.grulet"] = b""
    files["text.grulet"] = b"this is a text file, not a model\n"
    files["truncated.grulet"] = base[: len(base) // 2]
    files["flipped-bit.grulet"] = base[:1000] + bytes([base[1000] ^ 4]) + base[1001:]
    return files


def index() -> str:
    """Return the list of files and statuses."""
    status = {f"{name}.grulet": MUTATIONS[name].status for name in CHOSEN}
    status |= {f"{name}.grulet": "GRULET_FORBIDDEN" for name in CHOSEN_OPERATORS}
    status["empty.grulet"] = status["text.grulet"] = "GRULET_NOT_A_MODEL"
    status["truncated.grulet"] = "GRULET_WRONG_SIZE"
    status["flipped-bit.grulet"] = "GRULET_DAMAGED"
    return "".join(f"{name} {status[name]}\n" for name in hostile_files())


if __name__ == "__main__":
    for stale in FOLDER.glob("*.grulet"):
        stale.unlink()
    for file_name, content in hostile_files().items():
        (FOLDER / file_name).write_bytes(content)
    (FOLDER / "index.txt").write_text(index())
