"""The adapters of MoGe, UniDepth and Metric3D, each on a module with the interface of its package.

The packages themselves are on no index, so the modules here are written for these tests: they
answer closed forms of what they are given, and refuse what the packages would.
"""

import importlib
import logging
import runpy
import sys
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import setuptools
import torch
from refusals import refusal
from safetensors.torch import save_file

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap
from depth_anything_ros.core.errors import (
    CameraError,
    CheckpointError,
    ImageError,
    ModelError,
)
from depth_anything_ros.engines.loading import load_estimator
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.models.zoo import CARDS, plugins
from depth_anything_ros.models.zoo.families import FAMILIES
from depth_anything_ros.tools.models import facts_of

NAMES = {
    "metric3d": ["metric3d_v2_small", "metric3d_v2_large", "metric3d_v2_giant"],
    "moge": ["moge_large", "moge_2_small", "moge_2_base", "moge_2_large"],
    "unidepth": ["unidepth_v2_small", "unidepth_v2_base", "unidepth_v2_large"],
}
# Depth is the scale of its weights times red, and more by what it is told of the camera.
MOGE = """
import torch

class MoGeModel(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        assert size == 1
        self.scale = torch.nn.Parameter(torch.zeros(1))
        self.mask_token = torch.nn.Parameter(torch.zeros(1))

    def infer(self, image, fov_x=None, num_tokens=None, apply_mask=True, use_fp16=True):
        height, width = image.shape[-2:]
        assert image.dtype == torch.float32 and 0 <= image.min() and image.max() <= 1
        assert num_tokens == round(height * width / 196) and not use_fp16
        assert not torch.is_autocast_enabled("cpu")
        depth = self.scale * image[:, 0]
        if fov_x is not None:
            depth = depth + fov_x.view(-1, 1, 1)
        mask = image[:, 1] > 0.5
        return {"depth": torch.where(mask | ~torch.tensor(apply_mask), depth, torch.inf),
                "mask": mask, "intrinsics": torch.eye(3)}
"""
UNIDEPTH = """
import torch

class UniDepthV2(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(config["size"]))

    def infer(self, rgb, camera=None, normalize=True):
        assert not normalize and rgb.ndim == 4
        assert rgb.shape[-1] % 14 == 0 and rgb.shape[-2] % 14 == 0
        depth = self.scale * (rgb[:, :1] * 0.229 + 0.485)
        if camera is not None:
            assert len(rgb) == 1 and camera.shape == (1, 3, 3)  # it takes no more
            depth = depth + camera[0, 0, 0] / rgb.shape[-1] + 10 * camera[0, 1, 2] / rgb.shape[-2]
        return {"depth": depth, "intrinsics": torch.eye(3), "confidence": depth}
"""
HUBCONF = """
dependencies = ["torch"]
import torch

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.zeros(1))

    def inference(self, data):
        image = data["input"]
        assert image.shape[1:] == (3, 616, 1064)
        ones = torch.ones(1, device="cuda")  # as its decoder asks, whatever device it is on
        depth = ones * self.scale * (image[:, :1] * 0.229 + 0.485)
        return depth, depth, {}

def metric3d_vit_small(pretrain=False):
    assert not pretrain
    return Model()
"""
SCALE = 8.0


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages, and of torch.hub, that is looked into; empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    families = dict(FAMILIES)
    yield tmp_path
    FAMILIES.clear()
    FAMILIES.update(families)
    for name in [name for name in sys.modules if name.split(".")[0] in NAMES]:
        del sys.modules[name]


def install(site):
    for path, text in (
        ("site/moge/__init__.py", ""),
        ("site/moge/model/__init__.py", ""),
        ("site/moge/model/v1.py", MOGE),
        ("site/moge/model/v2.py", MOGE),
        ("site/unidepth/__init__.py", ""),
        ("site/unidepth/models.py", UNIDEPTH),
        ("hub/yvanyin_metric3d_main/hubconf.py", HUBCONF),
    ):
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    importlib.invalidate_caches()


