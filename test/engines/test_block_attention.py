import threading

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from depth_anything_ros.engines import block_attention, torch_engine
from depth_anything_ros.engines.block_attention import (
    BlockAttention,
    attend_in_blocks,
    faster_attention,
)
from depth_anything_ros.engines.gate import compare
from depth_anything_ros.models import DepthEstimator

SIZE = (280, 294)  # enough pixels for blocks


def parts(queries, keys, heads=3, size=64, batch=2, dtype=torch.bfloat16):
    """Queries, keys and values as a network's one layer gives them: views on one tensor."""
    torch.manual_seed(4)
    query = torch.randn(batch, queries, heads, size).to(dtype).transpose(1, 2)
    both = torch.randn(batch, keys, 2, heads, size).to(dtype).permute(2, 0, 3, 1, 4)
    return query, *both.unbind(0)


@pytest.fixture
def such_a_cpu(monkeypatch):
    monkeypatch.setattr(block_attention, "_cpu_is_such", lambda: True)


@pytest.fixture
def attended(monkeypatch):
    """Shapes of the queries that were answered in blocks."""
    shapes = []

    def note(query, key, value, scale=None):
        shapes.append(tuple(query.shape))
        return attend_in_blocks(query, key, value, scale)

    monkeypatch.setattr(block_attention, "attend_in_blocks", note)
    return shapes


@pytest.mark.parametrize("scale", [None, 0.5])
@pytest.mark.parametrize("size", [64, 40])
@pytest.mark.parametrize(("queries", "keys"), [(300, 300), (257, 91), (1, 130)])
def test_blocks_answer_what_attention_does(queries, keys, size, scale, monkeypatch):
    monkeypatch.setattr(block_attention, "_ROWS", 100)  # neither divides the queries
    monkeypatch.setattr(block_attention, "_SCORES", 0)
    query, key, value = parts(queries, keys, size=size)
    expected = scaled_dot_product_attention(query.float(), key.float(), value.float(), scale=scale)

    found = attend_in_blocks(query, key, value, scale)
    assert found.dtype == torch.bfloat16 and found.shape == expected.shape
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()
    exact = attend_in_blocks(query.float(), key.float(), value.float(), scale)
    torch.testing.assert_close(exact, expected, rtol=1e-4, atol=1e-5)


def test_as_many_rows_at_once_as_there_is_room_for_makes_no_difference(monkeypatch):
    given = parts(700, 700, dtype=torch.float32)
    whole = attend_in_blocks(*given)
    monkeypatch.setattr(block_attention, "_SCORES", 2 * 3 * 700 * 150)

    torch.testing.assert_close(attend_in_blocks(*given), whole, rtol=1e-5, atol=1e-6)


def test_scores_that_overflow_an_exponential_stay_finite():
    query, key, value = parts(200, 200)
    found = attend_in_blocks(query * 100, key * 100, value)

    assert torch.isfinite(found).all()


def test_what_is_not_plain_attention_is_torchs(attended):
    query, key, value = parts(40, 40)
    few = key[:, :1], value[:, :1]
    mask = torch.zeros(40, 40, dtype=torch.bool).fill_diagonal_(True)
    with BlockAttention():
        scaled_dot_product_attention(query, key, value, is_causal=True)
        scaled_dot_product_attention(query, *few, enable_gqa=True)
        scaled_dot_product_attention(query, key, value, mask)
        alone = scaled_dot_product_attention(query, key, value, attn_mask=mask)
        assert not attended
        torch.testing.assert_close(alone, value)
        scaled_dot_product_attention(query, key, value, attn_mask=None, dropout_p=0.0, scale=0.1)
    assert attended == [(2, 3, 40, 64)]


def test_only_large_inputs_in_bfloat16_on_such_a_cpu_are_computed_so(such_a_cpu):
    large, small = torch.zeros(1, 3, *SIZE), torch.zeros(3, 3, 140, 182)
    assert isinstance(faster_attention(large, torch.bfloat16), BlockAttention)
    for batch, dtype in ((small, torch.bfloat16), (large, torch.float32)):
        assert not isinstance(faster_attention(batch, dtype), BlockAttention)


@pytest.mark.parametrize("name", ["test_relative", "test_da3_any"])
def test_the_engine_in_bfloat16_uses_them_and_passes_the_gate(name, such_a_cpu, attended):
    estimator = DepthEstimator(name, "random", "cpu", "fp32")
    torch.manual_seed(3)
    batch = torch.rand(1, 3, *SIZE)

    expected = estimator.run_network(batch)
    assert not attended
    difference = compare([torch_engine.make(estimator, "bf16").run(batch)], [expected])
    assert len(attended) >= 2  # blocks of the network
    assert not difference.problem and difference.mean < 0.01


@pytest.mark.slow
def test_what_is_compiled_keeps_torchs_own(such_a_cpu, attended, monkeypatch):
    """Dynamo would trace no call that something looks at, and compile the rest in fragments."""
    monkeypatch.setattr(torch_engine, "_BACKEND", "eager")  # not minutes of a C++ compiler
    estimator = DepthEstimator("test_relative", "random", "cpu", "fp32")
    engine = torch_engine.make(estimator, "bf16", compiles=True)
    for _ in range(2):
        engine.run(torch.zeros(1, 3, *SIZE))  # asks for it, and answers without
    (compiling,) = (one for one in threading.enumerate() if "torch.compile" in one.name)
    compiling.join()
    attended.clear()

    answer = engine.run(torch.zeros(1, 3, *SIZE))
    assert engine._compiled.get((1, 3, *SIZE)) is not None
    assert torch.isfinite(answer.disparity).all()
    assert not attended
