import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from full_disk import files_of_at_most
from refusals import refused

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.engines import by_size, openvino_engine, openvino_model
from depth_anything_ros.engines.cache import CACHE_VARIABLE
from depth_anything_ros.engines.gate import compare
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.output import NetworkOutput

sys.path.append(str(Path(__file__).parents[1] / "models"))
from midas_official import TINY

pytest.importorskip("openvino", reason="needs the extra openvino")

# Height and width; of those that take any.
SIZE = (84, 112)
# Networks of all kinds of layers: a card of little width, and the size that it takes. Those of
# Depth Anything V2 and of MiDaS's ViT are converted in other tests here.
NETWORKS = {
    "tiny": (96, 128),
    "test_da3_any": SIZE,
    "tiny_hybrid": (96, 128),
    "tiny_swin": (128, 128),
    "tiny_levit": (224, 224),
    "midas_v21_small": (96, 128),
}
TOLERANCE = 1e-3  # of the answer's range, from the issue


def load(name):
    weights = "" if name == "tiny" else "random"
    return DepthEstimator(TINY.get(name, name), weights, "cpu", "fp32")


def picture(size=SIZE, seed=0, count=1):
    """A batch as the preprocessing leaves it: channels last."""
    batch = torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(seed))
    return batch.contiguous(memory_format=torch.channels_last)


def largest_difference(found, exact):
    """Of any part of an answer, as a share of that part's range."""
    shares = []
    for one, other in zip(found.parts, exact.parts, strict=True):
        scale = max(float(other.max() - other.min()), 0.05 * float(other.abs().max()), 1e-6)
        shares.append(float((one - other).abs().max()) / scale)
    return max(shares)


@pytest.fixture(scope="module")
def relative():
    return load("test_relative")


@pytest.fixture(scope="module")
def converted(relative, tmp_path_factory):
    """An engine in float32 that is ready for SIZE, and its cache."""
    cache = tmp_path_factory.mktemp("cache") / "openvino"
    engine = openvino_engine.make(relative, "fp32", cache=cache)
    engine.warm_up([SIZE])
    return engine, cache


@pytest.fixture
def kept(converted):
    """The network as it is converted for SIZE, read from its file."""
    (file,) = converted[1].glob("test_relative-112x84-*/graph.xml")
    text, weights = file.read_bytes(), file.with_suffix(".bin").read_bytes()
    return openvino_engine.core().read_model(text, weights)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_kind_answers_as_in_torch(name, tmp_path):
    estimator, size = load(name), NETWORKS[name]
    engine = openvino_engine.make(estimator, "fp32", cache=tmp_path)
    engine.warm_up([size])
    found, exact = engine.run(picture(size)), estimator.run_network(picture(size))
    assert found.names == exact.names
    assert largest_difference(found, exact) < TOLERANCE
    assert list(tmp_path.glob("*/graph.xml"))  # it was OpenVINO that answered


def test_a_grid_that_is_as_high_as_the_trained_one_is_resampled(relative, tmp_path):
    size = (relative.card.trained_size, relative.card.trained_size + 28)
    engine = openvino_engine.make(relative, "fp32", cache=tmp_path)
    engine.warm_up([size])
    found, exact = engine.run(picture(size)), relative.run_network(picture(size))
    assert largest_difference(found, exact) < 1e-5


def test_as_many_tokens_as_heads_are_not_taken_for_each_other(tmp_path):
    estimator, size = load("tiny"), (64, 96)  # six places, of which six heads speak
    engine = openvino_engine.make(estimator, "fp32", cache=tmp_path)
    engine.warm_up([size])
    found, exact = engine.run(picture(size)), estimator.run_network(picture(size))
    assert largest_difference(found, exact) < TOLERANCE


@pytest.mark.parametrize(
    ("keys", "causal", "stays"), [(6, False, False), (9, False, True), (6, True, True)]
)
def test_attention_that_is_not_plain_stays_as_it_is(keys, causal, stays):
    openvino = openvino_engine.library()
    ops = openvino.opset13
    sides = [(1, 6, count, 32) for count in (6, keys, keys)]
    parts = [ops.parameter(shape, np.float32) for shape in sides]
    model = openvino.Model([ops.scaled_dot_product_attention(*parts, causal=causal)], parts)
    openvino_model._split_small_attention(model)
    kinds = [op.get_type_name() for op in model.get_ops()]
    assert ("ScaledDotProductAttention" in kinds) == stays
    assert ("Softmax" in kinds) != stays


