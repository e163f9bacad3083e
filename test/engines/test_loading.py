"""load_estimator: which engine runs a network, and why."""

import importlib.util
import logging
import threading

import numpy as np
import pytest
import torch
from official_layout import official_shapes, random_state

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.engines import choice, verdicts
from depth_anything_ros.engines.cache import CACHE_VARIABLE
from depth_anything_ros.engines.choice import KINDS, Kind, candidates
from depth_anything_ros.engines.gate import compare, pictures
from depth_anything_ros.engines.loading import choose_by_timing, load_estimator
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.models.device import choose_precision

RGB = pictures(1, 120, 160)[0]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))


def add_engine(monkeypatch, module):
    """Have an engine of the tests before torch."""
    kinds = {"torch": KINDS["torch"], "onnxruntime": Kind(module, "torch", "", ("cpu",))}
    monkeypatch.setattr(choice, "KINDS", kinds)
    monkeypatch.setattr(choice, "TABLE", {("cpu", ""): ("onnxruntime", "torch")})


def load(engine="auto", precision="auto", model="test_relative", weights="random", **options):
    return load_estimator(model, weights, "cpu", engine, precision, 56, **options)


def test_torch_in_fp32_is_the_network_itself():
    estimator = load("torch", "fp32")

    expected = DepthEstimator("test_relative", "random", "cpu", "fp32", 56).infer(RGB).disparity
    assert np.array_equal(estimator.infer(RGB).disparity, expected)
    assert estimator.description == (
        "test_relative (relative), weights random, on cpu in fp32 by torch, input size 56"
    )


def test_what_is_taken_says_how_far_from_fp32_it_is():
    estimator = load("torch")
    native = choose_precision("auto", CPU)

    assert (estimator.engine.name, estimator.engine.precision) == ("torch", native)
    if native != "fp32":
        assert "from fp32 in the mean" in estimator.description


def test_the_table_has_rows_for_families_and_names_engines_that_run_there(monkeypatch):
    for (device, _), names in choice.TABLE.items():
        assert all(device in KINDS[name].devices for name in names)
    monkeypatch.setitem(choice.TABLE, ("cpu", "midas"), ("torch",))
    assert candidates("auto", "cpu", "midas") == ["torch"]
    assert candidates("auto", "cpu", "depth_and_sky")[-1] == "torch"
    assert set(candidates("any", "cpu")) >= set(candidates("auto", "cpu"))


def test_a_verdict_is_remembered_of_the_same_weights_only(monkeypatch, caplog):
    add_engine(monkeypatch, "overflowing_engine")
    first = load()
    monkeypatch.setattr(verdicts.Verdicts, "exact", property(pytest.fail))

    again = load()
    assert again.engine == first.engine and first.engine.name == "overflowing"
    assert caplog.text.count("overflowing in fp16 is not used: it answers") == 2
    monkeypatch.undo()
    monkeypatch.setenv(CACHE_VARIABLE, "/dev/null")  # nothing can be remembered there
    add_engine(monkeypatch, "overflowing_engine")
    assert load().engine == first.engine


def test_the_fastest_is_chosen_by_timing_and_taken_from_then_on(monkeypatch):
    add_engine(monkeypatch, "slow_engine")
    assert load().engine.name == "slow"

    ranked = choose_by_timing("test_relative", "random", "cpu", "auto", 56)
    names = [(engine.name, engine.precision) for engine, _ in ranked]
    assert names[-1] == ("slow", "fp32") and ranked[-1][1] > 0.1
    engine = load().engine
    assert (engine.name, engine.precision) == names[0] and engine.name == "torch"
    assert "the fastest when they were timed" in engine.why
    assert load(precision="fp32").engine.name == "slow"  # nobody timed that
    assert load("onnxruntime").engine.name == "slow"


def test_an_engine_that_overflows_falls_back_with_a_warning(monkeypatch, caplog):
    add_engine(monkeypatch, "overflowing_engine")
    estimator = load("onnxruntime")

    assert (estimator.engine.name, estimator.engine.precision) == ("overflowing", "fp32")
    assert "overflowing in fp16 is not used: it answers" in caplog.text
    assert "values as NaN or Inf" in estimator.description
    assert np.isfinite(estimator.infer(RGB).disparity).all()


def test_an_engine_that_answers_wrong_in_any_precision_is_left_to_torch(monkeypatch, caplog):
    add_engine(monkeypatch, "coarse_engine")
    estimator = load("onnxruntime")

    assert (estimator.engine.name, estimator.engine.precision) == ("torch", "fp32")
    assert "no engine answers right" in caplog.text
    assert "differs from fp32 by" in estimator.engine.why


def test_auto_goes_on_where_an_engine_does_not_run(monkeypatch, caplog):
    add_engine(monkeypatch, "broken_engine")
    estimator = load()

    assert estimator.engine.name == "torch"
    assert "onnxruntime cannot: its library is of another CPU" in estimator.engine.why
    assert "engine onnxruntime cannot run it" in caplog.text
    with pytest.raises(RuntimeError, match="of another CPU"):
        load("onnxruntime")


