import threading

import numpy as np
import pytest
import torch

from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.threads import few_threads, torch_threads


@pytest.fixture(autouse=True)
def _four_threads():
    with torch_threads(4):
        yield


RGB = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


def test_half_of_them_and_at_least_one():
    assert [few_threads(count) for count in (1, 2, 3, 16)] == [1, 1, 1, 8]


def test_what_was_comes_back_after_an_error():
    with pytest.raises(ValueError, match="wrong"), torch_threads(2):
        assert torch.get_num_threads() == 2
        raise ValueError("wrong")
    assert torch.get_num_threads() == 4


def test_the_network_has_all_threads_and_what_is_around_it_half(monkeypatch):
    estimator = DepthEstimator("test_relative", "random", "cpu", "fp32", input_size=56)
    seen = []

    def note(*_):
        seen.append(torch.get_num_threads())

    estimator.network.register_forward_hook(note)
    monkeypatch.setattr(estimator, "_check_finite", note)

    estimator.infer(RGB)

    assert seen == [4, 2]
    assert torch.get_num_threads() == 4


def test_a_thread_that_torch_knows_with_fewer_still_gives_the_network_all():
    estimator = DepthEstimator("test_relative", "random", "cpu", "fp32", input_size=56)
    seen = []
    estimator.network.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))

    def infer():
        torch.set_num_threads(1)
        estimator.infer(RGB)

    worker = threading.Thread(target=infer)
    worker.start()
    worker.join()
    assert seen == [4]
