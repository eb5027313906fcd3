"""The formats that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FLOAT = "float32"
INT8 = "int8"
INT4 = "int4"
TRAINED = "int4, trained"
MIXED = "mixed"


@dataclass(frozen=True)
class Variant:
    """What `grulet_export.export` is told."""

    note: str  # for people, in a table
    options: Mapping[str, Any] = field(default_factory=dict)
    is_calibrated: bool = False
    is_trained: bool = False  # comes out of quantization-aware training, whose files lie in the repository
    #: The file may have as many bytes as these two variants' files on average, and mixes formats; none: one format.
    between: tuple[str, ...] = ()


#: The first is what all others are held against; int16 activations where nothing else is said.
VARIANTS: dict[str, Variant] = {
    FLOAT: Variant("", {"weights": "f32"}),
    "float16": Variant("weights stored as halves", {"weights": "f16"}),
    INT8: Variant("no data needed", {"weights": "int8"}),
    "int8, calibrated": Variant("rounded on typical frames", {"weights": "int8"}, is_calibrated=True),
    "int8, int8 activations": Variant("no data needed", {"weights": "int8", "activations": "int8"}),
    INT4: Variant("no data needed", {"weights": "int4"}),
    "int4, calibrated": Variant("rounded on typical frames", {"weights": "int4"}, is_calibrated=True),
    MIXED: Variant(
        "int4 to f32 by operator, in the mean of the bytes of int4 and int8", is_calibrated=True, between=(INT4, INT8)
    ),
    TRAINED: Variant("quantization-aware training", {"weights": "int4"}, is_trained=True),
}
