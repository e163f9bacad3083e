"""``depth_anything pseudo-label``: let a teacher label pictures that have no depth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from depth_anything_ros.tools.progress import Progress, say


def add_parser(verbs: Any) -> None:  # noqa: ANN401 - argparse's own type has a private name
    """Add the parser of this verb."""
    parser = verbs.add_parser(
        "pseudo-label",
        help="let a teacher label pictures that have no depth",
        description="Run a model over a folder of pictures, and write its answers beside links to "
        "them, as a folder that training reads: NAME_disparity.npy of a relative model, "
        "NAME_depth.npy of a metric one, which needs camera files (NAME.json or calib.json). A "
        "run that was stopped goes on where it stopped.",
    )
    parser.add_argument("--input", type=Path, required=True, help="folder of pictures")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--model", required=True, help="the teacher: a name of the zoo")
    parser.add_argument(
        "--weights",
        default="",
        help="its checkpoint: path, zoo name or hub id; without it, the model's own",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--input-size", type=int, default=0, help="shorter side of its input [px]; 0: its own"
    )
    parser.add_argument("--download", action="store_true", help="fetch weights from the hub")


def run(options: argparse.Namespace) -> int:
    """Label what is missing; return the exit status."""
    from depth_anything_ros.models.estimator import DepthEstimator
    from depth_anything_ros.models.weights.find import resolve_weights, sha256_of
    from depth_anything_ros.training.pseudo_label import Provenance, PseudoLabeller

    teacher = DepthEstimator(
        options.model,
        options.weights,
        options.device,
        input_size=options.input_size,
        download=options.download,
    )
    path = resolve_weights(options.weights, teacher.card)
    provenance = Provenance(
        teacher.card.name,
        teacher.card.kind,
        options.weights,
        "" if path is None else sha256_of(path),
        teacher.input_size,
    )
    folders = options.input, options.output
    labeller = PseudoLabeller(teacher, provenance, *folders)
    missing = len(labeller.missing)
    say(f"{teacher.description}: {missing} of {labeller.total} pictures to label")
    progress = Progress(missing, "pictures")
    for _ in labeller.run():
        progress.add(1)
    progress.end()
    return 0
