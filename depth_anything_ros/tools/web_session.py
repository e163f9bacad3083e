"""What the page of ``depth_anything web`` shows of a picture: models, limits, answers, readings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import ImageError, ModelError, SourceError, quoted
from depth_anything_ros.core.exif import read_exif
from depth_anything_ros.core.picture_files import check_size, decode_picture, doubt_of_filling
from depth_anything_ros.core.programs import how_to_run
from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.models.weights.find import cached_weights
from depth_anything_ros.models.zoo import card_names, find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.pipeline.answer import Answer
from depth_anything_ros.pipeline.depth import DepthPipeline
from depth_anything_ros.pipeline.options import ColouredCloudOptions, DepthOptions
from depth_anything_ros.tools.models import gives, places
from depth_anything_ros.tools.parsers import CLOUDS
from depth_anything_ros.tools.predict_inputs import CameraChoice, Input
from depth_anything_ros.tools.predict_outputs import PAINTED, Layout, Writer
from depth_anything_ros.tools.predict_pictures import Asked
from depth_anything_ros.tools.predict_videos import answer_video
from depth_anything_ros.tools.video_files import VideoFile

MIB = 1 << 20
# Of a cloud: more make a browser slow, and show nothing more on a screen.
MOST_POINTS = 300_000
# Of what a browser is sent to look at; files to keep have all pixels.
LONGEST_SHOWN = 1280
# Files that may be downloaded, and what is written on their buttons.
DOWNLOADS = {
    "depth_png": "Depth, 16-bit PNG",
    "json": "Its scale, JSON",
    "color": "Colours, PNG",
    "glb": "Point cloud, GLB",
}
VIDEO_DOWNLOADS = {
    "color": "Colours, MP4",
    "side_by_side": "Beside the video, MP4",
    "json": "Its facts, JSON",
}
PICTURE_OUTPUTS = tuple(name for name in DOWNLOADS if name != "json")
_LONGEST_NAME = 100


@dataclass(frozen=True)
class Limits:
    """What is taken of people.

    Attributes:
        upload_mib: of a file, in units of 2^20 bytes, as browsers and Gradio count them.
        megapixels: of a picture, which is judged by its header, before it is decoded, or of a
            frame.
        frames: of a video.
    """

    upload_mib: float = 100.0
    megapixels: float = 50.0
    frames: int = 1800


@dataclass(frozen=True, eq=False)
class PagePicture:
    """An uploaded picture.

    Attributes:
        name: of its file.
        rgb: uint8 (height, width, 3), upright.
        hfov_deg: its camera's horizontal field of view, where the file says it (EXIF); in tenths.
        doubt: what may be wrong with it; "" where nothing is.
    """

    name: str
    rgb: NDArray[np.uint8]
    hfov_deg: float | None = None
    doubt: str = ""


@dataclass(frozen=True, eq=False)
class View:
    """A picture and what is said of it.

    Attributes:
        picture: that was uploaded.
        model: that answered.
        hfov_deg: that its camera was taken to have.
        answer: on the picture's pixels.
        summary: a line or two of Markdown about it.
    """

    picture: PagePicture
    model: str
    hfov_deg: float
    answer: Answer
    summary: str

    @property
    def estimate(self) -> Estimate:
        """The depth or disparity."""
        assert self.answer.estimate is not None  # it was asked for
        return self.answer.estimate


class ModelChoice:
    """The models that may be chosen; the one that was asked for last stays loaded.

    Args:
        model: of the command line, which comes first and need not be in the zoo.
        weights: of that model, as of ``load_estimator``.
        device: for all.

    Attributes:
        first: the model of the command line.
        names: of those that may be chosen.
        absent: those of the zoo whose weights are not on this machine.
    """

    def __init__(self, model: str, weights: str = "", device: str = "auto") -> None:
        self._weights, self._device = {model: weights}, device
        cards = [find_card(name) for name in card_names() if name != model]
        self.first = model
        self.absent = [card for card in cards if cached_weights(card) is None]
        self.names = [model, *(card.name for card in cards if card not in self.absent)]
        self._loaded: DepthPipeline | None = None
        self._name = ""

    def pipeline(self, name: str) -> DepthPipeline:
        """Return what answers by a model, loaded if it is not yet.

        Raises:
            ModelError: on a name that is not offered, and as ``load_estimator``.
            CheckpointError: likewise.
        """
        if name not in self.names:
            raise ModelError(f"{quoted(name)} is not one of {', '.join(self.names)}")
        if self._loaded is None or self._name != name:
            self._loaded = None  # before the next one takes its memory
            self._loaded = DepthPipeline(
                load_estimator(name, self._weights.get(name, ""), self._device)
            )
            self._name = name
        return self._loaded

    def asked(
        self, name: str, hfov_deg: float, colormap: str, folder: Path, is_steady: bool = False
    ) -> Asked:
        """Return what is asked of videos, in the words of ``depth_anything predict``."""
        kind = self.pipeline(name).kind
        outputs = tuple(name for name in PAINTED if name in VIDEO_DOWNLOADS)
        return Asked(
            model=name,
            weights=self._weights.get(name, ""),
            download=False,
            device=self._device,
            engine="auto",
            precision="auto",
            input_size=0,
            weights_sha256="",
            output_size="image",
            cameras=CameraChoice(hfov_deg=hfov_deg),
            layout=Layout(folder, outputs, kind),
            colormap=colormap,
            batch=1,
            steady="flow" if is_steady else "off",
        )

    def absent_lines(self) -> Iterator[str]:
        """Yield a table, in Markdown, of the models whose weights are not on this machine."""
        yield from ("| model | gives | licence of the weights | |", "|---|---|---|---|")
        for card in self.absent:
            fetch = f"`{how_to_run('depth_anything', f'weights fetch {card.name}')}`"
            how = fetch if places(card) else "not released"
            yield f"| {card.name} | {gives(card).replace('*', '')} | {_licence(card)} | {how} |"


def read_picture(path: Path, limits: Limits) -> PagePicture:
    """Read an uploaded picture, once its size and its header were judged.

    Raises:
        ImageError: saying what is wrong with it; its reason is ``too_large`` beyond the limits.
    """
    check_upload(path, limits)
    data = path.read_bytes()
    try:
        name, bgr = decode_picture(data, cv2.IMREAD_COLOR, limits.megapixels)
    except ImageError as error:
        raise ImageError(f"{quoted(path.name)}: {error}", reason=error.reason) from error
    rgb = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
    camera = read_exif(data).camera(rgb.shape[1], rgb.shape[0])
    hfov_deg = None if camera is None or camera.doubts() else round(camera.hfov_deg, 1)
    return PagePicture(path.name, rgb, hfov_deg, doubt_of_filling(name, bgr))


def check_upload(path: Path, limits: Limits) -> None:
    """Refuse a file of more bytes than are taken.

    Raises:
        ImageError: (``too_large``) naming it.
    """
    size = path.stat().st_size
    if size > limits.upload_mib * MIB:
        raise ImageError(
            f"{quoted(path.name)} has {size / MIB:.1f} MiB; {limits.upload_mib:g} MiB are allowed",
            reason="too_large",
        )


def view_of(picture: PagePicture, pipeline: DepthPipeline, hfov_deg: float) -> View:
    """Answer a picture as taken by a pinhole of a horizontal field of view.

    Raises:
        CameraError: on a field of view that no pinhole has.
        ModelError: as ``DepthPipeline.infer``.
    """
    height, width = picture.rgb.shape[:2]
    stride = math.ceil(math.sqrt(width * height / MOST_POINTS))
    pipeline.options = DepthOptions(cloud=ColouredCloudOptions(False, stride))
    answer = pipeline.infer(picture.rgb, Camera.from_hfov(width, height, hfov_deg))
    said = "  \n".join(filter(None, (summary(pipeline, answer), picture.doubt)))
    return View(picture, pipeline.estimator.card.name, hfov_deg, answer, said)


def write_files(view: View, colormap: str, folder: Path) -> dict[str, Path]:
    """Write what may be downloaded, as ``depth_anything predict`` does.

    Args:
        view: of a picture.
        colormap: of ``core.colormap``.
        folder: to write into.

    Returns:
        The files by the keys of ``DOWNLOADS``; without a cloud where there are no metres.
    """
    picture, kind = view.picture, view.estimate.kind
    outputs = tuple(name for name in PICTURE_OUTPUTS if name not in CLOUDS or kind == "metric")
    layout, place = Layout(folder, outputs, kind), _place(picture.name)
    facts = {"source": picture.name, "hfov_deg": view.hfov_deg}
    Writer(layout, colormap, {"model": view.model}).write(place, view.answer, picture.rgb, facts)
    return {**{name: layout.path(place, name) for name in outputs}, "json": layout.said(place)}


def _place(name: str) -> Path:
    return Path(Path(name).stem[:_LONGEST_NAME])


def predict_video(
    path: Path,
    asked: Asked,
    pipeline: DepthPipeline,
    limits: Limits,
    done: Callable[[int, int], None],
) -> dict[str, Path]:
    """Answer an uploaded video frame by frame, in one range of colours.

    Args:
        path: of the video.
        asked: of ``ModelChoice.asked``.
        pipeline: of the same model.
        limits: of what is taken.
        done: is told how many frames are written, and of how many.

    Returns:
        The files by the keys of ``VIDEO_DOWNLOADS``.

    Raises:
        SourceError: saying what is wrong with it.
        ImageError: (``too_large``) beyond the limits.
    """
    check_upload(path, limits)
    try:
        video = VideoFile(path)
        check_size(video.width, video.height, limits.megapixels)
    except SourceError as error:
        raise SourceError(_without_folder(error, path)) from error
    if video.count > limits.frames:
        raise ImageError(
            f"{quoted(path.name)} has {video.count} frames; {limits.frames} are allowed",
            reason="too_large",
        )
    pipeline.options = asked.options
    item = Input(path, _place(path.name), path.name)
    outcome = answer_video(asked, pipeline, asked.writer(pipeline), item, done)
    if outcome.problem:
        raise SourceError(_without_folder(outcome.problem, path))
    layout = asked.layout
    files = {name: layout.path(item.place, name, is_video=True) for name in layout.outputs}
    return {**files, "json": layout.said(item.place)}


def _without_folder(said: object, path: Path) -> str:
    """Return a message without this machine's folders, which are nobody's business."""
    return str(said).replace(str(path), quoted(path.name))


def video_summary(said: Path) -> str:
    """Say in Markdown what was answered, by the JSON of a video."""
    facts = json.loads(said.read_bytes())
    parts = [f"**{facts['model']}**", f"{facts['width']} × {facts['height']} px"]
    parts += [f"{facts['frames']} frames", f"{float(Fraction(facts['rate'])):.4g} a second"]
    if "steady" in facts:
        parts.append(f"steadied by {facts['steady']}")
    return " · ".join(parts)


def summary(pipeline: DepthPipeline, answer: Answer) -> str:
    """Say in Markdown what was answered, by what, and what it must not be taken for."""
    estimator, estimate = pipeline.estimator, answer.estimate
    assert estimate is not None
    card, (width, height) = estimator.card, answer.size
    parts = [f"**{card.name}** on {estimator.engine.device} ({estimator.engine.name})"]
    parts.append(f"{width} × {height} px")
    known = estimate.values[np.isfinite(estimate.values)]
    if estimate.unit and known.size:
        near, middle, far = np.percentile(known, (2, 50, 98))
        parts.append(f"{near:.2f} to {far:.2f} {estimate.unit}, median {middle:.2f}")
    parts.append(f"weights: {_licence(card)}")
    return f"{' · '.join(parts)}  \n{_meaning(card, estimate)}"


def _meaning(card: ModelCard, estimate: Estimate) -> str:
    if not estimate.unit:
        return (
            "A relative model: which of two things is nearer, and no metres, so there is no point "
            "cloud. A metric model gives both."
        )
    if card.focal_scaled:
        return "Metres by the focal length: the field of view scales depth and point cloud."
    return "Metres along the optical axis; the field of view sets how wide the point cloud opens."


def _licence(card: ModelCard) -> str:
    return card.licence if card.commercial else f"{card.licence}, **not for commercial use**"


def shown_size(width: int, height: int) -> tuple[int, int]:
    """Return the width and height at which a picture of a size is looked at."""
    scale = min(1.0, LONGEST_SHOWN / max(width, height))
    return max(1, round(scale * width)), max(1, round(scale * height))


def shown(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture, uint8 (height, width, 3), at the size at which it is looked at."""
    height, width = rgb.shape[:2]
    size = shown_size(width, height)
    if size == (width, height):
        return rgb
    return np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def reading(estimate: Estimate, x: int, y: int) -> str:
    """Say in Markdown what is known of a pixel.

    Args:
        estimate: on the picture's pixels.
        x: column of the picture as it is shown.
        y: row of it.
    """
    height, width = estimate.values.shape
    across, down = shown_size(width, height)
    column = min(max(int((x + 0.5) * width / across), 0), width - 1)
    row = min(max(int((y + 0.5) * height / down), 0), height - 1)
    return f"pixel ({column}, {row}): {_value(estimate, row, column)}"


def _value(estimate: Estimate, row: int, column: int) -> str:
    value = float(estimate.values[row, column])
    if math.isnan(value):
        return "**unknown**"
    if math.isinf(value):
        return "**beyond range** (the sky, or farther than the model knows)"
    if not estimate.unit:
        larger = "nearer" if estimate.space == "disparity" else "farther"
        return f"**{value:.4g}**, a relative value without a unit; larger is {larger}"
    depth = f"**{value:.2f} {estimate.unit}** along the optical axis"
    if estimate.camera is None:
        return depth
    ray = estimate.camera.unproject(np.array([column, row], np.float64))
    return f"{depth}, {value * float(np.linalg.norm(ray)):.2f} {estimate.unit} from the camera"
