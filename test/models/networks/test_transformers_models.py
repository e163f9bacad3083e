"""The adapter of transformers' models against that library's own pipeline.

Run with -s for the figures of doc/models.md.
"""

import logging
import math

import numpy as np
import pytest
import tiny_transformers as tiny
import torch
from PIL import Image
from refusals import refusal

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import ESTIMATES, DepthMap
from depth_anything_ros.core.errors import (
    CameraError,
    ImageError,
    ModelError,
)
from depth_anything_ros.models import find_card
from depth_anything_ros.models.zoo.families import family_of

TOLERANCE = 1e-4  # of the output's range, from the issue
SIZES = [(96, 96), (75, 110)]  # height and width: a square, and what no multiple divides
transformers = tiny.transformers
MODELS = [
    tiny.depth_anything,
    tiny.depth_anything_metric,
    tiny.prompt_depth_anything,
    tiny.dpt,
    tiny.dpt_beit,
    tiny.dpt_hybrid,
    tiny.dpt_dinov2,
    tiny.glpn,
    tiny.zoedepth,
    tiny.zoedepth_of_two_ranges,
    tiny.depth_pro,
]
if hasattr(transformers, "Tipsv2DptConfig"):  # it came with transformers 5
    MODELS.append(tiny.tipsv2_dpt)


def _camera(height, width, focal_px):
    K = (focal_px, 0, width / 2 - 0.5, 0, focal_px, height / 2 - 0.5, 0, 0, 1)
    return Camera(width, height, K)


# The same answers


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_same_answers_as_the_pipeline_of_transformers(make, tmp_path, parity):
    name = tiny.save(make, tmp_path)
    estimator = tiny.estimator(name)
    pipeline = transformers.pipeline("depth-estimation", model=str(tmp_path), device="cpu")

    differences = []
    for size in SIZES:
        rgb = tiny.picture(*size)
        estimate = estimator.infer(rgb)
        assert type(estimate) is ESTIMATES[estimator.card.kind]
        expected = pipeline(Image.fromarray(rgb))["predicted_depth"].numpy()
        differences.append(tiny.difference(estimate.values, expected))

    parity("`hf:`", f"{make.__name__}, tiny width", "`transformers`' pipeline", SIZES, differences)
    assert max(differences) <= TOLERANCE


@pytest.mark.parametrize("size", SIZES)
def test_a_prompt_makes_metres_as_transformers_does(size, tmp_path):
    name = tiny.save(tiny.prompt_depth_anything, tmp_path)
    rgb = tiny.picture(*size)
    prompt = np.random.default_rng(1).uniform(2, 6, (12, 16)).astype(np.float32)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    model = transformers.AutoModelForDepthEstimation.from_pretrained(tmp_path).eval()
    inputs = processor(
        images=Image.fromarray(rgb),
        prompt_depth=prompt,
        prompt_scale_to_meter=1.0,
        return_tensors="pt",
    )
    with torch.inference_mode():
        outputs = processor.post_process_depth_estimation(model(**inputs), [size])

    estimate = tiny.estimator(name).infer(rgb, prompt_m=prompt)

    difference = tiny.difference(estimate.depth_m, outputs[0]["predicted_depth"].numpy())
    assert isinstance(estimate, DepthMap)
    assert difference <= TOLERANCE
    # Within the prompt's depths but for the overshoot of the resize.
    assert 1.5 < np.nanmin(estimate.depth_m) < np.nanmax(estimate.depth_m) < 6.5


def test_a_sparse_prompt_is_filled(tmp_path):
    estimator = tiny.estimator(tiny.save(tiny.prompt_depth_anything, tmp_path))
    rgb = tiny.picture(75, 110)
    sparse = np.zeros((75, 110), np.float32)
    sparse[20, 30], sparse[60, 90] = 2, 6
    filled = np.where(np.add.outer(np.arange(75) * 2, np.arange(110) * 3) > 260, 6, 2)

    found = estimator.infer(rgb, prompt_m=sparse).depth_m
    expected = estimator.infer(rgb, prompt_m=filled.astype(np.float32)).depth_m

    assert np.isfinite(found).all()
    assert np.abs(found - expected).mean() < 0.05  # the line between both is another by a pixel


