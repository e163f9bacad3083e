"""What the scripts that run nodes share: an isolated ROS 2, and what a process costs."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from depth_anything_ros.tools.node_process import isolated_environment


def isolate() -> None:
    """Meet no other ROS 2 from here on, this process and those that it starts."""
    os.environ.update(isolated_environment(Path(tempfile.gettempdir())))


def memory_mb(pid: int, *kinds: str) -> float:
    """Return the sum of kinds of memory of a process, by the kernel's names."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = {name: int(size) for name, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)}
    return sum(found[kind] for kind in kinds) * 1024 / 1e6
