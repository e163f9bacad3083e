import threading

import pytest
import torch

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.engines import torch_engine
from depth_anything_ros.engines.gate import compare
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.models.networks.output import NetworkOutput

FAMILIES = ["test_relative", "test_metric", "tiny", "test_da3_metric", "test_da3_any"]


def estimator_of(name, precision="fp32", device="cpu"):
    return DepthEstimator(name, "random", device, precision, input_size=64)


def batch_of(estimator, count=1, device="cpu"):
    torch.manual_seed(3)
    side = 4 * estimator.card.multiple
    return torch.rand(count, 3, side, side + estimator.card.multiple, device=device)


def assert_same(found, expected):
    assert found.names == expected.names
    for one, other in zip(found.parts, expected.parts, strict=True):
        assert one.dtype == torch.float32 and torch.equal(one, other)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_answers_what_the_network_does_bit_for_bit(name, precision):
    estimator = estimator_of(name, precision)
    engine = torch_engine.make(estimator, precision)
    before = {key: value.clone() for key, value in estimator.network.state_dict().items()}

    for count in (1, 2):
        batch = batch_of(estimator, count)
        assert_same(engine.run(batch), estimator.run_network(batch))
    for key, value in estimator.network.state_dict().items():  # its own, and as they were
        assert value.dtype == before[key].dtype and torch.equal(value, before[key])


def test_weights_are_rounded_once_but_not_those_of_the_last_layer():
    network = estimator_of("test_metric").network
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        copied = torch_engine.rounded_copy(network, torch.rand(1, 3, 56, 56), torch.bfloat16)

    types = {name: value.dtype for name, value in copied.named_parameters()}
    assert types["decoder.head3.weight"] == torch.float32
    assert types["decoder.head2.weight"] == types["encoder.vit.blocks.0.mlp.fc1.bias"]
    assert types["decoder.head2.weight"] == torch.bfloat16
    assert types["encoder.vit.blocks.0.norm1.weight"] == torch.float32
    assert copied.decoder.head3.weight is network.decoder.head3.weight  # the memory of one


def test_an_answer_is_the_callers_own():
    estimator = estimator_of("test_relative")
    engine = torch_engine.make(estimator, "bf16")
    first = engine.run(batch_of(estimator)).disparity
    kept = first.clone()
    engine.run(batch_of(estimator) * 0.5)

    assert torch.equal(first, kept)


def test_a_precision_that_the_cpu_does_not_compute_is_refused():
    with pytest.raises(ModelError, match="slower than fp32 on the CPU"):
        torch_engine.make(estimator_of("test_relative"), "fp16")
    with pytest.raises(ModelError, match="no precision 'int8'"):
        torch_engine.make(estimator_of("test_relative"), "int8")


@pytest.mark.slow
def test_compiled_it_answers_the_same_and_no_size_waits_for_the_compiler(monkeypatch):
    monkeypatch.setattr(torch_engine, "_BACKEND", "eager")  # not minutes of a C++ compiler
    estimator = estimator_of("test_relative")
    engine = torch_engine.make(estimator, "fp32", compiles=True)
    batch = batch_of(estimator)
    engine.warm_up([(batch.shape[-2], batch.shape[-1])])

    assert engine._compiled.get(tuple(batch.shape)) is not None
    assert not compare([engine.run(batch)], [estimator.run_network(batch)]).problem
    other, judged = batch_of(estimator, 2), []
    engine.judge = lambda seen, run: judged.append((seen, run(seen)))
    for _ in range(2):
        assert_same(engine.run(other), estimator.run_network(other))  # not compiled yet
    (compiling,) = (one for one in threading.enumerate() if "torch.compile" in one.name)
    compiling.join()
    assert engine._compiled.get(tuple(other.shape)) is not None
    found = engine.run(other)
    assert not compare([found], [estimator.run_network(other)]).problem
    ((seen, answer),) = judged
    assert torch.equal(seen, other)
    assert torch.equal(NetworkOutput.of(answer, estimator.card.kind).disparity, found.disparity)


@pytest.mark.cuda
@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_recorded_graph_answers_what_the_network_does(name, precision):
    estimator = estimator_of(name, precision, "cuda")
    engine = torch_engine.make(estimator, precision)
    batch = batch_of(estimator, device="cuda")
    first = engine.run(batch)
    engine.run(batch * 0.5)

    for found in (first, engine.run(batch)):
        difference = compare([found], [estimator.run_network(batch)])
        assert difference.mean < 1e-4 and not difference.non_finite
