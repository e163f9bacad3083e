"""The adapter of transformers' models against that library's own pipeline.

Run with -s for the figures of doc/models.md.
"""

import json
import logging
import math
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_transformers as tiny
import torch
from hub_server import COMMIT, serve, store
from PIL import Image
from safetensors.torch import load_file, save_file

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import AffineDepthMap, DepthMap, DisparityMap
from depth_anything_ros.core.errors import (
    CameraError,
    CheckpointError,
    ImageError,
    ModelError,
)
from depth_anything_ros.models import DepthEstimator, find_card
from depth_anything_ros.models.networks.build import empty_network
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
MAPS = {"relative": DisparityMap, "affine_depth": AffineDepthMap, "metric": DepthMap}
FIELDS = {DisparityMap: "disparity", AffineDepthMap: "depth", DepthMap: "depth_m"}


def _picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def _values(estimate):
    return getattr(estimate, FIELDS[type(estimate)])


def _estimator(name, weights="", **options):
    return DepthEstimator(name, weights, "cpu", "fp32", **options)


def _camera(height, width, focal_px):
    K = (focal_px, 0, width / 2 - 0.5, 0, focal_px, height / 2 - 0.5, 0, 0, 1)
    return Camera(width, height, K)


def _difference(found, expected):
    """The largest difference in parts of the range, over all but infinitely far pixels."""
    assert found.shape == expected.shape
    near = np.isfinite(found)
    assert near.mean() > 0.5
    spread = np.ptp(expected[near])
    assert spread > 0
    return np.abs(found - expected)[near].max() / spread


def _refusal(kind, reason, call, *args):
    with pytest.raises(kind) as error:
        call(*args)
    assert error.value.reason == reason, str(error.value)
    assert "\n" not in str(error.value)
    return str(error.value)


# The same answers


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_same_answers_as_the_pipeline_of_transformers(make, tmp_path, parity):
    name = tiny.save(make, tmp_path)
    estimator = _estimator(name)
    pipeline = transformers.pipeline("depth-estimation", model=str(tmp_path), device="cpu")

    differences = []
    for size in SIZES:
        rgb = _picture(*size)
        estimate = estimator.infer(rgb)
        assert type(estimate) is MAPS[estimator.card.kind]
        expected = pipeline(Image.fromarray(rgb))["predicted_depth"].numpy()
        differences.append(_difference(_values(estimate), expected))

    parity("`hf:`", f"{make.__name__}, tiny width", "`transformers`' pipeline", SIZES, differences)
    assert max(differences) <= TOLERANCE


@pytest.mark.parametrize("size", SIZES)
def test_a_prompt_makes_metres_as_transformers_does(size, tmp_path):
    name = tiny.save(tiny.prompt_depth_anything, tmp_path)
    rgb = _picture(*size)
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

    estimate = _estimator(name).infer(rgb, prompt_m=prompt)

    difference = _difference(estimate.depth_m, outputs[0]["predicted_depth"].numpy())
    assert isinstance(estimate, DepthMap)
    assert difference <= TOLERANCE
    # Within the prompt's depths but for the overshoot of the resize.
    assert 1.5 < np.nanmin(estimate.depth_m) < np.nanmax(estimate.depth_m) < 6.5


def test_a_sparse_prompt_is_filled(tmp_path):
    estimator = _estimator(tiny.save(tiny.prompt_depth_anything, tmp_path))
    rgb = _picture(75, 110)
    sparse = np.zeros((75, 110), np.float32)
    sparse[20, 30], sparse[60, 90] = 2, 6
    filled = np.where(np.add.outer(np.arange(75) * 2, np.arange(110) * 3) > 260, 6, 2)

    found = estimator.infer(rgb, prompt_m=sparse).depth_m
    expected = estimator.infer(rgb, prompt_m=filled.astype(np.float32)).depth_m

    assert np.isfinite(found).all()
    assert np.abs(found - expected).mean() < 0.05  # the line between both is another by a pixel


