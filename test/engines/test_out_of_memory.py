import pytest
import torch

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.engines.out_of_memory import is_out_of_memory, take_smaller_input
from depth_anything_ros.models import DepthEstimator


def test_what_torch_raises_without_memory_is_known():
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 55)

    assert is_out_of_memory(error.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        RuntimeError("Failed to allocate memory for requested buffer of size 4"),
        MemoryError(),
    ],
)
def test_other_devices_say_it_in_other_words(error):
    assert is_out_of_memory(error)


def test_other_errors_are_none():
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert not is_out_of_memory(ModelError("the words out of memory alone"))


def test_each_step_takes_three_quarters_in_whole_patches(caplog):
    estimator = DepthEstimator("test_relative", "random", "cpu", "fp32", input_size=84)
    sizes = []
    while take_smaller_input(estimator):
        sizes.append(estimator.input_size)

    assert sizes == [56, 42, 28]
    assert "out of memory on cpu at input size 84: going on with 56" in caplog.text
