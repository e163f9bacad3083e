"""From images and their cameras to depth and clouds, by one model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import Estimate, Kind
from depth_anything_ros.core.errors import CameraError, ModelError, first_line
from depth_anything_ros.core.stage_times import StageTimes
from depth_anything_ros.engines.out_of_memory import is_out_of_memory, take_smaller_input
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.pipeline.answer import Answer, CloudMaker, known_confidence
from depth_anything_ros.pipeline.image import (
    ImageRectifier,
    RectifiedImage,
    halved,
    output_size,
)
from depth_anything_ros.pipeline.options import DepthOptions
from depth_anything_ros.pipeline.steadying import Moment, Steadied, Steadier

# For each image what the model answers, or what it raises for this one alone.
Estimates = list[Estimate | Exception]


class DepthPipeline:
    """Answer images of one camera or of several with depth and clouds.

    ``infer`` goes the whole way for one image. Its three parts may be called by themselves, for
    batches or from two threads: ``prepare`` and ``predict`` from one, ``finish`` from another.
    What depends on a camera alone (maps, rays) is kept until the camera changes. Where depth is to
    be steadied, what goes on from image to image of each camera is in ``steadiers``.

    Args:
        estimator: the model.
        options: what is asked of it.
        is_rig: whether an any-view model is to answer the images of several cameras together, in
            metres by their poses.
        full_size: the input size that the model should have; what it has where 0.

    Attributes:
        estimator: the model.
        options: what is asked of images to come; may be replaced at any time.
        is_rig: as given.
        full_size: the input size that the model has, unless memory was too small.
        steadiers: of each camera's depth over time, by its name.
    """

    def __init__(
        self,
        estimator: DepthEstimator,
        options: DepthOptions | None = None,
        is_rig: bool = False,
        full_size: int = 0,
    ) -> None:
        self.estimator = estimator
        self.options = options or DepthOptions()
        self.is_rig = is_rig
        self.full_size = full_size or estimator.input_size
        self._rectifiers: dict[str, ImageRectifier] = defaultdict(ImageRectifier)
        self._clouds: dict[str, CloudMaker] = defaultdict(CloudMaker)
        self.steadiers: dict[str, Steadier] = defaultdict(Steadier)

    @property
    def kind(self) -> Kind:
        """What it gives: ``metric``, ``relative`` or ``affine_depth``."""
        return "metric" if self.is_rig else self.estimator.card.kind

    def infer(self, rgb: NDArray[np.uint8], camera: Camera | None = None) -> Answer:
        """Answer one image.

        Args:
            rgb: uint8 (height, width, 3).
            camera: the camera of exactly this image, as it was taken; None where it is not known.

        Raises:
            CameraError: where the camera cannot be used, or is needed and not known.
            ImageError: on an image that the model takes not.
            ModelError: where the model answers no numbers, or has no memory left.
        """
        image = self.prepare(rgb, camera)
        (estimate,) = self.predict([image])
        if isinstance(estimate, Exception):
            raise estimate
        return self.finish(image, estimate)

    def warm_up(self, cameras: int = 1) -> None:
        """Infer once, so that no image waits for what a first inference sets up.

        Raises:
            ModelError: on weights that answer NaN; images may fare better.
        """
        camera = Camera.from_hfov(640, 480, 90.0)  # any: some models cannot do without
        black = np.zeros((480, 640, 3), np.uint8)
        if self.is_rig:
            self.estimator.infer_views([black] * cameras, [camera] * cameras)
        else:
            self.estimator.infer(black, camera)

    # In: the image that the network is given ------------------------------------------------

    @property
    def drops_uncalibrated(self) -> bool:
        """Whether nothing can be said of an image whose camera is not known."""
        needs_camera = self.estimator.card.focal_scaled or self.is_rig
        return needs_camera and not self.options.camera.fallback_hfov_deg

    @property
    def without_camera(self) -> str:
        """What becomes of an image whose camera is not known, in words."""
        hfov = self.options.camera.fallback_hfov_deg
        if hfov:
            return f"a pinhole of {hfov:g} deg is assumed"
        if not self.drops_uncalibrated:
            return "no cloud goes out"
        return (
            f"{self.estimator.card.name} needs the focal length, so no depth goes out: mend that, "
            "set camera.fallback_hfov_deg, or choose the model tiny_relative"
        )

    def prepare(
        self,
        rgb: NDArray[np.uint8],
        camera: Camera | None,
        source: str = "",
        is_rectified: bool = False,
        times: StageTimes | None = None,
    ) -> RectifiedImage:
        """Return an image as the network is to see it, and the grid that is published.

        Args:
            rgb: uint8 (height, width, 3).
            camera: the camera of exactly this image; None where it is not known.
            source: the camera's name, where the images are of several.
            is_rectified: whether the image is known to come rectified.
            times: takes the stages ``shrink`` and ``rectify``.

        Raises:
            CameraError: where the camera cannot be rectified, or is needed and not known.
        """
        options, times = self.options, times or StageTimes()
        picture: tuple[int, int] = (rgb.shape[1], rgb.shape[0])
        size = output_size(options.output.size, picture, self.estimator)
        if size is not None:
            with times.of("shrink"):
                rgb = halved(rgb, size, self.estimator.network_size(*picture))
        shown = (rgb.shape[1], rgb.shape[0])
        if camera is not None:
            camera, rectifier = camera.scaled(*shown), self._rectifiers[source]
            with times.of("rectify"):
                image = rectifier.rectified(rgb, camera, options.rectify, is_rectified)
        elif self.drops_uncalibrated:
            raise CameraError(self.without_camera, "uncalibrated")
        else:
            hfov = options.camera.fallback_hfov_deg
            image = RectifiedImage(rgb, Camera.from_hfov(*shown, hfov) if hfov else None)
        return replace(image, size=size, source=source, times=times)

    # Through: the network --------------------------------------------------------------------

    def predict(
        self,
        images: Sequence[RectifiedImage],
        T_rig_camera: Sequence[NDArray[np.float64]] | None = None,
    ) -> Estimates:
        """Ask the model for several images, so that one that is wrong costs no other its answer.

        Where its device has no memory left, it is asked once more for smaller images, and keeps
        the smaller input size unless it takes no other than its own. The stages of all together
        are added to the times of each.

        Args:
            images: of any cameras.
            T_rig_camera: float64 (4, 4) each, which takes points of the optical frame to one
                frame: the images are of calibrated cameras and one time, and answered together.

        Returns:
            An estimate each, or what was raised: of each image for itself, of a rig for all.
        """
        self.estimator.times.taken()
        if T_rig_camera is None:
            estimates = self._within_memory(partial(self._apart, images))
        else:
            estimates = self._within_memory(partial(self._together, images, T_rig_camera))
        stages = self.estimator.times.taken()
        for image in images:
            for stage, seconds in stages.items():
                image.times.add(stage, seconds)
        return estimates

    def _apart(self, images: Sequence[RectifiedImage]) -> Estimates:
        if not images:
            return []
        rgb, cameras = [image.rgb for image in images], [image.camera for image in images]
        try:
            return list(self.estimator.infer_batch(rgb, cameras, **_sizes(images)))
        except Exception as error:  # the caller is to raise it, where it counts what it drops
            if len(images) == 1:
                return [error]
        return [estimate for image in images for estimate in self._apart([image])]

    def _together(
        self, images: Sequence[RectifiedImage], T_rig_camera: Sequence[NDArray[np.float64]]
    ) -> Estimates:
        cameras = [image.camera for image in images if image.camera is not None]
        rgb = [image.rgb for image in images]
        try:
            views = self.estimator.infer_views(rgb, cameras, T_rig_camera, **_sizes(images))
        except Exception as error:  # as above
            return [error for _ in images]
        return [view.depth for view in views]

    def _within_memory(self, ask: Callable[[], Estimates]) -> Estimates:
        estimates = ask()
        if any(map(_is_out_of_memory, estimates)):
            estimates.clear()  # their tracebacks hold the memory
            size = self.estimator.input_size
            take_smaller_input(self.estimator)
            estimates = ask()
            if any(getattr(one, "reason", "") == "input_size" for one in estimates):
                self.estimator.input_size = size
        return [self._explained(one) for one in estimates]

    def _explained(self, found: Estimate | Exception) -> Estimate | Exception:
        if not _is_out_of_memory(found):
            return found
        size = self.estimator.input_size
        return ModelError(
            f"out of memory on {self.estimator.device} at input size {size} too: "
            f"{first_line(found)}; stop what else uses it, or choose a smaller model",
            reason="out_of_memory",
        )

    # Out: what is published ------------------------------------------------------------------

    def finish(
        self, image: RectifiedImage, estimate: Estimate | None, moment: Moment | None = None
    ) -> Answer:
        """Return the answer to an image, with NaN where it saw nothing, and within the range.

        Its cloud is made when it is asked for. Images of one camera that are to be steadied are
        finished in their order, by one thread at a time.

        Args:
            image: of ``prepare``.
            estimate: of ``predict``; None where only the camera is of interest.
            moment: when and where it was taken, as its camera came; None of an image that has
                nothing to do with others.
        """
        options, steadied = self.options, None
        colours = image.published_rgb if options.cloud.color else None
        clouds, far_m = self._clouds[image.source], options.range.far_m
        back_project = partial(clouds.cloud, options.cloud, far_m, colours)
        if estimate is not None and moment is not None and options.steady.method != "off":
            with image.times.of("steady"):
                steadied = self._steadied(image, estimate, moment)
                estimate = steadied.estimate
        if estimate is not None:
            with image.times.of("post"):
                limited = estimate.limited(options.range.min_m, options.range.max_m)
                estimate = limited.masked(image.published_valid)
        answer = Answer(image.published_size, image.published_camera, estimate, None, back_project)
        if steadied is None or estimate is None:
            return answer
        confidence = known_confidence(steadied.confidence, estimate)
        return replace(answer, confidence=confidence, steadying=steadied.report)

    def _steadied(self, image: RectifiedImage, estimate: Estimate, moment: Moment) -> Steadied:
        """Steady an estimate before its range is cut, so that what is about its end flickers not.

        What was not seen is masked before too: nothing of it may be carried to where something is.
        """
        steadier = self.steadiers[image.source]
        steadier.options = self.options.steady
        seen = estimate.masked(image.published_valid)
        return steadier.steady(seen, moment.turned(image.turn), image.rgb)


def _sizes(images: Sequence[RectifiedImage]) -> dict[str, Any]:
    """Return the argument that asks for other sizes than the images', where any does."""
    sizes = [image.size for image in images]
    return {"sizes": sizes} if any(sizes) else {}


def _is_out_of_memory(found: Estimate | Exception) -> TypeGuard[Exception]:
    return isinstance(found, Exception) and is_out_of_memory(found)