def test_only_a_prompted_model_takes_a_prompt(tmp_path):
    prompt = np.ones((12, 16), np.float32)
    others = [_estimator(tiny.save(tiny.dpt, tmp_path)), _estimator("test_relative", "random")]

    for estimator in others:
        message = _refusal(
            ModelError, "prompt", lambda e=estimator: e.infer(_picture(64, 64), None, prompt)
        )
        assert f"{estimator.card.name} takes no prompt of depth" in message


def test_several_pictures_in_one_batch(tmp_path):
    estimator = _estimator(tiny.save(tiny.zoedepth, tmp_path))
    pictures = [_picture(*size, seed) for seed, size in enumerate([*SIZES, SIZES[0]])]

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
        estimator = _estimator(name)

    assert estimator.card.licence == licence
    assert f"weights model.safetensors: licence {licence}" in caplog.text


def test_far_is_infinitely_far_where_the_model_has_an_end(tmp_path):
    estimator = _estimator(tiny.save(tiny.glpn, tmp_path))
    with torch.no_grad():
        estimator.network.model.head.head[-1].bias.fill_(50)

    assert np.isposinf(estimator.infer(_picture(64, 64)).depth_m).all()


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_random_weights_need_a_config_only(make, tmp_path, caplog):
    config, _ = make()
    config.save_pretrained(tmp_path)

    values = _values(_estimator(f"hf:{tmp_path}", "random").infer(_picture(75, 110)))

    assert "has no preprocessor_config.json: pictures are prepared as for the pub" in caplog.text
    assert np.isfinite(values).all()
    assert values.std() > 1e-3 * values.mean() > 0


# Depth Pro's focal length


def test_a_camera_gives_depth_pro_its_focal_length(tmp_path):
    """Metres = focal length / (width * inverse depth), of apple/ml-depth-pro."""
    estimator = _estimator(tiny.save(tiny.depth_pro, tmp_path))
    height, width = SIZES[1]
    rgb = _picture(height, width)
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
    estimator = _estimator(tiny.save(tiny.depth_pro_without_angle, tmp_path))
    rgb = _picture(*SIZES[1])

    assert estimator.card.canonical_focal_px == 64
    _refusal(CameraError, "uncalibrated", estimator.infer, rgb)
    near = estimator.infer(rgb, _camera(*SIZES[1], 100)).depth_m
    far = estimator.infer(rgb, _camera(*SIZES[1], 200)).depth_m
    np.testing.assert_allclose(far, 2 * near, rtol=1e-4)


# Pictures


def test_another_input_size(tmp_path):
    name = tiny.save(tiny.zoedepth, tmp_path)
    card = find_card(name)
    prepare = family_of(card).preparation

    own, larger = (
        prepare(_picture(90, 120), card, size, torch.device("cpu")) for size in (96, 192)
    )

    assert own.shape == (1, 3, 96, 128)
    assert larger.shape == (1, 3, 192, 256)
    assert _estimator(name, input_size=192).infer(_picture(90, 120)).depth_m.shape == (90, 120)


@pytest.mark.parametrize("make", [tiny.glpn, tiny.depth_pro])
def test_models_of_one_input_size_only(make, tmp_path):
    estimator = _estimator(tiny.save(make, tmp_path), input_size=128)

    message = _refusal(ModelError, "input_size", estimator.infer, _picture(64, 64))

    assert "takes no other input size, got 128; use 0" in message


@pytest.mark.parametrize("make", [tiny.glpn, tiny.zoedepth, tiny.depth_anything])
@pytest.mark.parametrize("size", [(32, 32), (33, 250), (250, 33)])
def test_small_and_long_pictures(make, size, tmp_path):
    values = _values(_estimator(tiny.save(make, tmp_path)).infer(_picture(*size)))

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

    _refusal(ImageError, reason, family_of(card).preparation, rgb, card, 64, torch.device("cpu"))


# Names and configs that are refused


