"""The parsers of the verbs that read bags."""

from __future__ import annotations

import argparse
from pathlib import Path

from depth_anything_ros.tools.shared_options import add_shared


def add_bag(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``depth_anything bag``."""
    parser = verbs.add_parser(
        "bag",
        help="write depth, camera_info and points of a bag's cameras into a new bag",
        description="Answer the pictures of a rosbag2 (sqlite3 or MCAP, compressed or not), and "
        "write a rosbag2 in MCAP with all of its messages and, at the times of the pictures, "
        "depth, camera_info and points. No ROS is needed. A run that was stopped goes on where it "
        "stopped. More: doc/offline.md.",
    )
    parser.set_defaults(module="bag")
    parser.add_argument("bag", type=Path, metavar="IN", help="folder, .mcap or .db3 file")
    parser.add_argument("output", type=Path, nargs="?", metavar="OUT", help="folder to write")
    parser.add_argument(
        "--extract",
        type=Path,
        metavar="DIR",
        help="write a folder of pictures, their cameras and the depth of --lidar instead, to train "
        "on and to evaluate by",
    )
    add_topics(parser)
    parser.add_argument(
        "--lidar",
        action="append",
        default=[],
        metavar="TOPIC",
        help="anchor depth by it: PointCloud2, LaserScan, Range, or a depth image registered to "
        "the camera; where it is, /tf and /tf_static say; may be repeated",
    )
    add_pairing(parser)
    _add_steadying(parser)
    _add_output(parser)
    add_shared(parser, "--model", "--weights", "--download", "--device", "--engine", "--precision")
    add_shared(parser, "--input-size")
    parser.add_argument("--batch", type=int, default=1, help="pictures that are answered together")
    add_shared(parser, "--ray", "--workers")


def add_topics(parser: argparse.ArgumentParser) -> None:
    """Add the options that name cameras."""
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="TOPIC",
        help="pictures (Image or CompressedImage); without it, those beside each CameraInfo; may "
        "be repeated",
    )
    parser.add_argument(
        "--camera-info",
        action="append",
        default=[],
        metavar="TOPIC",
        help="of --image, in the same order; without it, the one beside it or of its frame_id",
    )


def add_pairing(parser: argparse.ArgumentParser) -> None:
    """Add the options of how pictures are taken, and which ranges are of their time."""
    parser.add_argument(
        "--max-offset",
        type=float,
        default=0.05,
        metavar="S",
        help="that the stamps of a picture and of --lidar may differ by [s]",
    )
    parser.add_argument(
        "--rectify",
        choices=("auto", "never", "always", "already"),
        default="auto",
        help="undistort pictures first, as of depth_node",
    )


def _add_steadying(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--steady",
        choices=("off", "flow", "motion"),
        default="off",
        help="keep depth from flickering, by optical flow, or by the motion of the camera in "
        "--fixed-frame; more: doc/steadying.md",
    )
    parser.add_argument(
        "--fixed-frame",
        default="odom",
        metavar="NAME",
        help="where the world stands still, by /tf and /tf_static",
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only-depth", action="store_true", help="leave the messages of IN out of OUT"
    )
    parser.add_argument(
        "--namespace",
        default="",
        metavar="NAME",
        help="put before the new topics, which are otherwise in the namespace of the picture's",
    )
    parser.add_argument("--no-points", action="store_true", help="write no clouds")
    parser.add_argument(
        "--dense", action="store_true", help="write the points of clouds alone, without rows"
    )
    parser.add_argument(
        "--output-size",
        default="image",
        metavar="SIZE",
        help="of depth: image, network, or the pixels of the shorter side",
    )
    parser.add_argument(
        "--encoding",
        choices=("32FC1", "16UC1"),
        default="32FC1",
        help="of depth: metres as float, or millimetres",
    )
    parser.add_argument(
        "--images-per-file",
        type=int,
        default=200,
        metavar="N",
        help="OUT is of files of so many pictures each, and of the last one alone a run that was "
        "stopped begins anew",
    )
    parser.add_argument(
        "--every",
        type=int,
        default=1,
        metavar="N",
        help="of --extract: every N-th of the pictures that have ranges",
    )


def add_adapt(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``depth_anything adapt``."""
    parser = verbs.add_parser(
        "adapt",
        help="tune a metric model to your robot by a bag with its camera and LiDAR",
        description="Fine-tune a model that gives metres on a bag of your robot, by the points of "
        "its LiDAR or depth camera. The last fifth of the bag is held out, and scored before and "
        "after; weights that are no better there are not handed over. A run that was stopped goes "
        "on. More: doc/training.md.",
    )
    parser.set_defaults(module="adapt")
    parser.add_argument("bag", type=Path, metavar="BAG", help="folder, .mcap or .db3 file")
    parser.add_argument(
        "--minutes", type=float, default=15.0, help="to train; the rest takes a few more"
    )
    parser.add_argument("--output", type=Path, help="folder to write; out/adapt/BAG")
    add_topics(parser)
    parser.add_argument(
        "--lidar",
        action="append",
        default=[],
        metavar="TOPIC",
        help="what measures depth: PointCloud2, LaserScan, Range, or a depth image registered to "
        "the camera; without it, the only PointCloud2",
    )
    add_pairing(parser)
    parser.add_argument(
        "--pictures", type=int, default=1000, help="to take of the bag, at most about so many"
    )
    add_shared(parser, "--model", "--weights", "--download", "--device", "--input-size")
