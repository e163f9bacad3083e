"""The verb ``depth_anything train``."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any


def add_parser(verbs: Any) -> None:  # noqa: ANN401 - argparse names its type privately
    """Add the verb's parser; nothing heavy is imported."""
    parser = verbs.add_parser(
        "train",
        help="train or fine-tune a model by a recipe",
        description="Train or fine-tune a model of the zoo by a YAML recipe. A run that was "
        "stopped or killed goes on where its folder was saved last. Several GPUs: torchrun "
        "--nproc_per_node N -m depth_anything_ros train ...",
    )
    parser.add_argument(
        "--recipe", required=True, help="a YAML file, or the name of one of the package: tiny"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="overrides",
        help="change a setting of the recipe, for example optimiser.lr=1e-4; may be repeated",
    )
    parser.add_argument("--output", type=Path, help="folder of the run; out/train/RECIPE")
    parser.add_argument("--device", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="save and stop after so long"
    )
    parser.add_argument(
        "--restart", action="store_true", help="begin anew where the folder holds a run"
    )


def run(options: argparse.Namespace) -> int:
    """Train; 0 where the run finished or was stopped in order."""
    from depth_anything_ros.training.recipe import find_recipe, load_recipe
    from depth_anything_ros.training.trainer import train

    path = find_recipe(options.recipe)
    recipe = load_recipe(path, options.overrides, output=options.output, device=options.device)
    train(recipe, restart=options.restart, minutes=options.minutes)
    return 0
