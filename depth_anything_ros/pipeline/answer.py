"""What a pipeline says of an image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import Allocate, BackProjector, Cloud
from depth_anything_ros.core.depth import DepthMap, Estimate
from depth_anything_ros.pipeline.obstacles import Surroundings
from depth_anything_ros.pipeline.options import CloudOptions
from depth_anything_ros.pipeline.steadying import SteadyReport


@dataclass(frozen=True, eq=False)
class Answer:
    """What is known of one image, on the grid that is published.

    Attributes:
        size: width and height of the grid.
        camera: the camera of the grid; None where it is not known.
        estimate: the depth or disparity, within the range, NaN where nothing was seen; None where
            it was not asked for.
        confidence: float32 (height, width), 0 to 1; None where nothing tells it.
        back_project: makes the cloud of a depth map and its camera.
        surroundings: the ground and what stands on it; None where nobody looked.
        steadying: how it was steadied over time; None where it was not.
    """

    size: tuple[int, int]
    camera: Camera | None
    estimate: Estimate | None = None
    confidence: NDArray[np.float32] | None = None
    back_project: Callable[[DepthMap, Camera, Allocate | None], Cloud] | None = None
    surroundings: Surroundings | None = None
    steadying: SteadyReport | None = None

    def cloud(self, allocate: Allocate | None = None) -> Cloud | None:
        """Return the points, which are made now; None without metres or without a camera.

        Args:
            allocate: makes the memory of an organised cloud; new memory where None.
        """
        depth = None if self.estimate is None else self.estimate.metric
        if depth is None or self.camera is None or self.back_project is None:
            return None
        return self.back_project(depth, self.camera, allocate)


def known_confidence(confidence: NDArray[np.float32], estimate: Estimate) -> NDArray[np.float32]:
    """Return a confidence (height, width) with 0 where the estimate is NaN."""
    return np.where(np.isnan(estimate.values), np.float32(0), confidence)


class CloudMaker:
    """Back-project the depth maps of one camera; its rays are kept until it changes."""

    def __init__(self) -> None:
        self._projector: BackProjector | None = None

    def cloud(
        self,
        options: CloudOptions,
        far_m: float | None,
        colours: Callable[[], NDArray[np.uint8]] | None,
        depth: DepthMap,
        camera: Camera,
        allocate: Allocate | None = None,
    ) -> Cloud:
        """Return the points of a depth map.

        Args:
            options: how it is made.
            far_m: where points beyond range are put; None drops them.
            colours: makes the colours of the points, uint8 (height, width, 3); none where None.
            depth: on the camera's grid.
            camera: the camera of the depth map.
            allocate: makes the memory of an organised cloud; new memory where None.
        """
        projector = self._projector
        if projector is None or projector.camera != camera or projector.stride != options.stride:
            projector = self._projector = BackProjector(camera, options.stride)
        return projector.project(
            depth,
            colours and colours(),
            organized=options.organized,
            edge_jump=options.edge_jump,
            far_m=far_m,
            allocate=allocate if options.organized else None,
        )
