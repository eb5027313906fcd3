"""The report as one HTML page that needs nothing else: no network, no scripts, every picture inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from html import escape
from importlib.resources import files

from grulet_export.quality import pictures
from grulet_export.quality.material import Material
from grulet_export.quality.result import OperatorLoss, Quality, WorstFrame, WorstRow
from grulet_export.quality.table import number
from grulet_export.quality.verdict import decibels, headline, name_of, percent, sentences, share


def page(quality: Quality, material: Material, labels: Sequence[str] | None = None) -> str:
    """Return the page.  ``labels``: names of the elements of an output that has as many, as in the model's metadata."""
    sections = (
        _head(quality),
        _operators(quality),
        _time(quality),
        _trade_off(quality),
        _worst_frames(quality, material, labels),
        _worst_rows(quality),
        _tables(quality),
        _how(quality),
    )
    body = "\n".join(line for section in sections for line in section)
    css = files("grulet_export.quality").joinpath("page.css").read_text(encoding="utf-8")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name_of(quality))}: what quantization did</title>\n<style>\n{css}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(quality: Quality) -> Iterator[str]:
    bad = ' class="bad"' if quality.drift.drifts and not quality.exact else ""
    yield f'<p class="file">{escape(name_of(quality))}: what quantization did to this model</p>'
    yield f"<h1{bad}>{escape(headline(quality))}</h1>"
    yield '<div class="verdict">'
    yield from (f"<p>{escape(sentence).replace(' dB', '&nbsp;dB')}</p>" for sentence in sentences(quality))
    yield "</div>"
    yield '<div class="tiles">'
    yield from (_tile(*tile) for tile in _facts(quality))
    yield "</div>"


def _tile(value: str, meaning: str, bad: bool = False) -> str:
    return f'<div class="tile{" bad" if bad else ""}"><b>{escape(value)}</b><span>{escape(meaning)}</span></div>'


def _facts(quality: Quality) -> Iterator[tuple[str, str, bool]]:
    worst, drift = quality.worst_output, quality.drift
    if quality.metric is not None:
        values = quality.metric
        yield f"{values.quantized_value:.5g}", f"{values.name}; float: {values.float_value:.5g}", False
    yield f"{quality.file_bytes / quality.float_bytes:.0%}", f"of the float file: {quality.file_bytes:,} bytes", False
    snr = "no error" if quality.exact else decibels(worst.snr_db)
    yield snr, f"signal over error (SNR): the output is {percent(worst)} off", False
    yield f"{worst.largest:.2g}", f"largest error, in values up to {worst.reach:.3g}", False
    if drift.ratio is not None:
        yield f"{drift.ratio:.2f} x", "error, last quarter of the run over the second", drift.drifts
    for output in quality.outputs:
        if output.agreement is not None:
            which = f" of {output.name}" if len(quality.outputs) > 1 else ""
            yield share(output.agreement.share), f"of frames name the same class{which}", False


def _figure(picture: str, caption: str = "") -> str:
    text = f"<figcaption>{caption}</figcaption>" if caption else ""
    return f"<figure>{picture}{text}</figure>"


def _whole_width(draw: Callable[[str], str], caption: str) -> str:
    """A picture in two forms, of which the page shows one."""
    return _figure("".join(f'<div class="{form}">{draw(form)}</div>' for form in pictures.FORMS), caption)


def _operators(quality: Quality) -> Iterator[str]:
    costliest = quality.costliest
    if costliest is None:
        return
    quantized = [op for op in quality.operators if op.share is not None]
    yield f"<h2>{escape(_blame(costliest, len(quantized)))}</h2>"
    yield '<div class="pair">'
    yield _figure(
        pictures.shares(quality.operators),
        '<span class="key"><i style="background:var(--weights)"></i>weights'
        '<i style="background:var(--activations)"></i>activations</span><br>'
        "Each operator quantized alone, the rest in float: the error it causes at the model's output, and how much "
        f"of it the rounding of its weights causes (over {quality.alone_frames:,} frames).",
    )
    yield _figure(
        pictures.gates(quality.operators),
        "Everything quantized: how far each gate (a letter) and each output without gates (a diamond) is from "
        f"the float model's (gates over {quality.gate_frames:,} frames). GRU: z update, r reset, n candidate, h state; "
        "LSTM: i, f, g, o, and the states c and h.",
    )
    yield "</div>"


def _blame(op: OperatorLoss, operators: int) -> str:
    cause = ""
    if op.from_weights is not None:
        weights = op.from_weights
        cause = ", all of it by rounding weights" if weights > 0.995 else f", {weights:.0%} of it by rounding weights"
        if weights < 0.5:
            cause = f", {1 - weights:.0%} of it by rounding activations"
    if operators == 1:
        return f"{op.name} is the only quantized operator: it causes the whole error{cause}"
    of_all = op.share or 0.0
    return f"{op.name} causes {'most' if of_all > 0.5 else 'the largest part'} of the error: {of_all:.0%}{cause}"


def _time(quality: Quality) -> Iterator[str]:
    drift = quality.drift
    if quality.exact:
        return
    finding = "The error grows with time" if drift.drifts else "The error stays where it is"
    yield f"<h2>{finding}, over {quality.frames:,} frames</h2>"
    yield _whole_width(
        lambda form: pictures.over_time(drift, form),
        f"RMS error of every {drift.window} frames, in dB relative to the output's RMS. Tested: it drifts if the last "
        f"quarter has more than {drift.limit} times the error of the second, each relative to the output's RMS in that "
        f"quarter. Frames: {escape(quality.source)}.",
    )


