"""``depth_anything predict``: the depth of pictures, folders and videos, as files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depth_anything_ros.core.colormap import COLORMAPS
from depth_anything_ros.core.errors import CameraError, ParameterError, printable
from depth_anything_ros.core.files import claim_folder
from depth_anything_ros.core.recording import camera_fields, load_calibration
from depth_anything_ros.models.device import choose_device
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.pipeline.options import OutputOptions
from depth_anything_ros.tools.options import check_known, check_least
from depth_anything_ros.tools.predict_inputs import (
    ASSUMED_HFOV_DEG,
    CameraChoice,
    Input,
    find_inputs,
)
from depth_anything_ros.tools.predict_outputs import Layout, is_done, parse_outputs
from depth_anything_ros.tools.predict_pictures import Asked, Batch, Outcome, PicturePredictor
from depth_anything_ros.tools.progress import Progress, say

# What the answers of a folder are made of; hidden, so that no picture's JSON has its name.
CLAIM = ".predict.json"
_BATCH_ON_GPU = 8
_WIDEST_DEG = 179.0


def run(options: argparse.Namespace) -> int:
    """Predict; return the exit status: 1 where an input could not be answered."""
    card = find_card(options.model, options.download)
    asked, made_of = _asked(options, card)
    inputs = find_inputs(options.inputs, options.output, sys.stdin)
    size = options.batch or _batch_of(options.device)
    _claim(options, asked, inputs, made_of | {"batch": size})
    batches = _batches(inputs, size)
    missing = [batch for batch in batches if not all(_is_done(asked, item) for item in batch)]
    count = sum(not _is_done(asked, item) for batch in missing for item in batch)
    if not count:
        say(f"all {len(inputs)} are done already, in {options.output}")
        return 0
    if count < len(inputs):
        say(f"{len(inputs) - count} of {len(inputs)} are done already")
    tally = _Tally()
    pipeline = asked.pipeline()
    say(pipeline.estimator.description)
    tally.count(PicturePredictor(asked, pipeline).run(missing), count)
    return tally.status(options.output)


def _batch_of(device: str) -> int:
    is_cpu = device not in ("GPU", "NPU") and choose_device(device).type == "cpu"
    return 1 if is_cpu else _BATCH_ON_GPU


def _asked(options: argparse.Namespace, card: ModelCard) -> tuple[Asked, dict[str, Any]]:
    """Check the options; return what is asked, and what of that decides the bytes of a file."""
    check_known("colormap", [options.colormap], tuple(COLORMAPS))
    check_least("--batch", options.batch, 0)
    OutputOptions(options.output_size)  # refuses what is none, before a model is loaded
    outputs = parse_outputs(options.outputs, card.kind, card.name)
    weights = resolve_weights(options.weights, card, options.download)
    model = {
        name: getattr(options, name) for name in ("model", "engine", "precision", "input_size")
    }
    model |= {"device": options.device, "output_size": options.output_size}
    model |= {"weights_sha256": sha256_of(weights) if weights else "", "colormap": options.colormap}
    cameras = _cameras(options, card)
    asked = Asked(
        weights=options.weights,
        download=options.download,
        cameras=cameras,
        layout=Layout(options.output, outputs, card.kind),
        **model,
    )
    given = cameras.given and camera_fields(cameras.given)
    return asked, model | {"camera": given, "hfov_deg": cameras.hfov_deg}


def _cameras(options: argparse.Namespace, card: ModelCard) -> CameraChoice:
    if options.hfov is not None and not 0 < options.hfov <= _WIDEST_DEG:
        raise ParameterError(f"--hfov is {options.hfov:g}; expected degrees, up to {_WIDEST_DEG:g}")
    given = None
    if options.camera is not None:
        given = load_calibration(options.camera).camera
        if given is None:
            raise CameraError(f"{options.camera} says that its camera is not calibrated")
    assumed = ASSUMED_HFOV_DEG if card.kind == "metric" else 0.0
    return CameraChoice(given, options.hfov or 0.0, assumed)


def _claim(
    options: argparse.Namespace, asked: Asked, inputs: Sequence[Input], made_of: dict[str, Any]
) -> None:
    """Make the folder this run's: one of another model or other options is refused."""
    options.output.mkdir(parents=True, exist_ok=True)
    claim = options.output / CLAIM
    if options.restart:
        for item in inputs:
            for file in asked.layout.all_files(item.place):
                file.unlink(missing_ok=True)
        claim.unlink(missing_ok=True)
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in made_of.items()}
    claim_folder(claim, plain, "answers", "give --restart, which removes them")


def _is_done(asked: Asked, item: Input) -> bool:
    return is_done(asked.layout.files(item.place), item.path)


def _batches(inputs: Sequence[Input], size: int) -> Iterator[Batch]:
    for start in range(0, len(inputs), size):
        yield tuple(inputs[start : start + size])


@dataclass
class _Tally:
    """What became of the inputs."""

    written: int = 0
    failed: int = 0
    assumed: int = 0
    _said: set[str] = field(default_factory=set)

    def count(self, outcomes: Iterable[Outcome], total: int) -> None:
        """Count outcomes as they come, with progress, and say what failed."""
        with Progress(total, "pictures") as progress:
            for outcome in outcomes:
                if outcome.problem:
                    self.failed += 1
                    problem = printable(f"left out: {outcome.problem}")
                    print(problem, file=sys.stderr, flush=True)
                else:
                    self.written += 1
                    self.assumed += outcome.camera_from == "assumed"
                progress.add(1)

    def status(self, output: Path) -> int:
        """Say how it went; return the exit status."""
        if self.assumed:
            say(
                f"{self.assumed} say nothing of their camera: {ASSUMED_HFOV_DEG:g} deg are "
                f"assumed, so their metres are true but for a factor; give --hfov or --camera"
            )
        left_out = f", {self.failed} left out" if self.failed else ""
        say(f"{self.written} written to {output}{left_out}")
        return 1 if self.failed else 0
