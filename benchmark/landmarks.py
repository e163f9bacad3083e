"""Metric depth from the landmarks of a SLAM: AbsRel by their number and the share of wrong ones.

Pictures of simulated drives (navigation.py); their disparity is true depth distorted as a relative
model might see it (anchoring.py). Landmarks are off by 3 %; the wrong ones are, a third each,
behind what is seen, anywhere on their ray, and behind the camera, at 1e6 or in the camera.

    python benchmark/landmarks.py --frames 10
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from anchoring import COUNTED, distorted
from navigation import PLACES, View, drive
from numpy.typing import NDArray

from depth_anything_ros.core.depth import DepthMap, DisparityMap
from depth_anything_ros.core.metrics import score
from depth_anything_ros.pipeline.anchor import AnchorPipeline
from depth_anything_ros.pipeline.steadying import Moment
from depth_anything_ros.tools.options import parse_size
from depth_anything_ros.tools.progress import say

COUNTS = (20, 50, 100, 200)
WRONG = (0.0, 0.1, 0.2, 0.4)
NOISE = 0.03
FARTHEST_M = 40.0
# Of the pictures of a drive, as neighbours show the same.
EVERY = 6


def landmarks(
    view: View, count: int, wrong: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return points (count, 3) in the optical frame, a share of them wrong."""
    camera, depth_m = view.depth.camera, view.depth.depth_m
    assert camera is not None
    seen = np.argwhere(depth_m < FARTHEST_M)
    rows, columns = seen[rng.permutation(len(seen))[:count]].T
    points = camera.rays()[rows, columns] * depth_m[rows, columns, None]
    points *= np.exp(rng.normal(0, NOISE, (count, 1)))
    for number in range(round(wrong * count)):
        lost = (-1.0, 1e6, 0.0)[number // 3 % 3]
        anywhere = np.exp(rng.uniform(np.log(0.5), np.log(80))) / points[number, 2]
        points[number] *= (rng.uniform(1.3, 4), anywhere, lost)[number % 3]
    return np.asarray(points, np.float64)


def main(words: Sequence[str] | None = None) -> int:
    """Measure, and print the table."""
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=style)
    parser.add_argument("--frames", type=int, default=10, help="of each place (default 10)")
    parser.add_argument("--size", type=parse_size, default=(640, 480), help="of the pictures")
    options = parser.parse_args(words)
    found = defaultdict(list)
    for place in PLACES:
        views = drive(place, EVERY * (options.frames - 1) + 1, options.size)
        for view in [view for number, view in enumerate(views) if number % EVERY == 0]:
            mask, rng = COUNTED.mask(view.depth), np.random.default_rng(0)
            shape = distorted(view.depth.depth_m, mask, rng)
            for count in COUNTS:
                for wrong in WRONG:
                    points = landmarks(view, count, wrong, np.random.default_rng(count))
                    disparity = DisparityMap(shape, view.depth.camera)
                    answer, _ = AnchorPipeline().anchor(disparity, points, Moment(view.stamp_ns))
                    assert answer is not None and answer.estimate is not None
                    depth = COUNTED.clamped(DepthMap(answer.estimate.values))
                    found[count, wrong].append(score(depth, view.depth.depth_m, mask).abs_rel)
    say("AbsRel, mean (worst picture), by landmarks and wrong ones")
    for count in COUNTS:
        cells = (found[count, wrong] for wrong in WRONG)
        say(f"{count:>4} " + "".join(f"  {np.mean(c):.3f} ({max(c):.3f})" for c in cells))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
