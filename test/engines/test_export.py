import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from full_disk import files_of_at_most

from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.engines import export, openvino_engine
from depth_anything_ros.engines.traceable import traceable
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks import dinov2
from depth_anything_ros.models.networks.depth_anything_3 import add_position
from depth_anything_ros.models.zoo import find_card

sys.path.append(str(Path(__file__).parents[1] / "models"))
from midas_official import TINY

PATCHES, OTHERS = (5, 7), (6, 4)  # rows and columns at export, and others


def _estimator(name):
    card = TINY.get(name) or find_card(name)
    return DepthEstimator(card, "random", "cpu", "fp32")


def _size(estimator, patches):
    return tuple(count * estimator.card.multiple for count in patches)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["test_da3_any", "tiny_hybrid"])
def test_a_program_takes_other_sizes_and_batches(name, tmp_path):
    estimator = _estimator(name)

    target = export.Target(_size(estimator, PATCHES), sha256="abc")
    path = export.export_program(estimator, tmp_path / "net.pt2", target)

    run = export.program_run(path)
    for patches, batch in ((PATCHES, 1), (OTHERS, 3)):
        size = _size(estimator, patches)
        assert export.difference(estimator, run, size, batch) < 1e-4
    facts = {"metadata.json": ""}
    torch.export.load(str(path), extra_files=facts)
    assert json.loads(facts["metadata.json"])["weights_sha256"] == "abc"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny_beit", "tiny_swin", "tiny_levit"])
def test_networks_with_tables_of_places_have_one_size(name, tmp_path):
    estimator = _estimator(name)
    side = 96 if name == "tiny_beit" else estimator.card.trained_size

    with pytest.raises(ModelError, match="cannot be exported with a dynamic size"):
        export.export_program(estimator, tmp_path / "net.pt2", export.Target((side, side)))

    target = export.Target((side, side), dynamic=False)
    path = export.export_program(estimator, tmp_path / "net.pt2", target)
    run = export.program_run(path)
    assert export.difference(estimator, run, (side, side), 2) < 1e-4


