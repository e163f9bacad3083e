"""``depth_anything benchmark``: how well and how fast a part works, in one table."""

from __future__ import annotations

import argparse
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


def run(options: argparse.Namespace) -> int:
    """Measure; return the exit status."""
    from depth_anything_ros.models.estimator import DepthEstimator
    from depth_anything_ros.tools import anchoring_benchmark as job
    from depth_anything_ros.tools import evaluation
    from depth_anything_ros.tools.progress import Progress

    if options.world < 1:
        raise ParameterError("--world must be 1 or more")
    width, height = parse_size(options.size)
    frames = [] if options.data is None else evaluation.frames_under(options.data, [])
    estimator = DepthEstimator(options.model, options.weights, options.device)
    print(estimator.description, flush=True)
    bench = job.AnchoringBenchmark(estimator)
    progress = Progress(options.world + len(frames), "pictures")
    for picture in evaluation.world(options.first_seed, options.world, width, height, "cpu"):
        bench.add_view(picture)
        progress.add(1)
    for picture in evaluation.recorded(frames):
        bench.add_recorded(picture)
        progress.add(1)
    progress.end()
    print("\n".join(bench.lines()))
    if options.output is not None:
        options.output.write_text(json.dumps(bench.as_json(), indent=1) + "\n")
        print(f"written: {options.output}")
    return 0