def test_without_memory_at_the_start_a_smaller_input_is_taken(monkeypatch, caplog):
    add_engine(monkeypatch, "hungry_engine")
    estimator = load("onnxruntime")

    assert estimator.engine.name == "hungry" and estimator.input_size == 42
    assert "out of memory on cpu at input size 56: going on with 42" in caplog.text
    assert np.isfinite(estimator.infer(RGB).disparity).all()


def test_weights_that_answer_nan_can_be_loaded_and_say_so(tmp_path, caplog):
    state = random_state(official_shapes(48, 4, 16, (8, 12, 16, 24)))
    state["depth_head.scratch.output_conv2.2.bias"].fill_(torch.nan)
    torch.save(state, tmp_path / "nan.pth")
    estimator = load(model="test_metric", weights=str(tmp_path / "nan.pth"))

    assert estimator.engine.name == "torch"
    with pytest.raises(ModelError, match=r"as NaN or Inf in \w+ \(torch\)"):
        estimator.infer(RGB)
    if estimator.precision != "fp32":
        assert "answers NaN or Inf in fp32 already: check the weights" in caplog.text


def test_any_view_models_that_answer_together_look_for_no_engine(caplog):
    caplog.set_level(logging.INFO)
    estimator = load("openvino", model="test_da3_any", together=True)

    assert estimator.runner is None and estimator.engine.name == "torch"
    assert load("torch", "fp32", model="test_relative", together=True).runner is not None


def test_views_and_engines_share_a_network():
    estimator = load("torch", "bf16", model="test_da3_any")
    cameras = [Camera.from_hfov(160, 120, 80.0)] * 2
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, 0, 3] = 0.5

    assert len(estimator.infer_views([RGB, RGB[:, ::-1]], cameras, poses)) == 2
    assert np.isfinite(estimator.infer(RGB).depth).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "tflite"}, "no engine 'tflite'; use auto, torch, openvino, onnxruntime, tens"),
        ({"precision": "fp8"}, "no precision 'fp8'; use auto, fp32, bf16, fp16, int8"),
        ({"engine": "tensorrt"}, "engine tensorrt does not run on cpu, but on cuda"),
        ({"engine": "torch", "precision": "fp16"}, "slower than fp32 on the CPU"),
        ({"engine": "torch", "precision": "int8"}, "no precision 'int8'"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    with pytest.raises(ModelError, match=message):
        load(**options)


def test_an_engine_that_is_not_installed_names_its_extra(monkeypatch):
    kinds = {**KINDS, "openvino": Kind("nowhere", "no_such_package", "openvino", ("cpu", "gpu"))}
    monkeypatch.setattr(choice, "KINDS", kinds)

    assert "openvino" not in candidates("auto", "cpu")
    with pytest.raises(ModelError, match=r"no_such_package.*pip install openvino .*\[openvino\]"):
        load("openvino")
    with pytest.raises(ModelError, match=r"engine torch does not run on GPU\.1, but on cpu"):
        candidates("torch", "GPU.1")


@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="no openvino here")
def test_devices_of_intel_are_left_to_openvino():
    assert candidates("auto", "GPU") == candidates("auto", "npu") == ["openvino"]
    assert "openvino" in candidates("auto", "cpu")
    assert choice.torch_device("GPU.0") == "cpu" and choice.torch_device("cuda:0") == "cuda:0"


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_named_engine_answers_as_torch_does(engine):
    if not KINDS[engine].is_installed:
        pytest.skip(f"{engine} is not installed")
    picture = pictures(1)[0]  # of the size that engines are warmed up for
    found = load(engine, "fp32").infer(picture).disparity

    expected = DepthEstimator("test_relative", "random", "cpu", "fp32", 56).infer(picture)
    spread = np.ptp(expected.disparity)
    np.testing.assert_allclose(found, expected.disparity, atol=2e-3 * spread)


def test_a_size_at_which_a_library_answers_wrong_is_left_to_torch_in_float32(monkeypatch, caplog):
    engines = pytest.importorskip("depth_anything_ros.engines.openvino_engine")
    pytest.importorskip("openvino", reason="needs the extra openvino")
    answered, wrong = engines.OpenVinoEngine._answered, (70, 98)

    def faulty(engine, graph, batch):
        factor = 0.7 if batch.shape[-2:] == wrong else 1.0
        return [factor * part for part in answered(engine, graph, batch)]

    monkeypatch.setattr(engines.OpenVinoEngine, "_answered", faulty)
    estimator = load("openvino")
    exact = DepthEstimator("test_relative", "random", "cpu", "fp32", 56)
    for size, is_used in ((wrong, False), ((84, 112), True)):
        batch = torch.rand(1, 3, *size)
        for _ in range(80):  # after one that was refused, nothing is made for a while
            estimator.runner(batch)
        for thread in threading.enumerate():
            if "being made" in thread.name:
                thread.join()
        found, expected = estimator.runner(batch), exact.run_network(batch)
        assert torch.equal(found.disparity, expected.disparity) is not is_used
        assert not compare([found], [expected]).problem
    assert caplog.text.count("torch goes on for 98x70: openvino in") == 1
    assert "is not used there: it differs from fp32 by" in caplog.text
