"""From matplotlib to a picture inside a page: SVG whose colours the page chooses, for light and for dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import Any

#: A colour while drawing -> the page's name for it.  Light and dark values of the names are in page.css.
INK, MUTED, LINES, PAPER = "#010203", "#040506", "#070809", "#0a0b0c"
FLOAT, QUANTIZED, WEIGHTS, ACTIVATIONS, MARK = "#0d0e0f", "#101112", "#131415", "#161718", "#191a1b"
_NAMES = {
    INK: "ink",
    MUTED: "muted",
    LINES: "lines",
    PAPER: "paper",
    FLOAT: "float",
    QUANTIZED: "quantized",
    WEIGHTS: "weights",
    ACTIVATIONS: "activations",
    MARK: "mark",
}

_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be read, searched and scaled
    "text.parse_math": False,  # names are the model's and no formulas
    "font.family": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINES,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINES,
    "grid.linewidth": 0.6,
    "xtick.color": LINES,
    "ytick.color": LINES,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
}


def svg(name: str, description: str, size: tuple[float, float], draw: Callable[[Any], None]) -> str:
    """``draw(figure)`` as an <svg> element; ``name`` differs for every picture of a page, ``size`` in inches.

    A width of 6 inches is half of the page on a screen and the whole of it on a phone.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # not pyplot: no window, no state left behind

    # A name whose letters the font lacks is measured as boxes, which only places it a little wrong.
    with rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _inline(written.getvalue(), name, description)


def _inline(text: str, name: str, description: str) -> str:
    """The element alone, with the page's colours, and ids that no other picture has."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = text.replace("<svg", f'<svg role="img" aria-label="{escape(description)}"', 1)
    text = re.sub(r' id="([^"]+)"', rf' id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    for colour, role in _NAMES.items():
        text = text.replace(colour, f"var(--{role})")
    return text