def _trade_off(quality: Quality) -> Iterator[str]:
    if not quality.trade_off:
        return
    yield "<h2>What other sizes would cost</h2>"
    caption = (
        "Choices of formats for the operators, from the smallest file to the largest; the loss as it was estimated."
    )
    yield _whole_width(lambda form: pictures.trade_off(quality.trade_off, quality, form), caption)


def _worst_frames(quality: Quality, material: Material, labels: Sequence[str] | None) -> Iterator[str]:
    if not quality.worst_frames:
        return
    worst = quality.worst_frames[0]
    yield f"<h2>The worst frames: at most {worst.error:.2g} off</h2>"
    yield (
        '<p class="note">The largest errors of a single element; of several within ten frames the worst. Left the '
        "input up to the frame, right the output (rings and thick lines float, dots and thin lines quantized) and "
        "its error, magnified.</p>"
    )
    yield '<div class="pair">'
    for place, frame in enumerate(quality.worst_frames):
        excerpt = material.frames[max(0, frame.index - pictures.EXCERPT) : frame.index + 1]
        known = labels if labels is not None and len(labels) == len(frame.float_values) else None
        yield _figure(
            f"<h3>{escape(_frame_title(frame, quality, known))}</h3>"
            + pictures.worst_frame(place, frame, excerpt, known)
        )
    yield "</div>"


def _frame_title(frame: WorstFrame, quality: Quality, labels: Sequence[str] | None) -> str:
    which = f" of {frame.output}" if len(quality.outputs) > 1 else ""
    title = f"Frame {frame.index:,}: {frame.error:.2g} off{which}"
    output = next(output for output in quality.outputs if output.name == frame.output)
    if output.agreement is None:
        return title
    exact, rounded = (values.index(max(values)) for values in (list(frame.float_values), list(frame.quantized_values)))
    names = labels or [str(place) for place in range(output.width)]
    return (
        f"{title}, both say {names[exact]}" if exact == rounded else f"{title}, {names[exact]} becomes {names[rounded]}"
    )


def _worst_rows(quality: Quality) -> Iterator[str]:
    if not quality.worst_rows:
        return
    yield f"<h2>The rows of {escape(quality.worst_rows[0].operator)} whose sums move most</h2>"
    yield (
        '<p class="note">A unit adds up its inputs times a row of weights. Shown are the float weights, the values '
        "that the format allows for the row, and those in use. A few large weights far from the others stretch the "
        "grid. Off by: RMS of what rounding adds to the sum.</p>"
    )
    yield '<div class="pair">'
    for place, row in enumerate(quality.worst_rows):
        yield _figure(f"<h3>{escape(_row_title(row))}</h3>" + pictures.row_histogram(place, row))
    yield "</div>"


def _row_title(row: WorstRow) -> str:
    what = {"input": "input weights", "recurrent": "state weights", "table": "row of the table"}[row.matrix]
    gate = f"gate {row.gate}, " if row.gate else ""
    return f"Unit {row.unit}, {gate}{what}: off by {row.rms:.2g} (SNR {decibels(row.snr_db)})"


def _tables(quality: Quality) -> Iterator[str]:
    yield "<h2>All numbers</h2>"
    yield '<div class="scroll"><table><tr><th>output</th><th>elements</th><th>SNR, dB</th><th>RMS error</th>'
    yield "<th>largest error</th><th>largest value</th><th>same class</th></tr>"
    for output in quality.outputs:
        same = share(output.agreement.share) if output.agreement else "-"
        yield (
            f"<tr><td>{escape(output.name)}</td><td>{output.width}</td><td>{number(output.snr_db)}</td>"
            f"<td>{output.rms:.2e}</td><td>{output.largest:.2e}</td><td>{output.reach:.3g}</td><td>{same}</td></tr>"
        )
    yield "</table></div>"
    yield '<div class="scroll"><table><tr><th>operator</th><th class="text">kind</th><th>size</th>'
    yield '<th class="text">format</th><th>SNR, dB</th><th>alone, dB</th><th>share</th><th>of weights</th>'
    yield '<th class="text">gates, dB</th></tr>'
    for op in quality.operators:
        gates = ", ".join(f"{gate} {number(value)}" for gate, value in op.gates.items())
        yield (
            f'<tr><td>{escape(op.name)}</td><td class="text">{op.kind}</td><td>{op.inputs} &rarr; {op.units}</td>'
            f'<td class="text">{op.formats}</td><td>{number(op.snr_db)}</td><td>{number(op.alone_db)}</td>'
            f'<td>{_whole(op.share)}</td><td>{_whole(op.from_weights)}</td><td class="text">{gates}</td></tr>'
        )
    yield "</table></div>"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _how(quality: Quality) -> Iterator[str]:
    yield "<h2>How to read this</h2>"
    yield (
        "<p>SNR is the power of the float output over the power of the difference: 20 dB is an error of 10%, 40 dB of "
        "1%, 60 dB of 0.1%. This page calls a loss negligible from 60 dB on, small from 40, moderate from 25. What "
        "it means for your task only your own metric says.</p>"
    )
    if quality.metric is None:
        yield "<p>No metric was given: <code>export(..., metric=...)</code> in Python puts yours on this page.</p>"
    for output in quality.outputs:
        if output.agreement is not None:
            yield (
                f"<p>The largest element of '{escape(output.name)}' is taken for a class because "
                f"{escape(output.agreement.reason)}.</p>"
            )
    if "random" in quality.source:
        yield (
            "<p>The frames are random numbers, not your data: real recordings, given as frames (T, in) float32, tell "
            "more: <code>grulet verify MODEL.onnx MODEL.grulet --input X.npy --report FILE.html</code>.</p>"
        )
    yield from (f"<p>Note: {escape(note)}.</p>" for note in quality.notes)
