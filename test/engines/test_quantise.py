import cv2
import numpy as np
import pytest
import torch

from depth_anything_ros.core.errors import ModelError, SourceError
from depth_anything_ros.engines import gate, openvino_engine, quantise
from depth_anything_ros.engines.choice import make
from depth_anything_ros.engines.engine import EngineOptions
from depth_anything_ros.engines.gate import compare
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.sim.world import views

SIZE = (96, 128)


@pytest.fixture(scope="module")
def tiny():
    return DepthEstimator("tiny", "", "cpu", "fp32")


def simulated(seeds):
    # Of one kind: whether it was calibrated with the like of what it sees is not asked here.
    return list(views(seeds, 160, 120, kind="room").rgb.numpy())


def test_inputs_have_the_size_and_the_middle_of_the_pictures(tiny):
    wide = np.zeros((60, 200, 3), np.uint8)
    wide[:, 60:140] = 255  # all that a 4:3 crop shows
    (image,) = quantise.calibration_inputs(tiny, SIZE, [wide])
    assert image.shape == (1, 3, *SIZE) and image.is_contiguous()
    assert image.min() > 0.99  # white, normalised
    assert len(quantise.calibration_inputs(tiny, SIZE, iter([wide] * 30))) == 24


def test_default_pictures_are_none_of_the_gate(tiny):
    first, *others = quantise.calibration_inputs(tiny, SIZE)
    assert len(others) == 23
    judged = quantise.calibration_inputs(tiny, SIZE, gate.pictures(4))
    assert not any(torch.equal(first, one) for one in judged)
    assert torch.equal(first, quantise.calibration_inputs(tiny, SIZE)[0])


def test_pictures_are_taken_evenly_from_a_folder(tmp_path):
    for index in range(50):
        rgb = np.full((6, 8, 3), (index, 0, 0), np.uint8)
        cv2.imwrite(str(tmp_path / f"{index:03}.png"), rgb[..., ::-1])
    found = quantise.pictures_of(str(tmp_path))
    assert [int(picture[0, 0, 0]) for picture in found] == list(range(0, 48, 2))  # and it is RGB
    assert found[0].shape == (6, 8, 3)


@pytest.mark.slow
def test_int8_is_near_on_pictures_it_has_not_seen(tmp_path):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    pytest.importorskip("nncf", reason="needs the extra openvino")
    # tiny loses so much that the gate refuses it (doc/tiny.md).
    convolutions = DepthEstimator("midas_v21_small", "random", "cpu", "fp32")
    pictures = simulated(range(12))
    engine = openvino_engine.make(convolutions, "int8", pictures=pictures, cache=tmp_path)
    engine.warm_up([SIZE])
    unseen = quantise.calibration_inputs(convolutions, SIZE, simulated(range(100, 104)))
    exact = [convolutions.run_network(image) for image in unseen]
    found = [engine.run(image) for image in unseen]
    difference = compare(found, exact)
    assert difference.mean > 1e-4  # it is not float32 that answers
    assert not difference.non_finite and difference.mean < 0.05, difference  # 2.5 % measured
    (graph,) = tmp_path.glob("*/graph.xml")
    assert "FakeQuantize" in graph.read_text()


def test_nothing_to_calibrate_with(tiny):
    pytest.importorskip("nncf", reason="needs the extra openvino")
    with pytest.raises(ModelError, match="int8 needs pictures"):
        quantise.quantised(None, [])


def test_given_pictures_are_what_it_is_calibrated_with(tiny, tmp_path):
    pytest.importorskip("openvino", reason="needs the extra openvino")
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((60, 80, 3), 80 * index, np.uint8))
    given = EngineOptions(calibration=str(tmp_path))

    keys = {
        make("openvino", precision, tiny, "cpu", options)._key(SIZE)
        for precision, options in (
            ("int8", given),
            ("int8", EngineOptions()),
            ("fp32", given),
            ("fp32", EngineOptions()),
        )
    }

    assert len(keys) == 3  # floating point depends on no pictures
    with pytest.raises(SourceError, match="nothing"):
        make("openvino", "int8", tiny, "cpu", EngineOptions(calibration=str(tmp_path / "nothing")))
