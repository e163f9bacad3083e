import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from lesson import write_sample

from depth_anything_ros.models.networks.build import random_network
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training.augment import crop_and_resize
from depth_anything_ros.training.batches import collate
from depth_anything_ros.training.objective import BatchAnswer, normalise, read_answer
from depth_anything_ros.training.recipe import Validation
from depth_anything_ros.training.validation import (
    HeldOut,
    Panel,
    draw_panels,
    make_panels,
    picture_scores,
)

TINY, RELATIVE = find_card("tiny"), find_card("tiny_relative")
INDOOR = find_card("test_metric")
CPU = torch.device("cpu")


def batch_of(plane, count=2):
    """The plane, its top row sky and its left column unknown, at a focal length of 600 px."""
    sample = crop_and_resize(plane.sample(), (0, 0, 308, 210), 56, 42)
    depth = sample.depth_m.copy()
    depth[0], depth[:, 0] = math.inf, math.nan
    return collate([replace(sample, depth_m=depth, focal_px=600.0)] * count)


def answer_of(batch, factor=1.0):
    """The exact answer of tiny times a factor, with an affine disparity and the right sky."""
    depth = torch.where(batch.depth_m.isfinite(), batch.depth_m, 50.0)
    logit = torch.where(batch.depth_m.isinf(), 3.0, -3.0)
    return BatchAnswer(depth / 2 * factor, 3 / depth + 7, logit)


def test_an_exact_answer(plane):
    batch = batch_of(plane)
    scores = picture_scores(TINY, answer_of(batch), batch, 100.0)
    assert set(scores) == {
        *("abs_rel", "delta1", "aligned_abs_rel", "aligned_delta1"),
        *("disparity_abs_rel", "disparity_delta1", "sky_accuracy"),
    }
    for name, values in scores.items():
        perfect = 0.0 if name.endswith("abs_rel") else 1.0
        assert values == pytest.approx([perfect, perfect], abs=1e-5), name


def test_a_factor_is_an_error_until_it_is_aligned(plane):
    batch = batch_of(plane)
    scores = picture_scores(TINY, answer_of(batch, 1.1), batch, 100.0)
    assert scores["abs_rel"] == pytest.approx([0.1, 0.1], rel=1e-4)
    assert scores["delta1"] == [1.0, 1.0]
    assert scores["aligned_abs_rel"] == pytest.approx([0, 0], abs=1e-5)
    scores = picture_scores(TINY, answer_of(batch, 1.3), batch, 100.0)
    assert scores["delta1"] == [0.0, 0.0]


def test_pictures_without_ground_truth_have_no_score(plane):
    batch = batch_of(plane)
    batch.depth_m[1] = math.nan
    scores = picture_scores(TINY, answer_of(batch), batch, 100.0)
    for values in scores.values():
        assert np.isfinite(values).tolist() == [True, False]
    nearer = picture_scores(TINY, answer_of(batch), batch, 0.1)
    assert np.isnan(nearer["abs_rel"]).all() and math.isfinite(nearer["sky_accuracy"][0])


def test_models_without_sky_or_metres(plane):
    batch = batch_of(plane)
    depth = torch.where(batch.depth_m.isfinite(), batch.depth_m, 9.0)
    metric = picture_scores(INDOOR, read_answer(INDOOR, depth), batch, 100.0)
    assert set(metric) == {"abs_rel", "delta1", "aligned_abs_rel", "aligned_delta1"}
    assert max(metric["abs_rel"]) == 0
    relative = picture_scores(RELATIVE, BatchAnswer(None, 5 / depth, None), batch, 100.0)
    assert set(relative) == {"disparity_abs_rel", "disparity_delta1"}
    assert max(relative["disparity_abs_rel"]) < 1e-5


def test_an_alignment_ends_at_the_farthest_depth(plane):
    """Of 4 / depth + 1 all is exact but what is farther; a constant tells the mean disparity."""
    batch = batch_of(plane, 1)
    depth = torch.where(batch.depth_m.isfinite(), batch.depth_m, 9.0)
    exact = picture_scores(RELATIVE, BatchAnswer(None, 4 / depth + 1, None), batch, 100.0)
    assert exact["disparity_abs_rel"] == pytest.approx([0], abs=1e-5)
    flat = picture_scores(RELATIVE, BatchAnswer(None, torch.ones_like(depth), None), batch, 100.0)
    truth = batch.depth_m[batch.depth_m.isfinite()].numpy()
    expected = np.mean(np.abs(1 / np.mean(1 / truth) - truth) / truth)
    assert flat["disparity_abs_rel"] == pytest.approx([expected], rel=1e-5)
    wrong = picture_scores(RELATIVE, BatchAnswer(None, -depth.reciprocal() - 9, None), batch, 100.0)
    assert wrong["disparity_delta1"] == pytest.approx([1.0])  # a line may fall


