"""Run the timing of clouds, which needs messages, in a process of its own."""

from __future__ import annotations

import argparse
import subprocess
import sys

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.tools.render_world import parse_size


def run(options: argparse.Namespace) -> int:
    """Measure, and return the exit status."""
    if options.runs < 1:
        raise ParameterError("--runs must be 1 or more")
    parse_size(options.size)  # to refuse what is none
    command = [sys.executable, "-m", "depth_anything_ros.nodes.cloud_timing"]
    command += ["--size", options.size, "--runs", str(options.runs)]
    command += ["--threads", str(options.threads), *(["--fast"] if options.fast else [])]
    command += ["--output", str(options.output)] if options.output is not None else []
    return subprocess.run(command, check=False).returncode
