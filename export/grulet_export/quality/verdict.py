"""The report in a few sentences."""

from __future__ import annotations

from pathlib import PurePath

from grulet_export.quality.result import OutputLoss, Quality

#: What an SNR of the output is called: at least so many dB, and the word.
SIZES = ((60.0, "a negligible"), (40.0, "a small"), (25.0, "a moderate"), (float("-inf"), "a large"))

#: The float model is in doubt where its lead is less than this share of the usual one.
DOUBT = 0.1


def headline(quality: Quality) -> str:
    """The whole report in one line: by the user's metric if there is one, otherwise by decibels."""
    if quality.exact:
        return "No loss at all: the outputs are those of the float model, bit for bit"
    if quality.metric is not None:
        grows = "the error grows with time" if quality.drift.drifts else "the error does not grow with time"
        metric = _metric(quality)
        return f"{metric[:1].upper()}{metric[1:]}; {grows}"
    snr = quality.worst_output.snr_db
    size = next((word for least, word in SIZES if snr is not None and snr >= least), "an immeasurable")
    size = f"{size[0].upper()}{size[1:]} loss"
    return f"{size}, and it grows with time" if quality.drift.drifts else f"{size} that does not grow with time"


def sentences(quality: Quality) -> tuple[str, ...]:
    """The file; the loss; what becomes of it, over time and for classes."""
    consequence = " ".join(filter(None, (_drift(quality), _classes(quality))))
    return tuple(filter(None, (_file(quality), _loss(quality), consequence)))


def name_of(quality: Quality) -> str:
    """The file's name without its folder."""
    return PurePath(quality.model).name


def _file(quality: Quality) -> str:
    ratio = quality.file_bytes / quality.float_bytes
    formats = f"{quality.weights} weights" + (
        f" and {quality.activations} activations" if quality.activations not in ("f32", "none") else ""
    )
    return (
        f"{name_of(quality)} has {formats}: {quality.file_bytes:,} bytes, {ratio:.0%} of the "
        f"{quality.float_bytes:,} bytes of the same model in f32."
    )


def _loss(quality: Quality) -> str:
    if quality.exact:
        return f"Over {quality.source} no output differs from the float model's."
    worst = quality.worst_output
    which = f"output '{worst.name}', the worst of {len(quality.outputs)}," if len(quality.outputs) > 1 else "the output"
    return (
        f"Over {quality.source} {which} is {percent(worst)} off the float model's: "
        f"SNR {decibels(worst.snr_db)}, largest error {worst.largest:.2g} in values up to {worst.reach:.3g}."
    )


def percent(output: OutputLoss) -> str:
    """RMS error as a share of the output's RMS."""
    if output.snr_db is None:
        return "0%" if output.rms == 0 else f"{output.rms:.2g}"
    return f"{100 * 10 ** (-output.snr_db / 20):.2g}%"


def _drift(quality: Quality) -> str:
    drift = quality.drift
    if quality.exact:
        return ""
    if drift.ratio is None:
        return "The error grows with time: none in the second quarter of the run, some in the last." * drift.drifts
    verdict = "The error grows with time" if drift.drifts else "The error does not grow with time"
    return f"{verdict}: in the last quarter of the run it is {drift.ratio:.2f} times that of the second quarter."


def _classes(quality: Quality) -> str:
    found = [(output, output.agreement) for output in quality.outputs if output.agreement is not None]
    if not found or quality.exact:
        return ""
    output, agreement = min(found, key=lambda pair: pair[1].share)
    which = f" of '{output.name}'" if len(quality.outputs) > 1 else ""
    if agreement.different == 0:
        return f"The largest element{which}, the class it names, is the same in every frame."
    doubt = ""
    if agreement.lead_where_different is not None and agreement.lead_where_different < DOUBT * agreement.lead:
        doubt = (
            ", and it is another only where the float model is in doubt too (its lead there: "
            f"{agreement.lead_where_different:.2g}, usually: {agreement.lead:.2g})"
        )
    return (
        f"The largest element{which}, the class it names, is the same in {share(agreement.share)} of the frames{doubt}."
    )


def share(value: float) -> str:
    """A share close to 1 in percent, never rounded up to 100."""
    for digits in range(1, 5):
        text = f"{100 * value:.{digits}f}"
        if float(text) < 100:
            return f"{text}%"
    return "100%" if value == 1 else "99.9999%"


def decibels(value: float | None) -> str:
    """42.5 dB, or a dash."""
    return "-" if value is None else f"{value:.1f} dB"


def _metric(quality: Quality) -> str:
    """The user's metric, which the caller knows to be there."""
    values = quality.metric
    assert values is not None
    if values.float_value == values.quantized_value:
        return f"{values.name}: {values.quantized_value:.6g}, as in float"
    return f"{values.name}: {values.quantized_value:.6g}, in float {values.float_value:.6g}"
