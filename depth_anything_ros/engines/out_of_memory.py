"""What to do where a device runs out of memory."""

from __future__ import annotations

import gc
import logging

import torch

from depth_anything_ros.core.memory import says_memory_is_short
from depth_anything_ros.models.estimator import MIN_INPUT_SIZE, DepthEstimator

_log = logging.getLogger(__name__)

# A step down: about half of the pixels, and of the memory.
_SMALLER = 0.75
# As CUDA and MPS have it, of torch and of ONNX Runtime; allocators of this machine say other words.
_OF_A_DEVICE = "out of memory"


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that a device has no memory left.

    torch has a class for it (torch.OutOfMemoryError), which not all of its devices raise.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    said = says_memory_is_short(error) or _OF_A_DEVICE in str(error).lower()
    return isinstance(error, RuntimeError) and said


def take_smaller_input(estimator: DepthEstimator) -> bool:
    """Free what can be freed, and make the next pictures three quarters as large.

    Returns:
        Whether there is a smaller size: no side goes below two patches.
    """
    gc.collect()
    if estimator.device.type == "cuda":
        torch.cuda.empty_cache()
    multiple = estimator.card.multiple
    size = int(estimator.input_size * _SMALLER) // multiple * multiple
    if size < max(MIN_INPUT_SIZE, 2 * multiple):
        return False
    _log.warning(
        "out of memory on %s at input size %d: going on with %d; set input_size to it, or choose "
        "a smaller model",
        estimator.device,
        estimator.input_size,
        size,
    )
    estimator.input_size = size
    return True
