"""The sections on starting and installing."""

from __future__ import annotations

from benchmarks.common import Document
from benchmarks.report.tables import bullets, kibibytes, mebibytes, table, three_digits

Results = dict[str, Document]


def coldstart_section(results: Results) -> str:
    """From nothing to the first answer."""
    document = results["coldstart"]["results"]
    parts = ("import_ms", "load_ms", "first_step_ms", "process_ms")
    rows = [[title, *(three_digits(facts[part]) for part in parts)] for title, facts in document["contestants"].items()]
    text = [
        "## From nothing to the first answer",
        f"A fresh Python process imports, loads one GRU layer of {document['size']} units and takes a step; "
        f"milliseconds, median of {document['runs']} processes in turn, files in the system's cache. Each imports "
        "numpy too. `whole process` is seen from outside, with Python's own start and end.",
        table(["contestant", "import", "load", "first step", "whole process"], rows),
    ]
    if document["absent"]:
        text.append("Absent:\n\n" + bullets([f"{name}: {why}" for name, why in document["absent"].items()]))
    return "\n\n".join(text)


def size_section(results: Results) -> str:
    """What there is to install."""
    document = results["size"]["results"]
    ours = [f"Shared library with every kernel, stripped: {kibibytes(document['shared_library_bytes'])}."]
    if "wheel" in document:
        ours.insert(0, f"Wheel ({document['wheel']['name']}): {kibibytes(document['wheel']['bytes'])}.")
    kernels = [[name, kibibytes(count)] for name, count in document["objects"].items()]
    packages = [
        [
            f"{name} {facts['version']}",
            "the wheel above" if facts["bytes"] is None else mebibytes(facts["bytes"]),
            mebibytes(facts["required_bytes"]),
            ", ".join(facts["required"]) or "nothing",
        ]
        for name, facts in document["packages"].items()
    ]
    lines = table(["package", "itself", "what it requires", "that is"], packages).splitlines()
    lines[1] = "| --- | ---: | ---: | --- |"
    text = [
        "## Size",
        bullets(ours),
        f"Code and constants of the library's parts ({document['compiler']}); an embedded build links one kernel:",
        table(["part", "size"], kernels),
        "Installed, beside the packages that can run a GRU layer:",
        "\n".join(lines),
    ]
    if document["absent"]:
        text.append("Absent:\n\n" + bullets([f"{name}: {why}" for name, why in document["absent"].items()]))
    return "\n\n".join(text)
