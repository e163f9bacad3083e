"""int8 by post-training quantisation with NNCF (part of the extra ``openvino``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.core.frames import FrameSource
from depth_anything_ros.engines import gate
from depth_anything_ros.engines.engine import missing_extra
from depth_anything_ros.engines.quiet import quiet_exporters
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.preprocess import resized
from depth_anything_ros.models.zoo.families import family_of

# More give ranges that are hardly better, and each takes the time of a few runs.
_PICTURES = 24
_LEFT_TO_THE_GATE = 4
_RENDERED = (320, 240)  # width and height


def pictures_of(source: str) -> list[NDArray[np.uint8]]:
    """Read pictures to calibrate with: evenly taken from a folder, a sequence or a video.

    Args:
        source: as of ``core.frames.FrameSource``; of a video, its first pictures.

    Returns:
        uint8 (height, width, 3), RGB, at most 24.

    Raises:
        SourceError: where there is none.
    """
    frames = FrameSource(source, upright=True)
    step = max(len(frames.paths) // _PICTURES, 1)
    taken = islice(frames, 0, _PICTURES * step, step)
    return [np.ascontiguousarray(frame.bgr[..., ::-1]) for frame in taken]


def calibration_inputs(
    estimator: DepthEstimator, size: tuple[int, int], pictures: Iterable[NDArray[np.uint8]] = ()
) -> list[Tensor]:
    """Prepare pictures as the network's input of one size.

    Args:
        estimator: of the model.
        size: height and width of the input, in pixels.
        pictures: uint8 (height, width, 3), RGB, of any size, of which at most 24 are taken; ()
            for half of them from the simulator and half of synthetic patterns.

    Returns:
        float32 (1, 3, *size) each, on the CPU.
    """
    prepare = family_of(estimator.card).preparation
    cpu = torch.device("cpu")
    inputs = []
    for picture in list(islice(pictures, _PICTURES)) or _synthetic():
        middle = _middle(picture, size)
        image = prepare(middle, estimator.card, estimator.input_size, cpu)
        inputs.append(resized(image, *size, "linear", antialias=True).contiguous())
    return inputs


@lru_cache(maxsize=1)
def _synthetic() -> list[NDArray[np.uint8]]:
    """Render views of the simulator, and make pictures like those of the gate but none of its.

    Of either kind alone the ranges are too narrow for the other: ``tiny`` then differed from
    float32 by 8 or 5 % in the mean, with both by 2 or 3 %.
    """
    # Not at the top: only int8 needs the simulator, and every start would wait for it.
    from depth_anything_ros.sim.world import views

    half = _PICTURES // 2
    rendered = views(range(half), *_RENDERED).rgb.cpu().numpy()
    patterns = gate.pictures(half + _LEFT_TO_THE_GATE)[_LEFT_TO_THE_GATE:]
    return [*rendered, *patterns]


def _middle(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Cut out the middle of a picture, of the aspect of a size."""
    rows, columns = picture.shape[:2]
    height = max(min(rows, round(columns * size[0] / size[1])), 1)
    width = max(min(columns, round(rows * size[1] / size[0])), 1)
    top, left = (rows - height) // 2, (columns - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def quantised(model: Any, inputs: Sequence[Tensor], kept: Sequence[str] = ()) -> Any:  # noqa: ANN401 - openvino.Model
    """Quantise weights and activations of convolutions and matrix products to 8 bits.

    Weights by output channel, symmetrically; activations each by its range over the inputs.

    Args:
        model: an openvino.Model of one input.
        inputs: of that input's shape, such as the network will see.
        kept: names of the layers that are not quantised.

    Returns:
        Another openvino.Model.

    Raises:
        ModelError: (``engine``) where NNCF is not installed.
    """
    try:
        import nncf
    except ImportError:
        raise missing_extra("openvino in int8", "nncf", "openvino") from None
    if not inputs:
        raise ModelError("int8 needs pictures to calibrate with; got none", reason="calibration")
    with quiet_exporters(), _no_bars():
        return nncf.quantize(
            model,
            nncf.Dataset([image.numpy() for image in inputs]),
            preset=nncf.QuantizationPreset.MIXED,
            model_type=nncf.ModelType.TRANSFORMER,
            subset_size=len(inputs),
            ignored_scope=nncf.IgnoredScope(names=list(kept)),
        )


@contextmanager
def _no_bars() -> Iterator[None]:
    """Keep NNCF's bars of progress, which rich draws, out of a node's log."""
    import rich

    console = rich.get_console()
    before, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = before
