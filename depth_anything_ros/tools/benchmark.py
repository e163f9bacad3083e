"""``depth_anything benchmark``: how well and how fast a part works, in one table."""

from __future__ import annotations

import argparse
import importlib
import json
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.tools.evaluate import FIRST_SEED
from depth_anything_ros.tools.render_world import parse_size


def add_parser(verbs: Any) -> None:  # noqa: ANN401 - argparse's own type has a private name
    """Add the parser of this verb."""
    parser = verbs.add_parser(
        "benchmark", help="measure a part of this package", description="Measure a part."
    )
    parts = parser.add_subparsers(dest="part", metavar="PART", required=True)
    _add_anchoring(parts)
    _add_model(parts)
    _add_node(parts)
    _add_cloud(parts)
    _add_scaling(parts)


def _add_anchoring(parts: Any) -> None:  # noqa: ANN401 - as above
    anchoring = parts.add_parser(
        "anchoring",
        help="metric depth from a few measured points: methods beside each other",
        description="Fit predictions to a few points of the ground truth by each method, and "
        "score them on the others: on distorted true depth and on a model's predictions of the "
        "procedural world, and on real recordings where a folder of them is given.",
    )
    anchoring.add_argument("--world", type=int, default=20, help="views of the procedural world")
    anchoring.add_argument("--data", type=Path, metavar="FOLDER", help="folder of recordings")
    anchoring.add_argument("--model", default="tiny_relative", help="whose predictions")
    anchoring.add_argument("--weights", default="", help="path, zoo name or hub id; its own")
    anchoring.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    anchoring.add_argument("--size", default="640x480", help="of the views of the world [px]")
    anchoring.add_argument("--first-seed", type=int, default=FIRST_SEED, help="of the world")
    anchoring.add_argument("--output", type=Path, help="JSON file to write")


def _add_model(parts: Any) -> None:  # noqa: ANN401 - as above
    model = parts.add_parser(
        "model",
        help="from a picture to its depth map: engines and precisions beside each other",
        description="Time this package by engine and precision against the depth-estimation "
        "pipeline of transformers, with the same random weights, in turn in one process.",
    )
    model.add_argument(
        "--models",
        default="tiny,depth_anything_v2_small,depth_anything_v2_base",
        help="of the zoo, with commas",
    )
    model.add_argument(
        "--sizes",
        default="252,518",
        help="of the network's input: its shorter side [px], with commas; the picture is 640x480",
    )
    model.add_argument(
        "--engines",
        default="auto,torch,openvino,onnxruntime",
        help="auto, torch, compiled (torch.compile), openvino, onnxruntime or tensorrt",
    )
    model.add_argument("--precisions", default="fp32,bf16", help="fp32, bf16, fp16 or int8")
    model.add_argument(
        "--calibration", default="", metavar="PICTURES", help="folder or video, for int8"
    )
    model.add_argument("--runs", type=int, default=20, help="of each, timed")
    model.add_argument("--threads", type=int, default=0, help="of torch; 0 is its own choice")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    model.add_argument("--output", type=Path, help="JSON file to write")


def _add_node(parts: Any) -> None:  # noqa: ANN401 - as above
    node = parts.add_parser(
        "node",
        help="from a camera's message to depth and cloud, across processes",
        description="Time depth_node between a camera and a listener in processes of their own, "
        "and what carries pictures between processes alone.",
    )
    node.add_argument("--model", default="tiny", help="name of the zoo")
    node.add_argument("--sizes", default="640x480,1280x720", help="of pictures, with commas [px]")
    node.add_argument(
        "--input-sizes", default="252,0", help="of the network, with commas [px]; 0 is its own"
    )
    node.add_argument(
        "--output-sizes",
        default="image",
        help="image, network, or the shorter side of what is published [px], with commas",
    )
    node.add_argument(
        "--transports",
        default="default,profile",
        help="default, or profile (config/fastdds_large_messages.xml), with commas",
    )
    node.add_argument("--rate", type=float, default=30.0, help="of the camera [Hz]")
    node.add_argument("--seconds", type=float, default=10.0, help="that are measured of each")
    node.add_argument("--warm-up", type=float, default=3.0, help="before that [s]")
    node.add_argument("--rounds", type=int, default=1, help="in which all settings take turns")
    node.add_argument(
        "--transport-rounds", type=int, default=2, help="of the transports alone; 0 leaves it out"
    )
    node.add_argument("--engine", default="", help="of depth_node; its default")
    node.add_argument("--precision", default="", help="of depth_node; its default")
    node.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    node.add_argument("--output", type=Path, help="JSON file to write")


