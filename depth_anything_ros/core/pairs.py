"""Which of two points is nearer: a score that needs neither metres nor an alignment.

Of sparse pairs that people have annotated, as DA-2K has them (Depth Anything V2, arXiv 2406.09414,
section 6).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.depth import Estimate
from depth_anything_ros.core.errors import ImageError


@dataclass(frozen=True)
class PairScores:
    """How many pairs an answer has in the right order.

    Attributes:
        right: number of pairs.
        pairs: number of all pairs.
    """

    right: int
    pairs: int

    @property
    def accuracy(self) -> float:
        """Return the share of the pairs that are right, 0 to 1; NaN of none."""
        return self.right / self.pairs if self.pairs else float("nan")


def score_pairs(
    answer: Estimate, nearer: NDArray[np.integer], farther: NDArray[np.integer]
) -> PairScores:
    """Count the pairs whose nearer point is strictly nearer in the answer.

    A tie is wrong (two points of the sky among them), and so is a pair with a point that the
    answer does not know: to say nothing is not to be right.

    Args:
        answer: of a model, on the grid of the points.
        nearer: (pairs, 2), row and column of the nearer points.
        farther: (pairs, 2), row and column of the farther points.

    Raises:
        ImageError: where the points are not of that shape, or not in the picture.
    """
    values = answer.nearness()
    for points in (nearer, farther):
        _check(points, values.shape, len(nearer))
    first, second = (values[points[:, 0], points[:, 1]] for points in (nearer, farther))
    return PairScores(int(np.count_nonzero(first > second)), len(nearer))


def _check(points: NDArray[np.integer], shape: tuple[int, ...], count: int) -> None:
    if points.shape != (count, 2):
        raise ImageError(
            f"points of pairs must be of shape ({count}, 2), row and column, got {points.shape}"
        )
    outside = ((points < 0) | (points >= shape)).any(-1)
    if outside.any():
        row, column = points[np.argmax(outside)]
        raise ImageError(
            f"the point at row {row}, column {column} is not in the picture of "
            f"{shape[1]}x{shape[0]}"
        )