def test_only_a_prompted_model_takes_a_prompt(tmp_path):
    prompt = np.ones((12, 16), np.float32)
    others = [
        tiny.estimator(tiny.save(tiny.dpt, tmp_path)),
        tiny.estimator("test_relative", "random"),
    ]

    for estimator in others:
        message = refusal(
            ModelError, "prompt", lambda e=estimator: e.infer(tiny.picture(64, 64), None, prompt)
        )
        assert f"{estimator.card.name} takes no prompt of depth" in message


def test_several_pictures_in_one_batch(tmp_path):
    estimator = tiny.estimator(tiny.save(tiny.zoedepth, tmp_path))
    pictures = [tiny.picture(*size, seed) for seed, size in enumerate([*SIZES, SIZES[0]])]

    together = estimator.infer_batch(pictures, [None] * 3)

    for rgb, estimate in zip(pictures, together, strict=True):
        alone = estimator.infer(rgb)
        np.testing.assert_allclose(estimate.depth_m, alone.depth_m, rtol=1e-4)


# Cards


@pytest.mark.parametrize(
    ("make", "kind", "max_depth_m", "input_size", "multiple"),
    [
        (tiny.depth_anything, "relative", None, 112, 14),
        (tiny.depth_anything_metric, "metric", 20, 112, 14),
        (tiny.prompt_depth_anything, "affine_depth", None, 112, 14),
        (tiny.dpt, "relative", None, 64, 1),
        (tiny.dpt_dinov2, "metric", None, 480, 1),
        (tiny.glpn, "metric", 20, 480, 1),
        (tiny.zoedepth, "metric", None, 96, 32),
        (tiny.depth_pro, "metric", 1e4, 64, 1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_cards_are_made_of_the_config(make, kind, max_depth_m, input_size, multiple, tmp_path):
    config, processor = make()
    config.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)

    card = find_card(f"hf:{tmp_path}")

    assert (card.name, card.family) == (f"hf:{tmp_path}", "transformers")
    assert (card.kind, card.max_depth_m) == (kind, max_depth_m)
    assert (card.input_size, card.multiple) == (input_size, multiple)
    assert (card.hub_repo, card.hub_file, card.encoder) == ("", "", config.model_type)
    assert not card.focal_scaled
    assert hash(card)


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags:\n- depth\n---\n# A model", "Apache-2.0"),
        ("---\ntags:\n- vision\nlicense: 'cc-by-nc-4.0'\n---\n", "CC-BY-NC-4.0"),
        ("---\nlicense: apple-amlr\n---\n", "LicenseRef-apple-amlr"),
        ("license: mit", "LicenseRef-unknown"),
        (None, "LicenseRef-unknown"),
    ],
)
def test_the_licence_is_that_of_the_readme(readme, licence, tmp_path, caplog):
    name = tiny.save(tiny.dpt, tmp_path)
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)

    with caplog.at_level(logging.INFO):
        estimator = tiny.estimator(name)

    assert estimator.card.licence == licence
    assert f"weights model.safetensors: licence {licence}" in caplog.text


def test_far_is_infinitely_far_where_the_model_has_an_end(tmp_path):
    estimator = tiny.estimator(tiny.save(tiny.glpn, tmp_path))
    with torch.no_grad():
        estimator.network.model.head.head[-1].bias.fill_(50)

    assert np.isposinf(estimator.infer(tiny.picture(64, 64)).depth_m).all()


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_random_weights_need_a_config_only(make, tmp_path, caplog):
    config, _ = make()
    config.save_pretrained(tmp_path)

    values = tiny.estimator(f"hf:{tmp_path}", "random").infer(tiny.picture(75, 110)).values

    assert "has no preprocessor_config.json: pictures are prepared as for the pub" in caplog.text
    assert np.isfinite(values).all()
    assert values.std() > 1e-3 * values.mean() > 0


