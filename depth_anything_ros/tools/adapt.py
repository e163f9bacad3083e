"""``depth_anything adapt``: tune a metric model to a robot by a bag of it."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros import interrupts
from depth_anything_ros.core.errors import ParameterError, SourceError
from depth_anything_ros.core.files import atomically, claim_folder, link_or_copy, write_atomically
from depth_anything_ros.core.protocols import find_protocol
from depth_anything_ros.core.recording import RecordedFrame, load_calibration
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.tools import evaluation
from depth_anything_ros.tools.adaptation_report import Adaptation, written
from depth_anything_ros.tools.bag_extraction import Extraction, extract
from depth_anything_ros.tools.bag_reading import (
    RANGES,
    Bag,
    CameraTopics,
    check_ranges_topics,
    find_cameras,
)
from depth_anything_ros.tools.evaluation_report import means
from depth_anything_ros.tools.options import check_least
from depth_anything_ros.tools.progress import Progress, say
from depth_anything_ros.training.recipe import Recipe, find_recipe, load_recipe
from depth_anything_ros.training.rescaling import can_rescale, log_depth_line, rescale_weights
from depth_anything_ros.training.run_folder import RunFolder
from depth_anything_ros.training.trainer import train

RECIPE = "finetune_metric"
PARTS = ("train", "validate", "held_out")
# Of the time of the bag: the end is held out, and of what is before, the end chooses the weights.
_HELD_OUT, _VALIDATE = 0.2, 0.12
_LEAST_PICTURES = 20
# Ground truth nearer and farther does not count, as of evaluate.
_PROTOCOL = find_protocol("range")
_PIXELS_A_PICTURE = 500
# Steps that are timed, and the share of the time that all steps may take by that.
_PROBE_STEPS, _SHARE = 6, 0.85

# Of a small network: it learns faster, and by whole pictures, as the camera will see them.
_SMALL: dict[str, Any] = {
    "sources.0.augment": "none",
    "batch_size": 2,
    "accumulate": 1,
    "workers": 1,
    "optimiser.lr": 1e-3,
    "optimiser.depthwise": False,
    "optimiser.encoder_lr_scale": 0.25,
    "optimiser.layer_decay": 1.0,
    "losses.scale_invariant_log": 0.0,
    "losses.log_l1": 1.0,
    "losses.sky": 0.2,
}


def run(options: argparse.Namespace) -> int:
    """Adapt a model; return the exit status."""
    check_least("--pictures", options.pictures, _LEAST_PICTURES)
    if not options.minutes > 0:
        raise ParameterError(f"--minutes must be more than 0, got {options.minutes:g}")
    card = find_card(options.model, options.download)
    if card.kind != "metric":
        raise ParameterError(
            f"{card.name} gives no metres, which is what a LiDAR teaches; choose a metric model "
            "(depth_anything models), or anchor it as it is by scale_anchor_node"
        )
    weights = resolve_weights(options.weights, card, options.download)
    if weights is None:
        raise ParameterError("--weights random is nothing to begin with; name a checkpoint")
    folder: Path = options.output or Path("out/adapt", options.bag.stem)
    _prepare(options, folder, weights)
    job = _Job(options, card, weights, folder)
    return job.run()


def _prepare(options: argparse.Namespace, folder: Path, weights: Path) -> None:
    """Extract the pictures of the bag and sort them into parts by their time."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SourceError(f"cannot write {folder}: {error.strerror}") from error
    with Bag(options.bag) as bag:
        camera = _camera(bag, options)
        ranges = options.lidar or _ranges(bag)
        made_of = {
            "bag": str(options.bag.resolve()),
            "camera": camera.image,
            "ranges": ranges,
            "max_offset": options.max_offset,
            "rectify": options.rectify,
            "pictures": options.pictures,
            "minutes": options.minutes,
            "model": options.model,
            "weights_sha256": sha256_of(weights),
            "input_size": options.input_size,
        }
        claim_folder(folder / "made_of.json", made_of, "an adaptation")
        count = sum(c.msgcount for c in bag.of_topic(camera.image))
        every = max(count // options.pictures, 1)
        extraction = Extraction(ranges, options.max_offset, options.rectify, every)
        extract(bag, [camera], folder / "pictures", extraction)
    _sort(folder)


def _camera(bag: Bag, options: argparse.Namespace) -> CameraTopics:
    cameras = find_cameras(bag, options.image, options.camera_info)
    if len(cameras) > 1:
        raise ParameterError(
            f"the bag has several cameras, and each needs weights of its own: choose one with "
            f"--image of {', '.join(camera.image for camera in cameras)}"
        )
    return cameras[0]


def _ranges(bag: Bag) -> list[str]:
    """Return the topics of point clouds; their own points are what a camera is taught by."""
    kind = next(iter(RANGES))
    found = sorted({c.topic for c in bag.connections if c.msgtype == kind and c.msgcount})
    if len(found) != 1:
        has = f"several: {', '.join(found)}" if found else "none"
        raise ParameterError(
            f"which topic measures depth? Of {kind} the bag has {has}; name one with --lidar "
            "(PointCloud2, LaserScan, Range, or a depth image registered to the camera)"
        )
    check_ranges_topics(bag, found)
    return found


def _sort(folder: Path) -> None:
    """Link the pictures into the folders of ``PARTS``, by their stamps."""
    pictures = sorted(
        p for p in (folder / "pictures").glob("image_*.png") if not p.stem.endswith("_depth")
    )
    if len(pictures) < _LEAST_PICTURES:
        raise SourceError(
            f"{len(pictures)} pictures with ranges are too few to adapt by; {_LEAST_PICTURES} are "
            "the least, and some hundreds of several minutes are good"
        )
    stamps = [int(picture.stem.removeprefix("image_")) for picture in pictures]
    held_out = stamps[-1] - _HELD_OUT * (stamps[-1] - stamps[0])
    validate = held_out - _VALIDATE * (held_out - stamps[0])
    for part in PARTS:
        (folder / part).mkdir(exist_ok=True)
        link_or_copy(folder / "pictures" / "calib.json", folder / part / "calib.json")
    for picture, stamp in zip(pictures, stamps, strict=True):
        part = PARTS[(stamp > validate) + (stamp > held_out)]
        for file in (picture, picture.with_name(f"{picture.stem}_depth.png")):
            link_or_copy(file, folder / part / file.name)


@dataclass(eq=False)
class _Job:
    """An adaptation whose pictures are there."""

    options: argparse.Namespace
    card: ModelCard
    weights: Path
    folder: Path
    found: Adaptation = field(init=False)

    def __post_init__(self) -> None:
        self.found = Adaptation(self.card, self.weights)
        self._calibration = load_calibration(self.folder / "train" / "calib.json")

    def run(self) -> int:
        """Score, correct, fine-tune, choose, score again; return the exit status."""
        found = self.found
        found.before = self._scores("before", self.weights, "held_out")
        candidates = {"as it was": self.weights}
        begin = self.weights
        if can_rescale(self.card):
            begin = candidates["corrected by a line"] = self._rescaled()
        steps = self._train(begin)
        if steps is None:
            return interrupts.INTERRUPTED
        candidates["fine-tuned"] = self.folder / "run" / "weights.safetensors"
        found.steps, found.pictures = steps, self._counts()
        found.validation = {
            name: self._scores(f"validation_{place}", path, "validate")
            for place, (name, path) in enumerate(candidates.items())
        }
        found.chosen = min(found.validation, key=lambda n: found.validation[n]["metric_abs_rel"])
        chosen = candidates[found.chosen]
        found.after = self._scores("after", chosen, "held_out")
        return self._hand_over(chosen)

    def _hand_over(self, chosen: Path) -> int:
        found, output = self.found, self.folder / "weights.safetensors"
        output.unlink(missing_ok=True)
        if found.is_better:
            shutil.copyfile(chosen, output)
            found.sha256 = sha256_of(output)
        say(*written(found, self.folder, self.options, self._calibration.camera))
        return 0 if found.is_better else 1

    def _counts(self) -> dict[str, int]:
        return {part: len(evaluation.frames_under(self.folder / part, [])) for part in PARTS}

    def _estimator(self, weights: Path) -> DepthEstimator:
        return DepthEstimator(
            self.card.name, str(weights), self.options.device, input_size=self.options.input_size
        )

    def _scores(self, name: str, weights: Path, part: str) -> dict[str, float]:
        """Score weights on a part as ``evaluate`` does; what was scored before is read."""
        file = self.folder / f"{name}.json"
        asked = {"weights": sha256_of(weights), "part": part}
        if file.is_file():
            known = json.loads(file.read_text(encoding="utf-8"))
            if known["of"] == asked:
                scores: dict[str, float] = known["scores"]
                return scores
        say(f"scoring {weights.name} on {part}")
        job = evaluation.Evaluation(self._estimator(weights), _PROTOCOL)
        for _, picture in self._labelled(part):
            job.add(picture)
        if not job.rows:
            raise SourceError(f"no picture of {self.folder / part} could be scored")
        scores = means(row.values for row in job.rows)
        text = json.dumps({"of": asked, "scores": scores}, indent=1)
        write_atomically(file, text.encode(), SourceError)
        return scores

    def _labelled(self, part: str) -> Iterator[tuple[RecordedFrame, evaluation.LabelledImage]]:
        frames = evaluation.frames_under(self.folder / part, [])
        with Progress(len(frames), "pictures") as progress:
            for frame, picture in zip(frames, evaluation.recorded(frames), strict=True):
                yield frame, picture
                progress.add(1)

    def _rescaled(self) -> Path:
        """Write the weights after the line that brings their metres to the LiDAR's."""
        output = self.folder / "rescaled.safetensors"
        if not output.is_file():
            say("fitting the line that brings log depth to the LiDAR's")
            estimator = self._estimator(self.weights)
            fit = log_depth_line(self._pairs(estimator))
            if not fit.ok:
                raise SourceError(f"no line brings depth to the LiDAR's: {fit.reason}")
            camera = self._calibration.camera
            assert camera is not None
            width, height = estimator.network_size(camera.width, camera.height)
            K = camera.scaled(width, height).K
            line = rescale_weights(self.card, self.weights, fit, (K[0] + K[4]) / 2, output)
            say(f"log depth' = {line[0]:.3f} log depth + {line[1]:.3f}")
        return output

    def _pairs(
        self, estimator: DepthEstimator
    ) -> Iterator[tuple[NDArray[np.floating], NDArray[np.floating]]]:
        """Yield predicted and true metres of the pictures to train on, and label their sky."""
        rng = np.random.default_rng(0)
        for frame, picture in self._labelled("train"):
            answer, truth = estimator.infer(picture.rgb, picture.camera).values, picture.truth
            self._label_sky(frame, answer, truth.depth_m)
            known = np.flatnonzero(_PROTOCOL.mask(truth) & np.isfinite(answer))
            taken = rng.permutation(known)[:_PIXELS_A_PICTURE]
            yield answer.ravel()[taken], truth.depth_m.ravel()[taken]

    def _label_sky(
        self,
        frame: RecordedFrame,
        answer: NDArray[np.float32],
        depth_m: NDArray[np.float32],
    ) -> None:
        """Keep the sky where the model sees it: a LiDAR teaches only what is none.

        Without it, what is learnt of depth moves the sky, and one wrong pixel of that costs more
        than all that is gained at a hundred.
        """
        is_sky = np.isposinf(answer) & np.isnan(depth_m)
        if is_sky.any():
            labels = np.where(is_sky, np.float32(np.inf), depth_m).astype(np.float16)
            path = frame.picture.with_name(f"{frame.picture.stem}_depth.npy")
            with atomically(path, SourceError) as partial, partial.open("wb") as file:
                np.save(file, labels)

    # Training ------------------------------------------------------------------------------

    def _train(self, begin: Path) -> int | None:
        """Fine-tune for the time that is left; return the steps, None where a signal ended it."""
        file = self.folder / "trained.json"
        if not file.is_file():
            minutes = float(self.options.minutes)
            recipe = self._recipe(begin, self._steps(begin, minutes), "run")
            left = max(minutes - self._spent(), 0.0)
            result = train(recipe, minutes=left, say=_say_steps)
            if not result.is_finished and result.seconds < 0.98 * 60 * minutes:
                say(f"stopped at step {result.step}; run the same command again to go on")
                return None
            write_atomically(file, json.dumps(result.step).encode(), SourceError)
        return int(json.loads(file.read_text()))

    def _spent(self) -> float:
        """Return the minutes that earlier calls have trained."""
        run = RunFolder(self.folder / "run")
        return float(run.load_state()["seconds"]) / 60 if run.has_state() else 0.0

    def _steps(self, begin: Path, minutes: float) -> int:
        """Return how many steps the time is enough for, by the time that some take."""
        file = self.folder / "steps.json"
        if not file.is_file():
            say(f"timing {_PROBE_STEPS} steps")
            result = train(self._recipe(begin, _PROBE_STEPS, "probe"), True, say=lambda _: None)
            shutil.rmtree(self.folder / "probe", ignore_errors=True)
            seconds = result.seconds / max(result.step, 1)
            steps = max(round(_SHARE * 60 * minutes / seconds), _PROBE_STEPS)
            write_atomically(file, json.dumps(steps).encode(), SourceError)
        return int(json.loads(file.read_text()))

    def _recipe(self, begin: Path, steps: int, name: str) -> Recipe:
        """Return the recipe of a run: that of the package, for this model and these pictures."""
        estimator = self._estimator(self.weights)
        width, height = estimator.network_size(self._calibration.width, self._calibration.height)
        changes: dict[str, Any] = {
            "model": self.card.name,
            "init": str(begin),
            "steps": steps,
            "sizes": [[width, height, 1]],
            "sources.0.path": str(self.folder / "train"),
            "optimiser.warmup_steps": min(20, steps // 4),
            "validate.every": 0,
            "panel_every": 0,
            "log_every": max(min(50, steps // 4), 1),
            "tensorboard": "never",
            **(_SMALL if can_rescale(self.card) else {}),
        }
        overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
        path = find_recipe(RECIPE)
        return load_recipe(path, overrides, self.folder / name, self.options.device)


def _say_steps(line: str) -> None:
    """Leave out what the trainer says of its own command and folder."""
    if line.startswith("step "):
        say(line)
