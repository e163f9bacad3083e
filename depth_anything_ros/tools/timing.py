"""Times of several ways to do the same, taken in turn, and tables that say where they are from."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from depth_anything_ros.core.programs import processor
from depth_anything_ros.tools.progress import say

_NUMBER = re.compile(r"[+-]?\d[\d.e+-]*( of \d+)?")
# Whose versions change what a benchmark finds.
_PACKAGES = (
    "depth_anything_ros",
    "torch",
    "transformers",
    "openvino",
    "onnxruntime",
    "onnxruntime-gpu",
    "tensorrt",
    "nncf",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
)


def in_turn(
    ways: Mapping[str, Callable[[], object]],
    runs: int,
    warm_up: int = 1,
) -> dict[str, list[float]]:
    """Time each way in each round, so that what else the machine does meets all of them.

    Args:
        ways: what to call, by name.
        runs: rounds that are timed.
        warm_up: rounds before that are not.

    Returns:
        Milliseconds of the runs, by name.
    """
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(warm_up + runs):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if turn >= warm_up:
                found[name].append(1e3 * (time.perf_counter() - started))
    return found


def middle_and_tail(times: Sequence[float]) -> tuple[float, float]:
    """Return median and 95th percentile."""
    found = np.percentile(times, (50, 95))
    return float(found[0]), float(found[1])


def markdown(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table in Markdown whose columns line up; numbers stand to the right."""
    cells = [list(heading), *(list(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heading))]
    right = [
        all(_NUMBER.fullmatch(row[i]) for row in cells[1:] if row[i]) for i in range(len(heading))
    ]
    lines = []
    for row in cells:
        parts = zip(row, widths, right, strict=True)
        padded = [text.rjust(w) if is_right else text.ljust(w) for text, w, is_right in parts]
        lines.append(f"| {' | '.join(padded)} |")
    rule = ["-" * (w - 1) + (":" if r else "-") for w, r in zip(widths, right, strict=True)]
    return [lines[0], f"| {' | '.join(rule)} |", *lines[1:]]


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, versions, load, time."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "cpu": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "load_average": os.getloadavg()[0],
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def publish(
    facts: Mapping[str, Any],
    lines: Iterable[str],
    rows: Sequence[Mapping[str, Any]],
    output: Path | None,
) -> None:
    """Print where figures are from, and their tables; write them as JSON where there is a path.

    Args:
        facts: of the machine, with what else the figures depend on.
        lines: of the tables.
        rows: the same as mappings.
        output: file to write.
    """
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    print(
        f"{facts['cpu']}, {facts['cores']} cores, load {facts['load_average']:.1f}; "
        f"{facts['time']}\nPython {facts['python']}, {versions}",
        *lines,
        sep="\n",
    )
    if output is not None:
        content = {"machine": dict(facts), "rows": [dict(row) for row in rows]}
        output.write_text(json.dumps(content, indent=1) + "\n")
        say(f"written: {output}")


def cpu_s(pid: int) -> float:
    """Return user and system time of a process so far; see proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class PeakMemory:
    """How much the memory that this process holds grew at most, within a block, in MB.

    Of a CUDA device where one is given, else of the process, as Linux counts it: memory that an
    earlier block gave back to the allocator alone counts as held. NaN where neither can tell.

    Args:
        device: as torch names it.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._is_cuda = device.startswith("cuda")
        self._before = float("nan")
        self.mb = float("nan")

    def __enter__(self) -> PeakMemory:
        if self._is_cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated() / 1e6
        else:
            self._before = _status_mb("VmRSS") if _forget_peak() else float("nan")
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_cuda:
            import torch

            self.mb = torch.cuda.max_memory_allocated() / 1e6 - self._before
        else:
            self.mb = _status_mb("VmHWM") - self._before


def _forget_peak() -> bool:
    """Make the kernel count the peak from now on; see proc_pid_clear_refs(5)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status_mb(name: str) -> float:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return float("nan")
    sizes = [line.split()[1] for line in text.splitlines() if line.startswith(f"{name}:")]
    return int(sizes[0]) * 1024 / 1e6 if sizes else float("nan")