def _add_cloud(parts: Any) -> None:  # noqa: ANN401 - as above
    cloud = parts.add_parser(
        "cloud",
        help="from depth and colours to a message: this package, NumPy and create_cloud",
        description="Time the coloured cloud of one depth map, in its message, against a plain "
        "NumPy version and create_cloud of sensor_msgs_py, in turn in one process.",
    )
    cloud.add_argument("--size", default="1280x720", help="of the depth map [px]")
    cloud.add_argument("--runs", type=int, default=10, help="of each, timed")
    cloud.add_argument("--threads", type=int, default=1, help="of OpenCV; 0 is its own choice")
    cloud.add_argument("--fast", action="store_true", help="leave out the list, which takes long")
    cloud.add_argument("--output", type=Path, help="JSON file to write")


def _add_scaling(parts: Any) -> None:  # noqa: ANN401 - as above
    scaling = parts.add_parser(
        "scaling",
        help="how time grows with pixels, cameras, cloud points and LiDAR points",
        description="Time parts at growing sizes, in turn, and fit the exponent of the growth.",
    )
    scaling.add_argument(
        "--parts", default="pictures,cameras,clouds,LiDAR", help="what grows, with commas"
    )
    scaling.add_argument("--model", default="tiny", help="of the pictures")
    scaling.add_argument("--weights", default="", help="path, zoo name or hub id; its own")
    scaling.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    scaling.add_argument("--engine", default="torch", help="as of the parameter of depth_node")
    scaling.add_argument("--precision", default="auto", help="as of the parameter of depth_node")
    scaling.add_argument("--runs", type=int, default=10, help="of each size, timed")
    scaling.add_argument("--plot", type=Path, help="PNG to write; it needs matplotlib")
    scaling.add_argument("--output", type=Path, help="JSON file to write")


def run(options: argparse.Namespace) -> int:
    """Measure; return the exit status."""
    if options.part == "anchoring":
        return _run_anchoring(options)
    module = importlib.import_module(f"{__package__}.{options.part}_benchmark")
    status: int = module.run(options)
    return status


def _run_anchoring(options: argparse.Namespace) -> int:
    from depth_anything_ros.models.estimator import DepthEstimator
    from depth_anything_ros.tools import anchoring_benchmark as job
    from depth_anything_ros.tools import evaluation
    from depth_anything_ros.tools.progress import Progress, say

    if options.world < 1:
        raise ParameterError("--world must be 1 or more")
    width, height = parse_size(options.size)
    frames = [] if options.data is None else evaluation.frames_under(options.data, [])
    estimator = DepthEstimator(options.model, options.weights, options.device)
    say(estimator.description)
    bench = job.AnchoringBenchmark(estimator)
    progress = Progress(options.world + len(frames), "pictures")
    for picture in evaluation.world(options.first_seed, options.world, width, height, "cpu"):
        bench.add_view(picture)
        progress.add(1)
    for picture in evaluation.recorded(frames):
        bench.add_recorded(picture)
        progress.add(1)
    progress.end()
    say(*bench.lines())
    if options.output is not None:
        options.output.write_text(json.dumps(bench.as_json(), indent=1) + "\n")
        say(f"written: {options.output}")
    return 0
