"""The trade-offs of a mixture as a picture: what each file would lose."""

from __future__ import annotations

import io
import os
from pathlib import Path

from grulet.errors import GruletError
from grulet.files import check_writable
from grulet_export.quantization.mixing import Mixture

ENDINGS = (".png", ".svg", ".pdf")
_CURVE, _CHOSEN, _MUTED = "#2166ac", "#c51b28", "#666666"


def check_picture(mix: bool, path: str | os.PathLike[str] | None) -> None:
    """Refuse now what would fail after minutes: no mixture to draw, no matplotlib, no format, nowhere to write it."""
    if path is None:
        return
    if not mix:
        raise GruletError("mix_picture goes with mix")
    if Path(path).suffix.lower() not in ENDINGS:
        raise GruletError(f"mix_picture: the name of a .png, .svg or .pdf file was expected, not {os.fspath(path)!r}")
    import matplotlib  # noqa: F401

    check_writable(path)


def picture(mixture: Mixture, ending: str) -> bytes:
    """Draw loss against bytes, and where the file that was chosen lies; in the format of the ending."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure  # not pyplot: no window, no state left behind

    points = [choice for choice in mixture.curve if choice.loss > 0]
    sizes, losses = [choice.file_bytes / 1e3 for choice in points], [100 * choice.loss for choice in points]
    chosen = mixture.chosen.file_bytes / 1e3, 100 * mixture.measured_loss
    with rc_context({"svg.hashsalt": "mixture"}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.plot(sizes, losses, "o-", color=_CURVE, markersize=5, linewidth=1.4)
        axes.plot(*chosen, "*", color=_CHOSEN, markersize=15, zorder=4)
        axes.annotate("this file, measured", chosen, xytext=(10, 6), textcoords="offset points", color=_CHOSEN)
        for point, aside in ((points[0], (8, 4)), (points[-1], (-8, 8))) if points else ():
            axes.annotate(
                point.summary, (point.file_bytes / 1e3, 100 * point.loss), xytext=aside, textcoords="offset points",
                color=_MUTED, ha="left" if aside[0] > 0 else "right",
            )  # fmt: skip
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set(xlabel="file, kB", ylabel="loss: RMS error, % of the output's RMS")
        axes.set_title(f"{mixture.chosen.summary}: {mixture.measured_loss:.2%} lost in {chosen[0]:,.0f} kB", loc="left")
        axes.grid(color="#dddddd", linewidth=0.6, which="both")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(0.1)
        drawn = io.BytesIO()
        metadata = {"Date": None} if ending.lower() == ".svg" else {"CreationDate": None} if ending == ".pdf" else {}
        figure.savefig(drawn, format=ending[1:].lower(), dpi=100, metadata=metadata)
    return drawn.getvalue()
