"""``depth_anything view``: what the nodes publish, live in Rerun; alone, or with a robot for it."""

from __future__ import annotations

import argparse
import os
import sys

from depth_anything_ros.tools.node_process import node_arguments


def run(options: argparse.Namespace) -> int:
    """Become view_node, or run it with a robot until it ends or Ctrl-C; return the exit status."""
    parameters = _showing(options)
    if options.demo:
        from depth_anything_ros.tools.view_demo import run_demo  # it needs torch, this does not

        return run_demo(options, parameters)
    command = [sys.executable, *node_arguments("view_node", parameters)]
    sys.stdout.flush()
    os.execv(sys.executable, [*command, *options.ros_args])


def _showing(options: argparse.Namespace) -> dict[str, object]:
    """Return the parameters of view_node."""
    how = "file" if options.save else "window" if options.window else "web"
    given: dict[str, object] = {
        "show": how,
        "viewer.web_port": options.web_port,
        "viewer.data_port": options.data_port,
    }
    return {**given, "file": options.save.resolve()} if options.save else given
