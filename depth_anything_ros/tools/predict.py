"""``depth_anything predict``: the depth of pictures, folders and videos, as files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from depth_anything_ros.core.camera import ASSUMED_HFOV_DEG
from depth_anything_ros.core.colormap import COLORMAPS
from depth_anything_ros.core.errors import CameraError, ParameterError
from depth_anything_ros.core.files import claim_folder, remove_partial
from depth_anything_ros.core.recording import camera_fields, load_calibration
from depth_anything_ros.models.device import choose_device
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.pipeline.options import OutputOptions
from depth_anything_ros.tools.options import check_known, check_least
from depth_anything_ros.tools.predict_inputs import (
    CameraChoice,
    Input,
    find_inputs,
)
from depth_anything_ros.tools.predict_outputs import Layout, frames_folder, parse_outputs
from depth_anything_ros.tools.predict_pictures import Asked, Batch, Outcome
from depth_anything_ros.tools.prediction import Predictor, batches_of, is_input_done
from depth_anything_ros.tools.progress import Progress, say, warn
from depth_anything_ros.tools.ray_cluster import spread

# What the answers of a folder are made of; hidden, so that no picture's JSON has its name.
CLAIM = ".predict.json"
_BATCH_ON_GPU = 8
_WIDEST_DEG = 179.0


def run(options: argparse.Namespace) -> int:
    """Predict; return the exit status: 1 where an input could not be answered."""
    card = find_card(options.model, options.download)
    asked, made_of = _asked(options, card)
    inputs = find_inputs(options.inputs, options.output, sys.stdin)
    if options.steady != "off" and not any(item.is_video for item in inputs):
        warn("--steady is for videos, and there is none: each picture is answered by itself")
    _claim(options, asked, inputs, made_of)
    missing = {item for item in inputs if not is_input_done(asked.layout, item)}
    if len(missing) < len(inputs):
        say(f"{len(inputs) - len(missing)} of {len(inputs)} are done already")
    if not missing:
        return 0
    batches = [batch for batch in batches_of(inputs, asked.batch) if missing & set(batch)]
    tally = _Tally()
    if options.ray:
        _by_cluster(asked, batches, len(missing), options, tally)
    else:
        _here(asked, batches, missing, tally)
    return tally.status(options.output)


def _here(asked: Asked, batches: Sequence[Batch], missing: set[Input], tally: _Tally) -> None:
    predictor = Predictor(asked)
    say(predictor.pipeline.estimator.description)
    videos = [batch[0] for batch in batches if batch[0].is_video]
    if len(missing) > len(videos):
        pictures = [batch for batch in batches if not batch[0].is_video]
        with Progress(len(missing) - len(videos), "pictures") as progress:
            for outcome in predictor.pictures(pictures):
                tally.add(outcome)
                progress.add(1)
    for item in videos:
        _video(predictor, item, tally)


def _video(predictor: Predictor, item: Input, tally: _Tally) -> None:
    with Progress(0, f"frames of {item.name}") as progress:

        def done(count: int, total: int) -> None:
            if progress.total != total:
                progress.begin(total)
            progress.add(count - progress.done)

        tally.add(predictor.video(item, done))


def _by_cluster(
    asked: Asked, batches: Sequence[Batch], count: int, options: argparse.Namespace, tally: _Tally
) -> None:
    """Spread pictures and videos over a cluster, which sees the same files by the same paths."""
    check_least("--workers", options.workers, 0)
    results = spread(batches, partial(Predictor, asked), options.ray, options.workers)
    try:
        with closing(results), Progress(count, "inputs") as progress:
            for outcomes in results:
                for outcome in outcomes:
                    tally.add(outcome)
                progress.add(len(outcomes))
            # What a worker wrote before it was killed, nobody has told.
            tally.written += max(count - tally.written - tally.failed, 0)
    finally:  # a worker that was killed has cleaned nothing up
        places = [item.place for batch in batches for item in batch]
        folders = {part.parent for place in places for part in (place, frames_folder(place) / "0")}
        remove_partial(asked.layout.folder / folder for folder in folders)


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
    if options.steady != "off":  # as folders have it that were begun before there was a choice
        model["steady"] = options.steady
    model["batch"] = options.batch or _batch_of(options.device)
    model |= {"weights_sha256": sha256_of(weights) if weights else "", "colormap": options.colormap}
    cameras = _cameras(options, card)
    asked = Asked(
        weights=options.weights,
        download=options.download,
        cameras=cameras,
        layout=Layout(options.output.absolute(), outputs, card.kind),
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


@dataclass
class _Tally:
    """What became of the inputs."""

    written: int = 0
    failed: int = 0
    assumed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count an outcome, and say so where it is a failure."""
        if outcome.problem:
            self.failed += 1
            warn(f"left out: {outcome.problem}")
        else:
            self.written += 1
            self.assumed += outcome.camera_from == "assumed"

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