@pytest.mark.parametrize(("name", "size"), [("test_metric", (112, 154)), ("tiny", (96, 128))])
def test_bf16_keeps_within_the_gate_and_some_layers_in_float32(tmp_path, name, size):
    if "bf16" not in openvino_engine.precisions("cpu"):
        pytest.skip("this CPU has no bfloat16")
    estimator = load(name)
    engine = openvino_engine.make(estimator, "auto", cache=tmp_path)
    assert (engine.precision, engine.device) == ("bf16", "cpu")
    engine.warm_up([size])
    found, exact = engine.run(picture(size)), estimator.run_network(picture(size))
    assert largest_difference(found, exact) > 0
    assert not compare([found], [exact]).problem
    # In bfloat16 there are 128 values from 1 m to 2 m.
    assert len(found.depth.unique()) > 0.9 * found.depth.numel()


def test_layers_that_stay_in_float32_are_known_by_their_weights():
    estimator = load("tiny")
    model = openvino_engine.convert(estimator, (96, 128), dynamic=False)
    exact = openvino_engine.exact_layers(model, estimator.network)
    early = [name for name in exact if name not in openvino_model.last_layers(model)]
    kinds = {op.get_friendly_name(): op.get_type_name() for op in model.get_ops()}
    # The stem, two layers of the first block, three each of the next five and of stage 3's four.
    assert sorted(kinds[name] for name in early) == 20 * ["Convolution"] + 10 * ["GroupConvolution"]
    assert set(openvino_engine.first_layers(model)) < set(early)
    # What a shortcut adds to them is so too: the CPU's compiler makes both one.
    openvino_engine.mark_exact(model, exact)
    marked = [op for op in model.get_ops() if "DisablePrecisionConversion_0" in op.get_rt_info()]
    sums = [op for op in marked if op.get_type_name() == "Add"]
    assert len(marked) == len(exact) + len(sums) and len(sums) == 6


def test_batches_layouts_and_answers_that_are_the_callers_own(converted, relative):
    engine, _ = converted
    both = picture(count=2)
    first = engine.run(both[:1]).disparity
    kept = first.clone()
    second = engine.run(both[1:]).disparity
    assert torch.equal(first, kept) and not torch.equal(first, second)
    assert torch.equal(engine.run(both).disparity, torch.cat((first, second)))
    assert torch.equal(engine.run(both.contiguous()).disparity, engine.run(both).disparity)
    assert first.dtype == torch.float32


def test_torch_answers_until_a_new_size_is_compiled(converted, relative, caplog):
    engine, cache = converted
    batch = picture((70, 98))
    exact = relative.run_network(batch)
    with caplog.at_level(logging.INFO, by_size.__name__):
        assert torch.equal(engine.run(batch).disparity, exact.disparity)
        assert not caplog.records  # a single picture is not worth it
        for _ in range(3):
            engine.run(batch)
    assert [record.message for record in caplog.records] == [
        "making test_relative in openvino for 98x70; torch answers"
    ]
    limit = time.monotonic() + 300
    while engine._graphs.get((70, 98)) is None and time.monotonic() < limit:
        assert largest_difference(engine.run(batch), exact) < TOLERANCE
        time.sleep(0.05)
    found = engine.run(batch)
    assert 0 < largest_difference(found, exact) < TOLERANCE
    assert list(cache.glob("test_relative-98x70-*"))


def test_the_cache_is_read_again_and_mended(converted, kept, relative, monkeypatch, caplog):
    engine, cache = converted
    (folder,) = cache.glob("test_relative-112x84-*")
    written = (folder / "graph.xml").stat().st_mtime_ns
    monkeypatch.setenv(CACHE_VARIABLE, str(cache.parent))
    again = openvino_engine.make(relative, "fp32")
    again.warm_up([SIZE])
    assert (folder / "graph.xml").stat().st_mtime_ns == written
    assert torch.equal(again.run(picture()).disparity, engine.run(picture()).disparity)

    for name in ("graph.xml", "graph.bin", next(folder.glob("*.blob")).name):
        data = bytearray((folder / name).read_bytes())
        data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
        (folder / name).write_bytes(data)
        mended = openvino_engine.make(relative, "fp32")
        mended._exported = lambda size: kept  # as it is made, in less time
        mended.warm_up([SIZE])
        assert f"{name} is damaged and is made anew" in caplog.text
        assert torch.equal(mended.run(picture()).disparity, engine.run(picture()).disparity)