OTHER = "which is no depth model; known: depth_anything, "


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (None, "unknown_model", "has no config.json"),
        ('{"model_type": "bert"}', "not_a_depth_model", f"config.json is of 'bert', {OTHER}"),
        ('{"model_type": "chmv2"}', "not_a_depth_model", f"config.json is of 'chmv2', {OTHER}"),
        (
            '{"model_type": "dpt", "architectures": ["DPTForSemanticSegmentation"]}',
            "not_a_depth_model",
            f"config.json is of DPTForSemanticSegmentation, {OTHER}",
        ),
        ("{", "config", "cannot make a model of "),
        ("[]", "config", "cannot make a model of "),
        ("{}", "config", "cannot make a model of "),
        (
            '{"model_type": "depth_anything", "depth_estimation_type": "roughly"}',
            "config",
            "cannot make a model of ",
        ),
        ('{"model_type": "glpn", "max_depth": "far"}', "config", "cannot make a model of "),
        ('{"model_type": "glpn", "max_depth": null}', "config", "cannot make a model of "),
        (
            '{"model_type": "dpt", "backbone": "facebook/dinov2-small"}',
            "config",
            "cannot make a model of ",
        ),
    ],
)
def test_a_folder_that_no_model_can_be_made_of(content, reason, words, tmp_path):
    if content is not None:
        (tmp_path / "config.json").write_text(content)

    message = _refusal(ModelError, reason, find_card, f"hf:{tmp_path}")

    assert words in message and str(tmp_path) in message


def test_a_name_and_a_config_of_which_no_network_can_be_made(tmp_path):
    message = _refusal(ModelError, "unknown_model", find_card, "hf:/no/such folder")
    assert "there is no folder /no/such folder, and it is no name of a repo" in message

    config, _ = tiny.glpn()
    config.num_attention_heads = [3, 3, 3, 3]
    config.save_pretrained(tmp_path)
    _refusal(ModelError, "config", _estimator, f"hf:{tmp_path}", "random")


def test_code_that_comes_with_a_model_is_not_run(tmp_path):
    name = tiny.save(tiny.dpt, tmp_path)
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    for file, classes in (
        ("config.json", ("AutoConfig", "AutoModelForDepthEstimation")),
        ("preprocessor_config.json", ("AutoImageProcessor",)),
    ):
        content = json.loads((tmp_path / file).read_text())
        content["auto_map"] = dict.fromkeys(classes, "evil.Evil")
        (tmp_path / file).write_text(json.dumps(content))

    _estimator(name).infer(_picture(64, 64))

    assert not (tmp_path / "ran").exists()


BLOCKED = """
import sys
sys.modules["transformers"] = None
from depth_anything_ros.core.errors import ModelError
from depth_anything_ros.models import DepthEstimator
DepthEstimator("test_relative", "random", "cpu", "fp32")
try:
    DepthEstimator("hf:" + sys.argv[1])
except ModelError as error:
    print(error.reason, error)
"""


def test_transformers_is_an_extra(tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", BLOCKED, str(tmp_path)], capture_output=True, text=True, timeout=120
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("no_transformers models named hf:... need the library")
    assert "-m pip install transformers (the extra [hf])" in result.stdout


# Weights


def _halved(state, folder):
    state = {key: values.half() for key, values in state.items()}
    whole = {"dpt.relative_position_index": torch.zeros(4, dtype=torch.int64)}
    save_file({**state, **whole}, folder / "model.safetensors", {"format": "pt"})


def _pickled(state, folder):
    torch.save(state, folder / "pytorch_model.bin")


def _without_what_is_never_run(state, folder):
    """Intel/dpt-large lacks it."""
    kept = {key: state[key] for key in state if "layers.0.residual_layer1" not in key}
    assert len(kept) == len(state) - 4
    save_file(kept, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("write", "most"), [(_halved, 0.01), (_pickled, 0), (_without_what_is_never_run, 0)]
)
def test_weights_of_every_form_load_as_float32(write, most, tmp_path):
    name = tiny.save(tiny.dpt, tmp_path / "one")
    rgb = _picture(64, 80)
    expected = _estimator(name).infer(rgb).disparity
    file = tmp_path / "one" / "model.safetensors"
    state = load_file(file)
    (tmp_path / "other").mkdir()
    write(state, tmp_path / "other")

    estimator = _estimator(name, str(tmp_path / "other"))  # of another folder

    assert {values.dtype for values in estimator.network.parameters()} == {torch.float32}
    assert _difference(estimator.infer(rgb).disparity, expected) <= most


@pytest.mark.parametrize(
    ("last", "reason", "words"),
    [
        (None, "missing_keys", "head.head.4.weight"),
        (torch.zeros(2, 32, 1, 1), "wrong_shapes", "head.head.4.weight"),
        (torch.zeros(1, 32, 1, 1, dtype=torch.int8), "wrong_kinds", "head.head.4.weight is int8"),
    ],
)
def test_weights_that_do_not_fit(last, reason, words, tmp_path):
    name = tiny.save(tiny.dpt, tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["head.head.4.weight"]
    if last is not None:
        state["head.head.4.weight"] = last
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})

    message = _refusal(CheckpointError, reason, _estimator, name)
    assert words in message and f"does not fit {name}" in message

    (tmp_path / "model.safetensors").unlink()
    message = _refusal(CheckpointError, "not_found", _estimator, name)
    assert f"{tmp_path} has none of model.safetensors, pytorch_model.bin" in message