@pytest.fixture
def rows(site, repository, monkeypatch, caplog):
    """What the entry points of setup.py give now, by name; no warning came."""

    declared = {}
    monkeypatch.setattr(setuptools, "setup", declared.update)
    monkeypatch.chdir(repository)
    runpy.run_path("setup.py")
    lines = [line.split(" = ") for line in declared["entry_points"][plugins.GROUP]]

    def found():
        entries = [EntryPoint(name, value, plugins.GROUP) for name, value in lines]
        monkeypatch.setattr(plugins, "entry_points", lambda group: entries)
        with caplog.at_level(logging.WARNING):
            cards = plugins.plugin_rows(
                set(CARDS) - {name for row in NAMES.values() for name in row}
            )
        assert not caplog.records
        return {card.name: card for card in cards}

    return found


@pytest.fixture
def load(site, rows):
    """Load a row with weights of SCALE in the form of its package; options as of an estimator."""
    install(site)
    cards = rows()

    def loaded(name, make=DepthEstimator, **options):
        path, state = site / name, {"scale": torch.full((1,), SCALE)}
        path.mkdir(exist_ok=True)
        if name.startswith("moge"):
            torch.save({"model_config": {"size": 1}, "model": state}, path / "model.pt")
        elif name.startswith("unidepth"):
            save_file({**state, "ssi.unused": torch.zeros(1)}, path / "model.safetensors")
            (path / "config.json").write_text('{"size": 1}')
        else:
            torch.save({"model_state_dict": state}, path / cards[name].hub_file)
        return make(cards[name], str(path), "cpu", **options)

    return loaded


def picture(height, width, red=128, green=255):
    return np.full((height, width, 3), (red, green, 0), np.uint8)


def camera(height, width, focal_px, shift_px=0):
    middle = (width / 2 - 0.5, height / 2 - 0.5 + shift_px)
    return Camera(width, height, (focal_px, 0, middle[0], 0, focal_px, middle[1], 0, 0, 1))


# Rows


def test_a_row_is_there_when_its_package_is(site, rows):
    assert rows() == {}
    install(site)
    cards = rows()
    assert list(cards) == [name for names in NAMES.values() for name in names]
    licences = {cards[names[-1]].licence for names in NAMES.values()}
    assert licences == {"BSD-2-Clause", "MIT", "CC-BY-NC-4.0"}
    assert not cards["unidepth_v2_base"].commercial
    assert cards["unidepth_v2_base"].hub_repo == "lpiccinelli/unidepth-v2-vitb14"
    facts = facts_of(cards["moge_2_small"])
    assert (facts.family, facts.size, facts.state) == ("MoGe", "?", "no")


# Answers


@pytest.mark.parametrize("name", ["moge_large", "moge_2_large"])
def test_moge_is_told_the_field_of_view_and_knows_what_is_no_surface(name, load):
    estimator = load(name, input_size=56)
    rgb = picture(75, 110, red=51)
    rgb[:, :55, 1] = 0  # no surface

    alone = estimator.infer(rgb)
    told = estimator.infer(rgb, camera(75, 110, 55))

    assert isinstance(alone, AffineDepthMap if name == "moge_large" else DepthMap)
    assert np.isposinf(alone.values[:, :53]).all()
    np.testing.assert_allclose(alone.values[:, 57:], 0.2 * SCALE, rtol=1e-5)
    np.testing.assert_allclose(told.values[:, 57:], 0.2 * SCALE + 90, rtol=1e-4)


def test_unidepth_is_told_k_of_the_image_as_it_sees_it(load):
    estimator = load("unidepth_v2_small", input_size=56)
    rgb = picture(75, 110, red=51)

    alone = estimator.infer(rgb)
    told = estimator.infer(rgb, camera(75, 110, 220, shift_px=15))

    assert isinstance(alone, DepthMap) and alone.depth_m.shape == (75, 110)
    np.testing.assert_allclose(alone.depth_m, 0.2 * SCALE, rtol=1e-5)
    # Pixels are counted from the middle of the first: (cy + 0.5) / height stays by a resize.
    expected = 0.2 * SCALE + 2 + 10 * (0.5 + 15 / 75 - 0.5 / 56)
    np.testing.assert_allclose(told.depth_m, expected, rtol=1e-5)