@pytest.mark.parametrize("full", ["folder", "graph", "blob"])
def test_without_a_place_to_write_it_answers_the_same(converted, kept, tmp_path, caplog, full):
    engine, cache = converted
    (folder,) = cache.glob("test_relative-112x84-*")
    blob, graph = (next(folder.glob(name)).stat().st_size for name in ("*.blob", "graph.bin"))
    (tmp_path / "file").touch()
    place = tmp_path / ("file" if full == "folder" else "cache")
    limit = {"folder": 1 << 30, "graph": graph // 2, "blob": (graph + blob) // 2}[full]
    bare = openvino_engine.make(engine._estimator, "fp32", cache=place)
    bare._exported = lambda size: kept
    with files_of_at_most(limit):
        bare.warm_up([SIZE])
    assert torch.equal(bare.run(picture()).disparity, engine.run(picture()).disparity)
    assert ("nothing is kept" in caplog.text) == (full != "blob")
    names = [path.name for path in place.glob("*/*")]
    assert sorted(names) == (
        ["files.json", "graph.bin", "graph.xml", "names.json"] if full == "blob" else []
    )


def test_other_weights_are_another_entry_of_the_cache(relative, tmp_path):
    names = set()
    for name in ("test_relative", "test_metric"):
        engine = openvino_engine.make(load(name), "fp32", cache=tmp_path)
        names |= {engine._key(SIZE), engine._key((70, 98))}
    other = load("test_relative")
    with torch.no_grad():
        next(other.network.parameters()).add_(1)
    names.add(openvino_engine.make(other, "fp32", cache=tmp_path)._key(SIZE))
    assert len(names) == 5
    assert all(name.startswith("test_") and "/" not in name for name in names)


def test_converts_for_any_batch_and_size():
    estimator = load("tiny_vit")
    model = openvino_engine.convert(estimator, (96, 128), dynamic=True)
    assert [len(model.inputs), model.input().any_name] == [1, "image"]
    assert [side.is_dynamic for side in model.input().partial_shape] == [True, False, True, True]
    compiled = openvino_engine.core().compile_model(
        model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    side = estimator.card.multiple
    for count, rows, columns in ((1, 4, 6), (3, 5, 4)):
        batch = picture((rows * side, columns * side), count=count)
        parts = compiled(batch.contiguous().numpy()).to_tuple()
        exact = estimator.run_network(batch)
        found = tuple(torch.from_numpy(np.array(part)) for part in parts)
        answer = NetworkOutput.named(exact.names, found)
        assert largest_difference(answer, exact) < TOLERANCE
    assert [output.any_name for output in model.outputs] == ["disparity"]


def test_the_layers_at_both_ends_are_found(converted):
    _, cache = converted
    (file,) = cache.glob("test_relative-112x84-*/graph.xml")
    model = openvino_engine.core().read_model(file)
    kinds = {op.get_friendly_name(): op.get_type_name() for op in model.get_ops()}
    (first,), (last,) = openvino_engine.first_layers(model), openvino_model.last_layers(model)
    assert kinds[first] == kinds[last] == "Convolution" and first != last
    kernels = {
        op.get_friendly_name(): list(op.input(1).get_partial_shape().to_shape())
        for op in model.get_ops()
        if op.get_type_name() == "Convolution"
    }
    assert kernels[first][1:] == [3, 14, 14]  # the patch embedding
    assert kernels[last][0] == 1  # disparity


def test_what_cannot_be_is_refused(relative, tmp_path):
    with refused(ModelError, "device", "finds no device 'gpu:7', but cpu"):
        openvino_engine.make(relative, "fp32", "gpu:7")
    if "fp16" not in openvino_engine.precisions("cpu"):
        with pytest.raises(ModelError, match="does not compute in fp16 on cpu; use auto or fp32"):
            openvino_engine.make(relative, "fp16", "cpu")
    with pytest.raises(ModelError, match="takes 128x128 pixels only"):
        openvino_engine.make(load("tiny_swin"), "fp32", cache=tmp_path).warm_up([SIZE])
    assert openvino_engine.device_name("intel:cpu") == openvino_engine.device_name("") == "CPU"


@pytest.mark.slow
def test_signals_come_through_after_networks_of_several_sizes():
    """Each Core gives the thread a stack for signals; see openvino_engine.core."""
    program = """
import gc, os, signal, threading
from concurrent.futures import ThreadPoolExecutor
from depth_anything_ros.engines import openvino_engine
from depth_anything_ros.models.estimator import DepthEstimator

signal.signal(signal.SIGUSR1, lambda *_: print("signalled", flush=True))
together = threading.Barrier(8)
with ThreadPoolExecutor(8) as pool:
    cores = list(pool.map(lambda _: (together.wait(), openvino_engine.core())[1], range(8)))
assert len(set(map(id, cores))) == 1  # though all are the first
estimator = DepthEstimator("test_relative", "random", "cpu", "fp32")
engines = [openvino_engine.make(estimator, "fp32") for _ in range(2)]
for engine in engines:
    engine.warm_up([(56, 56)])
del engine
while engines:  # the older first
    engines.pop(0)
    gc.collect()
os.kill(os.getpid(), signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "signalled\n"), done.stderr
