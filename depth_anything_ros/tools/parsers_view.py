"""The parser of the verb that shows what nodes publish."""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_anything_ros.tools.shared_options import add_shared


def add_view(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``depth_anything view``."""
    parser = verbs.add_parser(
        "view",
        help="watch picture, depth, cloud, LiDAR and diagnostics live in a browser",
        description="Start view_node, which shows what the nodes publish in Rerun: by a page on "
        "this machine, in a window, or later from a file. With --demo, a simulated robot drives "
        "for it. More: doc/view_node.md.",
    )
    parser.set_defaults(module="view")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--window", action="store_true", help="show in Rerun's own window")
    how.add_argument("--save", type=Path, metavar="FILE.rrd", help="write to a file, to show later")
    parser.add_argument("--web-port", type=int, default=9090, metavar="PORT", help="of the page")
    parser.add_argument(
        "--data-port", type=int, default=9876, metavar="PORT", help="that the page reads by"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="start a simulated robot with depth_node and scale_anchor_node, too",
    )
    parser.add_argument("--place", default="office", help="of the demo: where the robot drives")
    parser.add_argument(
        "--frames",
        type=int,
        default=0,
        metavar="N",
        help="of the demo: pictures until it ends; 0: until Ctrl-C",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=5.0,
        metavar="HZ",
        help="of the demo: pictures a second; fewer where the machine is slow",
    )
    add_shared(parser, "--model", "--weights", "--download")
    parser.add_argument(
        "--ros-args",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="...",
        help="without --demo, the last: as of ros2 run, for example -r image:=/camera/image_raw",
    )
