"""The facts without which a latency means nothing: the machine, and how the process ran on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from grulet.kernel import isa, version

_SCHEDULERS = ("SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_IDLE")


def machine() -> dict[str, Any]:
    """The machine and the versions of what runs on it."""
    return {
        "cpu": _cpu_name(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "grulet": version(),
        "isa": isa(),
    }


def process(cpu: int | None) -> dict[str, Any]:
    """How this process runs, pinned to ``cpu`` or (None) not pinned; the same facts as those of `grulet-bench`."""
    real_time = "PREEMPT_RT" in platform.version()
    return {
        "program": "grulet bench",
        "release": platform.release() + (" PREEMPT_RT" if real_time else ""),
        "page_bytes": os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None,
        "pinned_to_cpu": cpu,
        "scheduler": _scheduler(),
        "memory_locked": False,
        "refused": [],
        "emulator": _emulator(),
    }


def clock_of(cpu: int | None) -> dict[str, Any]:
    """Frequency (MHz) and governor of a CPU as they are now; None where the system does not tell."""
    folder = Path(f"/sys/devices/system/cpu/cpu{cpu}/cpufreq")
    kilohertz = _line_of(folder / "scaling_cur_freq")
    return {
        "frequency_mhz": float(kilohertz) / 1e3 if kilohertz else None,
        "governor": _line_of(folder / "scaling_governor"),
    }


def before_and_after(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Two answers of `clock_of` by key."""
    return {key: {"before": before[key], "after": after[key]} for key in before}


def described(facts: Mapping[str, Any]) -> list[str]:
    """The facts of a report as lines for people."""
    python = f"Python {facts['python']}, " if facts["python"] else "called from C, "
    pinned = "not pinned" if facts["pinned_to_cpu"] is None else f"pinned to CPU {facts['pinned_to_cpu']}"
    page = f", pages of {facts['page_bytes']:,} bytes" if facts["page_bytes"] else ""
    locked = "locked" if facts["memory_locked"] else "not locked"
    lines = [
        f"{facts['cpu']}, {facts['system']}, {python}kernel {facts['isa']}, one thread, {pinned}",
        f"grulet {facts['grulet']}, release {facts['release']}{page}, {facts['scheduler']}, memory {locked}",
        _clock_text(facts),
    ]
    if facts["refused"]:
        lines.append(f"refused by the system: {'; '.join(facts['refused'])}")
    if facts["emulator"]:
        lines.append(f"UNDER AN EMULATOR ({facts['emulator']}): the answers are right, the times mean nothing")
    return lines


def _clock_text(facts: Mapping[str, Any]) -> str:
    governor, mhz = facts["governor"], facts["frequency_mhz"]
    if governor["before"] is None and mhz["before"] is None:
        return "governor and frequency unknown"
    changed = f", then {governor['after']}" if governor["after"] != governor["before"] else ""
    frequency = (
        "frequency unknown" if mhz["before"] is None else f"{mhz['before']:.0f} MHz before, {mhz['after']:.0f} after"
    )
    return f"governor {governor['before']}{changed}, {frequency}"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith(("model name", "Model")):
                    return line.partition(":")[2].strip()
    except OSError:
        return platform.processor() or "unknown"
    return platform.processor() or "unknown"


def _scheduler() -> str:
    """The class this thread is scheduled in, of a real-time class with its priority."""
    if not hasattr(os, "sched_getscheduler"):
        return "unknown"
    chosen, priority = os.sched_getscheduler(0), os.sched_getparam(0).sched_priority
    name = next((name for name in _SCHEDULERS if getattr(os, name, None) == chosen), f"class {chosen}")
    return f"{name} {priority}" if priority else name


def _emulator() -> str | None:
    """The user-mode emulator that this process is known to run in: the process bears its name."""
    name = _line_of(Path("/proc/self/comm"))
    return name if name and name.startswith("qemu-") else None


def _line_of(path: Path) -> str | None:
    """A file of one line that the system makes up; None where it does not."""
    try:
        return path.read_text().strip() or None
    except (OSError, ValueError):
        return None
