"""How long the stages of an image's way take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageTimes:
    """How long the stages of one image's way took; of a stage that comes twice, the sum.

    Attributes:
        seconds: seconds by the name of the stage.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add the time that the block takes."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - start)

    def add(self, stage: str, seconds: float) -> None:
        """Add a time that was measured."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def taken(self) -> dict[str, float]:
        """Return the seconds of each stage, and begin anew."""
        seconds, self.seconds = self.seconds, {}
        return seconds