def test_an_onnx_file_takes_other_sizes_and_says_what_it_is(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    estimator = _estimator("test_relative")

    target = export.Target(_size(estimator, PATCHES))
    path = export.export_onnx(estimator, tmp_path / "net.onnx", target)

    run = export.onnx_run(path)
    for patches, batch in ((PATCHES, 1), (OTHERS, 3)):
        assert export.difference(estimator, run, _size(estimator, patches), batch) < 1e-4
    model = onnx.load(path)
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["model"] == "test_relative"
    assert facts["licence"] == "Apache-2.0"
    assert facts["multiple"] == "14"
    assert facts["size"] == "dynamic"
    assert json.loads(facts["mean"]) == pytest.approx(estimator.card.mean)
    (wanted,) = (output.name for output in model.graph.output)
    assert wanted == "disparity"


@pytest.mark.slow
def test_half_precision_keeps_inputs_and_outputs(tmp_path):
    onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    estimator = _estimator("test_metric")
    size = _size(estimator, PATCHES)

    path = export.export_onnx(estimator, tmp_path / "net.onnx", export.Target(size, False, "fp16"))

    assert 1e-6 < export.difference(estimator, export.onnx_run(path), size) < 5e-2
    graph = onnx.load(path).graph
    ends = {end.type.tensor_type.elem_type for end in (*graph.input, *graph.output)}
    assert ends == {onnx.TensorProto.FLOAT}
    halves = [w for w in graph.initializer if w.data_type == onnx.TensorProto.FLOAT16]
    assert len(halves) > 50


@pytest.mark.slow
def test_in_bf16_openvino_computes_the_last_layers_of_a_file_in_fp32(tmp_path):
    pytest.importorskip("openvino", reason="the extra openvino is not installed")
    core = openvino_engine.core()
    if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16")
    estimator = _estimator("test_metric")
    size = _size(estimator, PATCHES)

    path = export.export_openvino(
        estimator, tmp_path / "net.xml", export.Target(size, False, "fp16")
    )

    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    depth = compiled(np.random.default_rng(0).standard_normal((1, 3, *size), np.float32))[0]
    rounded = torch.from_numpy(depth).bfloat16().float().numpy()
    assert np.count_nonzero(depth != rounded) > 0.9 * depth.size


def test_outputs_are_what_the_model_is_for():
    def names(model, whole=False):
        estimator = _estimator(model)
        return export.exportable(estimator, _size(estimator, PATCHES), whole)[1]

    assert names("tiny") == ["depth", "sky"]
    assert names("tiny_relative") == ["disparity"]
    assert names("tiny", whole=True) == ["depth", "sky", "disparity", "sky_logit"]
    assert names("test_da3_nested") == ["depth", "sky"]


def test_sizes_that_cannot_be():
    estimator = _estimator("test_relative")

    def check(size, dynamic=True):
        export.check_size(estimator.card, size, dynamic, estimator.network)

    check((14, 28), dynamic=False)
    with pytest.raises(ModelError, match="multiples of 14, got 100x70"):
        check((70, 100))
    with pytest.raises(ModelError, match="begins at 42 pixels a side, got 28x42"):
        check((42, 28))


def test_a_wrong_answer_is_seen():
    estimator = _estimator("test_relative")

    def wrong(batch):
        return [np.zeros((len(batch), 56, 84), np.float32)]

    assert export.difference(estimator, wrong, (56, 84)) > 0.1
    with pytest.raises(ModelError, match="wrong at 84x56: shapes"):
        export.difference(estimator, lambda batch: [np.zeros(3, np.float32)], (56, 84))
    with pytest.raises(ModelError, match="NaN or Inf in disparity"):
        export.difference(
            estimator, lambda batch: [np.full((1, 56, 84), np.nan, np.float32)], (56, 84)
        )


@pytest.mark.parametrize("grid", [(37, 37), (37, 49), (18, 24), (5, 60), (1, 1)])
def test_the_position_embedding_by_matrices_is_that_of_dinov2(grid):
    embedding = torch.randn(1, 1 + 37 * 37, 8, generator=torch.Generator().manual_seed(0))
    before = dinov2.interpolate_position_embedding
    expected = before(embedding, *grid)

    with traceable():
        found = dinov2.interpolate_position_embedding(embedding, *grid)

    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    assert grid != (37, 37) or torch.equal(found, expected)
    assert dinov2.interpolate_position_embedding is before  # put back


def test_the_position_in_a_picture_is_that_of_depth_anything_3():
    from depth_anything_ros.engines import traceable as module

    maps = torch.zeros(1, 16, 6, 9)

    torch.testing.assert_close(module.add_position(maps, 1.5), add_position(maps, 1.5))


def test_the_estimator_stays_as_it_is():
    estimator = _estimator("test_relative")
    before = {name: values.data_ptr() for name, values in estimator.network.named_parameters()}

    network, _ = export.exportable(estimator, (56, 84))
    export.traced(network, replace(estimator.card), (56, 84), dynamic=False)

    after = {name: values.data_ptr() for name, values in estimator.network.named_parameters()}
    assert before == after


@pytest.mark.parametrize("name", ["network.xml", "network.pt2"])
def test_a_full_disk_is_said_and_nothing_is_left(name, tmp_path):
    if name.endswith(".xml"):
        pytest.importorskip("openvino", reason="needs the extra openvino")
    write = export.export_openvino if name.endswith(".xml") else export.export_program
    estimator, path = _estimator("test_relative"), tmp_path / name
    with files_of_at_most(300_000), pytest.raises(ModelError, match="cannot be written") as raised:
        write(estimator, path, export.Target((56, 56), False))
    assert str(path) in str(raised.value) and "MB are free there" in str(raised.value)
    assert "\n" not in str(raised.value) and list(tmp_path.iterdir()) == []