def test_weights_of_another_model_are_refused_by_their_config(tmp_path):
    relative, metric = tmp_path / "relative", tmp_path / "metric"
    name = tiny.save(tiny.depth_anything, relative)
    tiny.save(tiny.depth_anything_metric, metric)

    message = _refusal(CheckpointError, "other_model", _estimator, name, str(metric))

    assert "is of depth_anything (metric up to 20 m) by its config.json" in message
    assert f"{name} is of depth_anything (relative)" in message


def test_the_network_has_all_that_a_checkpoint_does_not_hold(tmp_path):
    """Buffers, as BEiT's indices, are made by the constructor and are not to be lost."""
    card = find_card(tiny.save(tiny.zoedepth, tmp_path))
    expected = dict(tiny.random_model(tiny.zoedepth()[0]).named_buffers())

    found = dict(empty_network(card).model.named_buffers())

    assert len(found) == len(expected) > 0
    assert all(torch.equal(found[key], expected[key]) for key in found)


# The hub


def test_a_repo_is_found_in_the_cache(cache, tmp_path):
    expected = _estimator(tiny.save(tiny.dpt, tmp_path / "mine")).infer(_picture(64, 64))
    for path in (tmp_path / "mine").iterdir():
        store(cache, "org/tiny", path.name, path.read_bytes())

    estimator = _estimator("hf:org/tiny")

    assert (estimator.card.hub_repo, estimator.card.hub_file) == ("org/tiny", "model.safetensors")
    assert np.array_equal(estimator.infer(_picture(64, 64)).disparity, expected.disparity)
    assert COMMIT in estimator.description


def test_a_repo_that_is_not_in_the_cache(cache):
    message = _refusal(CheckpointError, "not_cached", find_card, "hf:org/tiny")

    assert "config.json of org/tiny is not in the cache" in message
    assert "downloading is off; where there is a network, run: " in message
    assert message.endswith("hf download org/tiny")


DOWNLOAD = """
import numpy as np
from depth_anything_ros.models import DepthEstimator
rgb = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
for download in (True, False):
    estimator = DepthEstimator("hf:org/tiny", "", "cpu", "fp32", download=download)
    print(estimator.card.licence, estimator.infer(rgb).disparity.mean())
"""


def test_a_repo_is_fetched_once(tmp_path):
    tiny.save(tiny.dpt, tmp_path / "mine")
    (tmp_path / "mine" / "README.md").write_text("---\nlicense: mit\n---\n")
    files = {f"org/tiny:{path.name}": path.read_bytes() for path in (tmp_path / "mine").iterdir()}

    with serve(files) as hub:
        result = subprocess.run(
            [sys.executable, "-c", DOWNLOAD],
            env={**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            timeout=120,
        )
        fetched = [request for request in hub.requests if request.startswith("GET /org/")]
    assert result.returncode == 0, result.stderr
    fresh, cached = result.stdout.splitlines()

    assert fresh == cached
    assert fresh.startswith("MIT ")
    assert sorted(fetched) == [
        f"GET /org/tiny/resolve/main/{name}"
        for name in ("README.md", "config.json", "model.safetensors", "preprocessor_config.json")
    ]
