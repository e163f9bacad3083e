import sys

import pytest
import torch

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.engines import onnx_engine
from depth_anything_ros.engines.cache import CACHE_VARIABLE
from depth_anything_ros.models.estimator import DepthEstimator

pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
pytest.importorskip("onnxscript", reason="the extra onnx is not installed")


@pytest.fixture(scope="module")
def estimator():
    return DepthEstimator("test_da3_metric", "random", "cpu", "fp32")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _use_cache(cache, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(cache))


def _files(cache):
    return sorted(cache.rglob("*.onnx"))


def _picture(batch=1):
    return torch.randn(batch, 3, 56, 84, generator=torch.Generator().manual_seed(0))


def test_answers_what_the_network_does_and_keeps_the_graph(estimator, cache):
    engine = onnx_engine.make(estimator, "auto")

    engine.warm_up([(56, 84)])
    (file,) = _files(cache)
    written = file.stat().st_mtime_ns
    for batch in (1, 3):
        found, expected = engine.run(_picture(batch)), estimator.run_network(_picture(batch))
        assert found.names == expected.names
        for part, right in zip(found.parts, expected.parts, strict=True):
            assert part.dtype == torch.float32
            torch.testing.assert_close(part, right, atol=1e-4, rtol=1e-4)

    again = onnx_engine.make(estimator, "fp32", "cpu")
    again.warm_up([(56, 84)])
    assert _files(cache) == [file] and file.stat().st_mtime_ns == written
    assert (engine.name, engine.precision, engine.device) == ("onnxruntime", "fp32", "cpu")
    assert file.is_relative_to(cache / "onnx")


def test_an_answer_is_the_callers_own(estimator):
    engine = onnx_engine.make(estimator, "fp32")
    engine.warm_up([(56, 84)])
    first = engine.run(_picture()).depth
    kept = first.clone()

    engine.run(2 * _picture())

    assert torch.equal(first, kept)


def test_torch_answers_a_size_without_a_graph(estimator, cache):
    engine = onnx_engine.make(estimator, "fp32")
    batch = _picture()

    found = engine.run(batch)

    assert torch.equal(found.depth, estimator.run_network(batch).depth)


def test_a_damaged_file_is_written_anew(estimator, cache, caplog):
    onnx_engine.make(estimator, "fp32").warm_up([(56, 84)])
    (file,) = _files(cache)
    file.write_bytes(b"damaged")

    onnx_engine.make(estimator, "fp32").warm_up([(56, 84)])

    assert "graph.onnx is damaged and is made anew" in caplog.text
    assert _files(cache) == [file] and file.stat().st_size > 10_000


def test_the_key_is_of_everything_that_matters(estimator):
    engine = onnx_engine.make(estimator, "fp32")
    same, other = (DepthEstimator("test_da3_metric", "random", "cpu", "fp32") for _ in range(2))
    keys = {engine._key((56, 84)), engine._key((84, 56))}
    assert onnx_engine.make(same, "fp32")._key((56, 84)) in keys
    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    assert onnx_engine.make(other, "fp32")._key((56, 84)) not in keys


def test_a_cache_that_cannot_be_written_costs_a_warning(estimator, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))

    engine = onnx_engine.make(estimator, "fp32")
    engine.warm_up([(56, 84)])

    assert "nothing is kept" in caplog.text
    found, expected = engine.run(_picture()).depth, estimator.run_network(_picture()).depth
    assert not torch.equal(found, expected)  # it was not torch that answered
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_what_is_not_there_is_said(estimator, monkeypatch):
    with pytest.raises(ModelError, match="does not compute in fp16 on cpu; use auto or fp32"):
        onnx_engine.make(estimator, "fp16")
    with pytest.raises(ModelError, match="engine tensorrt does not run on cpu"):
        onnx_engine.make(estimator, "auto", tensorrt=True)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install onnxruntime .*\[onnx\]"):
        onnx_engine.make(estimator, "fp32")
