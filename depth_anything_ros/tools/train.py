"""The verb ``depth_anything train``."""

from __future__ import annotations

import argparse

from depth_anything_ros.training.recipe import find_recipe, load_recipe
from depth_anything_ros.training.trainer import train


def run(options: argparse.Namespace) -> int:
    """Train; 0 where the run finished or was stopped in order."""
    path = find_recipe(options.recipe)
    recipe = load_recipe(path, options.overrides, output=options.output, device=options.device)
    train(recipe, restart=options.restart, minutes=options.minutes)
    return 0