# Depth Pro's focal length


def test_a_camera_gives_depth_pro_its_focal_length(tmp_path):
    """Metres = focal length / (width * inverse depth), of apple/ml-depth-pro."""
    estimator = tiny.estimator(tiny.save(tiny.depth_pro, tmp_path))
    height, width = SIZES[1]
    rgb = tiny.picture(height, width)
    image = family_of(estimator.card).preparation(rgb, estimator.card, 64, estimator.device)
    with torch.inference_mode():
        inverse, angle = estimator.network(image).parts
    resized = torch.nn.functional.interpolate(inverse[None], (height, width), mode="bilinear")

    for focal_px in (60.0, 240.0):
        found = estimator.infer(rgb, _camera(height, width, focal_px)).depth_m
        expected = (focal_px / (width * resized[0, 0])).numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-4)

    # With no camera, it is the angle that the network sees.
    own_focal_px = width / 2 / math.tan(math.radians(angle.item()) / 2)
    found = estimator.infer(rgb, _camera(height, width, own_focal_px)).depth_m
    np.testing.assert_allclose(found, estimator.infer(rgb).depth_m, rtol=1e-4)


def test_depth_pro_without_its_angle_needs_a_camera(tmp_path):
    estimator = tiny.estimator(tiny.save(tiny.depth_pro_without_angle, tmp_path))
    rgb = tiny.picture(*SIZES[1])

    assert estimator.card.canonical_focal_px == 64
    refusal(CameraError, "uncalibrated", estimator.infer, rgb)
    near = estimator.infer(rgb, _camera(*SIZES[1], 100)).depth_m
    far = estimator.infer(rgb, _camera(*SIZES[1], 200)).depth_m
    np.testing.assert_allclose(far, 2 * near, rtol=1e-4)


# Pictures


def test_another_input_size(tmp_path):
    name = tiny.save(tiny.zoedepth, tmp_path)
    card = find_card(name)
    prepare = family_of(card).preparation

    own, larger = (
        prepare(tiny.picture(90, 120), card, size, torch.device("cpu")) for size in (96, 192)
    )

    assert own.shape == (1, 3, 96, 128)
    assert larger.shape == (1, 3, 192, 256)
    assert tiny.estimator(name, input_size=192).infer(tiny.picture(90, 120)).depth_m.shape == (
        90,
        120,
    )


@pytest.mark.parametrize("make", [tiny.glpn, tiny.depth_pro])
def test_models_of_one_input_size_only(make, tmp_path):
    estimator = tiny.estimator(tiny.save(make, tmp_path), input_size=128)

    message = refusal(ModelError, "input_size", estimator.infer, tiny.picture(64, 64))

    assert "takes no other input size, got 128; use 0" in message


@pytest.mark.parametrize("make", [tiny.glpn, tiny.zoedepth, tiny.depth_anything])
@pytest.mark.parametrize("size", [(32, 32), (33, 250), (250, 33)])
def test_small_and_long_pictures(make, size, tmp_path):
    values = tiny.estimator(tiny.save(make, tmp_path)).infer(tiny.picture(*size)).values

    assert values.shape == size
    assert np.isfinite(values).all()


@pytest.mark.parametrize(
    ("rgb", "reason"),
    [
        (np.zeros((64, 64), np.uint8), "shape"),
        (np.zeros((64, 64, 3), np.float32), "shape"),
        (np.zeros((31, 64, 3), np.uint8), "size"),
        (np.zeros((0, 64, 3), np.uint8), "shape"),
        (np.zeros((40, 321, 3), np.uint8), "aspect"),
    ],
)
def test_pictures_that_are_refused(rgb, reason, tmp_path):
    card = find_card(tiny.save(tiny.dpt, tmp_path))

    refusal(ImageError, reason, family_of(card).preparation, rgb, card, 64, torch.device("cpu"))