@pytest.mark.parametrize("size", [(75, 110), (480, 640), (30, 200)])
def test_metric3d_answers_metres_by_the_focal_length(size, load):
    estimator = load("metric3d_v2_small")
    scale = min(616 / size[0], 1064 / size[1])

    found = estimator.infer(picture(*size, red=51), camera(*size, 100)).depth_m

    assert estimator.network_size(*size[::-1]) == (int(size[1] * scale), int(size[0] * scale))
    np.testing.assert_allclose(found, 0.2 * SCALE * 100 * scale / 1000, rtol=5e-3)
    assert np.ptp(found) < 1e-5  # of the margins nothing is left
    far = estimator.infer(picture(*size, red=255), camera(*size, 40_000)).depth_m
    assert np.isposinf(far).all()  # beyond 300 m


@pytest.mark.parametrize("name", ["moge_2_small", "unidepth_v2_small", "metric3d_v2_small"])
def test_pictures_with_and_without_cameras_together_are_as_alone(name, load):
    estimator = load(name, make=load_estimator, input_size=0)
    pictures = [picture(60, 80, red) for red in (20, 90, 160, 230)]
    cameras = [camera(60, 80, focal) if focal else None for focal in (40, 0, 80, 0)]
    if estimator.card.focal_scaled:
        refusal(CameraError, "uncalibrated", estimator.infer, pictures[1])
        cameras[1] = cameras[3] = cameras[0]

    together = estimator.infer_batch(pictures, cameras)

    assert estimator.engine.name == "torch"
    for found, rgb, one in zip(together, pictures, cameras, strict=True):
        np.testing.assert_array_equal(found.values, estimator.infer(rgb, one).values)


# What is refused


def test_what_only_torch_and_a_file_can_do(load, rows):
    card = rows()["moge_2_small"]
    refusal(ModelError, "engine", load, card.name, make=load_estimator, engine="openvino")
    refusal(ModelError, "weights", DepthEstimator, card, "random")
    estimator = load("metric3d_v2_small", input_size=308)
    said = refusal(ModelError, "input_size", estimator.infer, picture(60, 80), camera(60, 80, 40))
    assert "takes no other input size, got 308; use 0" in said
    estimator = load("metric3d_v2_small")
    refusal(ImageError, "aspect", estimator.infer, picture(8, 80), camera(8, 80, 40))


@pytest.mark.parametrize(
    ("state", "kind", "reason"),
    [
        ({"other": torch.zeros(1)}, CheckpointError, "missing_keys"),
        ({"scale": torch.zeros(2)}, CheckpointError, "wrong_shapes"),
        ({"scale": torch.zeros(1, dtype=torch.int8)}, CheckpointError, "wrong_kinds"),
    ],
)
def test_weights_that_do_not_fit(state, kind, reason, load, site, rows):
    card = rows()["moge_2_small"]
    torch.save({"model_config": {"size": 1}, "model": state}, site / "mine.pt")
    refusal(kind, reason, DepthEstimator, card, str(site / "mine.pt"), "cpu")


def test_a_file_that_its_package_can_make_nothing_of(load, site, rows):
    cards = rows()
    torch.save({"model": {"scale": torch.zeros(1)}}, site / "mine.pt")
    said = refusal(ModelError, "config", DepthEstimator, cards["moge_2_small"], f"{site}/mine.pt")
    assert "the package of MoGe cannot make moge_2_small of" in said and "model_config" in said
    with pytest.raises(ModelError, match=r"cannot read the description .*config\.json"):
        DepthEstimator(cards["unidepth_v2_small"], f"{site}/mine.pt")
