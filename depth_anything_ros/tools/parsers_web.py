"""The parser of ``depth_anything web``."""

from __future__ import annotations

import argparse

from depth_anything_ros.tools.shared_options import add_shared


def add_web(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``depth_anything web``."""
    parser = verbs.add_parser(
        "web",
        help="look at depth in a browser: a page for pictures and videos",
        description="Serve a page for a browser on this machine: upload a picture or a video, or "
        "take one with a webcam, choose a model, compare, read values, turn the point cloud, "
        "download. Nothing is asked of any other machine. More: doc/web.md.",
    )
    parser.set_defaults(module="web")
    add_shared(parser, "--model", "--weights", "--device")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve at; 0.0.0.0: all of this machine's"
    )
    parser.add_argument("--port", type=int, default=7860, help="0: any that is free")
    parser.add_argument(
        "--max-upload", type=float, default=100.0, metavar="MiB", help="of a file that is taken"
    )
    parser.add_argument(
        "--max-megapixels", type=float, default=50.0, metavar="MP", help="of a picture or a frame"
    )
    parser.add_argument(
        "--max-frames", type=int, default=1800, metavar="N", help="of a video that is taken"
    )
