"""The parser of the benchmark of steady depth."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_steady_benchmark(parts: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``depth_anything benchmark steady``."""
    parser = parts.add_parser(
        "steady",
        help="how much steadier depth gets over time, and what that costs",
        description="Steady true depth that was made to jump, and the answers of models, on drives "
        "through simulated places with things that move, and on recordings; score both against the "
        "truth. Writes report.json, rows.csv and panels. More: doc/steadying.md.",
    )
    parser.set_defaults(module="steady_benchmark")
    parser.add_argument(
        "--places",
        default="office,corridor,warehouse,kitchen,street,parking",
        help="simulated, with commas; none leaves them out",
    )
    parser.add_argument("--frames", type=int, default=60, help="pictures of each place, at 15 Hz")
    parser.add_argument("--size", metavar="WxH", default="320x240", help="of the pictures [px]")
    parser.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a recording with depth pictures and poses; may be repeated",
    )
    parser.add_argument(
        "--answers",
        default="truth,disparity,tiny",
        help="what is steadied, with commas: truth, the true depth made to jump; disparity, the "
        "same as of a relative model; or models of the zoo",
    )
    parser.add_argument(
        "--methods",
        default="flow,motion,tilted,mounted,late",
        help="flow, motion, and motion with faults: no_pose; tilted, each pose by 2 degrees; "
        "mounted, all of them by the same; late, of 0.1 s before",
    )
    parser.add_argument(
        "--runs", type=int, default=40, help="pictures of 640x480 that are timed; 0 times none"
    )
    parser.add_argument(
        "--cache", type=Path, metavar="FOLDER", help="keeps what was rendered; OUTPUT/cache"
    )
    parser.add_argument(
        "--output", type=Path, default=Path("out/steady"), metavar="FOLDER", help="to write"
    )
