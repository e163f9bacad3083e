"""What answers the inputs of ``depth_anything predict``: here, or in each process of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from depth_anything_ros.tools.predict_inputs import Input
from depth_anything_ros.tools.predict_outputs import Layout, is_done
from depth_anything_ros.tools.predict_pictures import Asked, Batch, Outcome, PicturePredictor
from depth_anything_ros.tools.predict_videos import answer_video, is_video_done


class Predictor:
    """A loaded model, and what is wanted of it.

    Args:
        asked: what is wanted.
    """

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.pipeline = asked.pipeline()
        self._writer = asked.writer(self.pipeline)

    def pictures(self, batches: Iterable[Batch]) -> Iterator[Outcome]:
        """Answer pictures, as ``PicturePredictor.run``."""
        return PicturePredictor(self.asked, self.pipeline, self._writer).run(batches)

    def video(self, item: Input, done: Callable[[int, int], None]) -> Outcome:
        """Answer a video, as ``answer_video``."""
        return answer_video(self.asked, self.pipeline, self._writer, item, done)

    def __call__(self, batch: Batch) -> list[Outcome]:
        """Answer a batch of pictures, or one video."""
        if batch[0].is_video:
            return [self.video(batch[0], lambda _count, _of: None)]
        return list(self.pictures([batch]))


def is_input_done(layout: Layout, item: Input) -> bool:
    """Say whether all that is wanted of a picture or a video is there, and not older than it."""
    if item.is_video:
        return is_video_done(layout, item)
    return is_done(layout.files(item.place), item.path)


def batches_of(inputs: Sequence[Input], size: int) -> list[Batch]:
    """Return pictures so many together, and videos one by one; the same whatever is done already.

    What is inferred together may differ in its last bits from what is not.
    """
    pictures = [item for item in inputs if not item.is_video]
    starts = range(0, len(pictures), size)
    batches = [tuple(pictures[start : start + size]) for start in starts]
    return batches + [(item,) for item in inputs if item.is_video]
