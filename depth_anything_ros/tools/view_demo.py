"""The robot of ``depth_anything view --demo``, and the nodes that see by it."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import ParameterError, SourceError
from depth_anything_ros.models import find_card
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.sim.places import PLACES
from depth_anything_ros.sim.robot import T_camera_lidar
from depth_anything_ros.tools.demo import (
    DISCOVERY_TIMEOUT_S,
    LOAD_TIMEOUT_S,
    ROBOT,
    SLOWEST_RENDERING_S,
    anchoring,
)
from depth_anything_ros.tools.node_process import NodeProcess, isolated_environment
from depth_anything_ros.tools.options import check_least
from depth_anything_ros.tools.progress import say

# Of what the view shows: pictures that come unevenly, as on a busy machine, are shown all the same.
_SPARE_RATE = 1.1
# Rendered ahead, of a drive there and back.
RENDERED = 25
_LOOK_S = 0.2
_RATES_HZ = (0.1, 30.0)
# For the answers to the last pictures.
_FAREWELL_S = 3.0


def _check(options: argparse.Namespace) -> None:
    """Fail where the demo could not begin."""
    if options.ros_args:
        raise ParameterError("--ros-args is for a view of your own robot, without --demo")
    check_least("--frames", options.frames, 0)
    if not _RATES_HZ[0] <= options.rate <= _RATES_HZ[1]:
        low, high = _RATES_HZ
        raise ParameterError(f"--rate must be {low:g} to {high:g} Hz, got {options.rate:g}")
    resolve_weights(options.weights, find_card(options.model, options.download), options.download)
    if options.place not in PLACES:
        raise SourceError(f"there is no place {options.place!r}; known are {', '.join(PLACES)}")


def run_demo(options: argparse.Namespace, parameters: Mapping[str, object]) -> int:
    """Run the nodes until the view or the robot ends, or Ctrl-C; return the exit status.

    Args:
        options: of the verb.
        parameters: of view_node.
    """
    _check(options)
    matrix = T_camera_lidar(ROBOT["camera_height_m"], ROBOT["camera_pitch_deg"])
    anchor = anchoring(options.model, matrix)
    extrinsics = {k: v for k, v in anchor["parameters"].items() if k.startswith("extrinsics.")}
    with tempfile.TemporaryDirectory(prefix="depth_anything_view_") as folder, ExitStack() as stack:
        environment = isolated_environment(Path(folder))

        def start(name: str, parameters: dict[str, object], **more: Any) -> NodeProcess:  # noqa: ANN401
            log = Path(folder) / f"{name}.log"
            return stack.enter_context(NodeProcess(name, parameters, environment, log, **more))

        rate = {"max_rate_hz": _SPARE_RATE * options.rate}
        view = start("view_node", {**rate, **parameters, **extrinsics})
        view.wait_for("view_node]: ", DISCOVERY_TIMEOUT_S)
        say(view.rest_of_line())
        given = {name: getattr(options, name) for name in ("model", "weights", "download")}
        start("depth_node", given).wait_for("waiting for pictures", LOAD_TIMEOUT_S)
        start("scale_anchor_node", **anchor)
        count = {"count": options.frames, "rate_hz": options.rate, "frames": RENDERED}
        robot = start("sim_node", {**ROBOT, "place": options.place, **count})
        say(f"a simulated robot renders {RENDERED} pictures of the {options.place}, then it drives")
        robot.wait_for("driving", 60 + RENDERED * SLOWEST_RENDERING_S)
        say("it drives" + ("" if options.frames else "; Ctrl-C ends it"))
        while view.is_running and robot.is_running:
            time.sleep(_LOOK_S)
        time.sleep(_FAREWELL_S if view.is_running else 0)
    return 0