@pytest.fixture
def folder(plane, tmp_path):
    """Five pictures of two sizes; four are plain, one is cut to a square."""
    sample = plane.sample()
    for number in range(4):
        write_sample(tmp_path, f"p{number}", sample.rgb, sample.depth_m, camera=plane.camera)
    square = crop_and_resize(sample, (0, 0, 210, 210), 210, 210)
    write_sample(tmp_path, "p4", square.rgb, square.depth_m)
    return tmp_path


def settings(folder, **changes):
    return Validation(path=str(folder), width=56, height=42, batch_size=3, **changes)


def test_a_folder_is_held_out_in_batches_of_one_size(folder, plane):
    held_out = HeldOut(settings(folder), INDOOR, "cpu")
    shapes = sorted(tuple(batch.image.shape) for batch in held_out.batches)
    assert shapes == [(1, 3, 42, 42), (1, 3, 42, 56), (3, 3, 42, 56)]
    focal = torch.cat([batch.focal_px for batch in held_out.batches])
    stretched = (56 / 308 + 42 / 210) / 2 * plane.camera.K[0]
    assert focal[focal.isfinite()].tolist() == pytest.approx([stretched] * 4)
    assert len(HeldOut(settings(folder, views=2), INDOOR, "cpu").batches) == 1


def test_scores_are_means_over_pictures(folder):
    network = random_network(INDOOR).eval()
    held_out = HeldOut(settings(folder), INDOOR, "cpu")
    found = held_out.score(network, CPU)
    with torch.no_grad():
        rows = [
            picture_scores(INDOOR, read_answer(INDOOR, network(normalise(b.image, INDOOR))), b, 100)
            for b in held_out.batches
        ]
    values = [value for row in rows for value in row["abs_rel"]]
    assert len(values) == 5 and found["abs_rel"] == pytest.approx(np.mean(values))


def test_the_world_is_held_out_by_its_own_seeds():
    settings = Validation(views=3, first_seed=77, width=42, height=28)
    held_out = HeldOut(settings, INDOOR, "cpu")
    assert [tuple(batch.image.shape) for batch in held_out.batches] == [(3, 3, 28, 42)]
    again = HeldOut(replace(settings, first_seed=78), INDOOR, "cpu")
    torch.testing.assert_close(held_out.batches[0].image[1], again.batches[0].image[0])


def test_panels_show_the_prediction_beside_the_truth(plane):
    batch = batch_of(plane)
    panel = make_panels(TINY, answer_of(batch), batch)[1]
    known = np.isfinite(panel.truth)
    np.testing.assert_allclose(panel.prediction[known], panel.truth[known], rtol=1e-5, atol=1e-6)
    assert panel.truth[0, 1:].max() == 0 and known.sum() == 42 * 55
    image = batch.image[1].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(panel.rgb, np.rint(255 * image))
    relative = make_panels(RELATIVE, answer_of(batch)._replace(depth=None), batch)[0]
    finite = batch.depth_m[0].isfinite().numpy()
    np.testing.assert_allclose(relative.prediction[finite], relative.truth[finite], rtol=1e-5)


def test_panels_of_pictures_of_any_size_and_content():
    unknown, flat = np.full((4, 6), np.nan, np.float32), np.ones((4, 8), np.float32)
    panels = [
        Panel(np.full((4, 6, 3), 200, np.uint8), np.zeros((4, 6), np.float32), unknown),
        Panel(np.full((4, 8, 3), 100, np.uint8), flat, flat),
    ]
    drawn = draw_panels(panels)
    assert drawn.shape == (16, 24, 3) and drawn.dtype == np.uint8
    assert (drawn[:4, :6] == 200).all() and (drawn[8:12, :8] == 100).all()
    assert not drawn[:4, 12:18].any()  # unknown is black


def test_panels_of_held_out_pictures(folder):
    held_out = HeldOut(settings(folder), INDOOR, "cpu")
    panels = held_out.panels(random_network(INDOOR).eval(), CPU, 4)
    assert [tuple(panel.rgb.shape) for panel in panels] == [(42, 56, 3)] * 4
    assert draw_panels(panels).shape == (4 * 46, 3 * 56, 3)
