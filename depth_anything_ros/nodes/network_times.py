"""Tell the network's share of the time that an estimator takes, and what is before and after."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from depth_anything_ros.nodes.health import StageTimes

if TYPE_CHECKING:
    from torch import Tensor

    from depth_anything_ros.models import DepthEstimator
    from depth_anything_ros.models.estimator import Output


@contextmanager
def timed_network(estimator: DepthEstimator, times: Sequence[StageTimes]) -> Iterator[None]:
    """Add the stages ``pre``, ``net`` and ``post`` of what the block asks an estimator.

    Where its network does not run alone (any-view models), there is one stage ``inference``. On a
    GPU, what the network has not done when its call returns counts as ``post``.

    Args:
        estimator: that the block asks, in this thread.
        times: of the pictures; each is given the times of all together.
    """
    runner = estimator.runner
    run = runner or estimator.run_network
    spans: list[tuple[float, float]] = []

    def timed(images: Tensor) -> Output:
        start = time.perf_counter()
        try:
            return run(images)
        finally:
            spans.append((start, time.perf_counter()))

    estimator.runner, begin = timed, time.perf_counter()
    try:
        yield
    finally:
        if estimator.runner is timed:  # otherwise the block has put in another
            estimator.runner = runner
    total = time.perf_counter() - begin
    stages = {"inference": total}
    if spans:
        before, network = spans[0][0] - begin, sum(stop - start for start, stop in spans)
        stages = {"pre": before, "net": network, "post": total - before - network}
    for one in times:
        for stage, seconds in stages.items():
            one.add(stage, seconds)
