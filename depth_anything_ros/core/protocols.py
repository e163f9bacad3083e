"""Which pixels of a data set count: the caps and crops that papers use, by name.

A score says nothing without them: of KITTI, the crop of Garg counts the near road, and that of
Eigen rather what lies above it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.core.evaluation import DepthRange

# Of the evaluation code of Eigen and all who follow it; it only keeps zeros out.
_NEAREST_M = 1e-3


@dataclass(frozen=True)
class Crop:
    """The part of a picture that counts, as shares of its height and width.

    Attributes:
        top: of the first row; all four are rounded down to whole pixels.
        bottom: of the row after the last.
        left: of the first column.
        right: of the column after the last.
        source: who uses it.
    """

    top: float
    bottom: float
    left: float
    right: float
    source: str

    def mask(self, height: int, width: int) -> NDArray[np.bool_]:
        """Return what lies inside, bool (height, width)."""
        rows = slice(int(self.top * height), int(self.bottom * height))
        columns = slice(int(self.left * width), int(self.right * width))
        inside = np.zeros((height, width), np.bool_)
        inside[rows, columns] = True
        return inside


# Rows 45 to 470 and columns 41 to 600 of 480 x 640: where the Kinect's depth was registered.
NYU_EIGEN = Crop(45 / 480, 471 / 480, 41 / 640, 601 / 640, "Eigen et al. 2014, arXiv 1406.2283")
# As monodepth's evaluation (arXiv 1609.03677) has both, whose numbers all have taken over.
KITTI_GARG = Crop(
    0.40810811, 0.99189189, 0.03594771, 0.96405229, "Garg et al. 2016, arXiv 1603.04992"
)
KITTI_EIGEN = Crop(
    0.3324324, 0.91351351, 0.0359477, 0.96405229, "Eigen et al. 2014, arXiv 1406.2283"
)


@dataclass(frozen=True)
class Protocol(DepthRange):
    """A range of depth, and of a data set's pictures the part that counts.

    Attributes:
        name: what it is asked for by.
        crop: None counts the whole picture.
    """

    name: str = "range"
    crop: Crop | None = None

    def mask(self, truth: DepthMap) -> NDArray[np.bool_]:
        """Say which pixels count: of known depth in the range, inside the crop."""
        counted = super().mask(truth)
        return counted if self.crop is None else counted & self.crop.mask(*counted.shape)


# Caps: MiDaS (arXiv 1907.01341, section 6) and, with the crops, the papers that are named there.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(_NEAREST_M, 80.0),
        Protocol(_NEAREST_M, 10.0, "nyu", NYU_EIGEN),
        Protocol(_NEAREST_M, 80.0, "kitti_garg", KITTI_GARG),
        Protocol(_NEAREST_M, 80.0, "kitti_eigen", KITTI_EIGEN),
        Protocol(_NEAREST_M, 72.0, "eth3d"),
        Protocol(_NEAREST_M, 10.0, "tum"),
    )
}


def find_protocol(name: str) -> Protocol:
    """Return the protocol of a name.

    Raises:
        ParameterError: for a name that is none.
    """
    if name not in PROTOCOLS:
        raise ParameterError(f"there is no protocol {name!r}; expected {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
