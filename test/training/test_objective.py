import math

import pytest
import torch

from depth_anything_ros.core.errors import RecipeError
from depth_anything_ros.models.networks.build import random_network, untrained_network
from depth_anything_ros.models.networks.output import NetworkOutput
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training import losses
from depth_anything_ros.training.objective import (
    BatchAnswer,
    Objective,
    canonical_depth,
    disparity_target,
    metric_depth,
    normalise,
    read_answer,
)
from depth_anything_ros.training.recipe import Losses
from depth_anything_ros.training.samples import Batch

INF, NAN = math.inf, math.nan
TINY, RELATIVE = find_card("tiny"), find_card("tiny_relative")
INDOOR = find_card("test_metric")  # up to 20 m, for any camera


def batch_of(depth=None, disparity=None, focal=300.0, size=(4, 6)):
    """Two pictures; what is not given is unknown."""
    unknown = torch.full((2, *size), NAN)
    generator = torch.Generator().manual_seed(0)
    return Batch(
        torch.rand((2, 3, *size), generator=generator),
        unknown.clone() if depth is None else depth,
        unknown.clone() if disparity is None else disparity,
        torch.tensor([focal, focal]),
        torch.zeros((2, *size), dtype=torch.bool),
    )


def random_maps(seed=1, size=(4, 6), low=1.0, high=9.0):
    generator = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand((2, *size), generator=generator)


def prediction(depth, sky_logit=None, disparity=None):
    zero = torch.zeros_like(depth)
    logit = zero if sky_logit is None else sky_logit
    return NetworkOutput(depth, logit.sigmoid(), zero if disparity is None else disparity, logit)


def test_the_target_of_a_focal_scaled_model_is_that_of_a_camera_of_300_px():
    depth = torch.tensor([[[2.0, INF], [NAN, 0.0]], [[6.0, -1.0], [1e5, 4.0]]])
    target, mask = canonical_depth(TINY, depth, torch.tensor([600.0, 150.0]))
    assert mask.tolist() == [[[True, False], [False, False]], [[True, False], [True, True]]]
    assert target[mask].tolist() == [1.0, 12.0, 2e5, 8.0]


def test_there_is_no_canonical_target_without_a_focal_length():
    depth = torch.ones((3, 2, 2))
    _, mask = canonical_depth(TINY, depth, torch.tensor([NAN, 0.0, 300.0]))
    assert mask.flatten(1).any(1).tolist() == [False, False, True]


def test_the_target_of_a_bounded_model_is_metres_within_its_range():
    depth = torch.tensor([[[19.9, 20.0], [25.0, 3.0]]])
    target, mask = canonical_depth(INDOOR, depth, torch.tensor([NAN]))
    assert mask.tolist() == [[[True, False], [False, True]]]
    assert torch.equal(target[mask], depth[mask])


def test_metres_are_the_inverse_of_the_canonical_target():
    depth, focal = random_maps(), torch.tensor([120.0, 700.0])
    target, _ = canonical_depth(TINY, depth, focal)
    answer = read_answer(TINY, prediction(target))
    torch.testing.assert_close(metric_depth(TINY, answer, focal), depth)
    assert metric_depth(RELATIVE, read_answer(RELATIVE, prediction(target)), focal) is None


def test_disparity_is_1_over_depth_and_0_in_the_sky():
    depth = torch.full((2, 1, 4), NAN)
    depth[0, 0] = torch.tensor([2.0, INF, NAN, 0.0])
    disparity = torch.tensor([[[7.0, 7, 7, 7]], [[0.5, 0.0, NAN, 3.0]]])
    target, mask = disparity_target(batch_of(depth, disparity, size=(1, 4)))
    # A picture with depth does not take its pseudo-label, one without does.
    assert mask.tolist() == [[[True, True, False, False]], [[True, True, False, True]]]
    assert target[mask].tolist() == [0.5, 0.0, 0.5, 0.0, 3.0]


def test_what_the_output_of_a_model_means():
    values = torch.tensor([[[2.0, 1e-6]]])
    assert read_answer(find_card("test_relative"), values) == (None, values, None)
    metric = read_answer(INDOOR, values)
    assert metric.depth is values and metric.sky_logit is None
    assert metric.disparity.tolist() == [[[0.5, pytest.approx(1000.0)]]]
    output = prediction(values)
    assert read_answer(TINY, output) == (values, output.disparity, output.sky_logit)
    assert read_answer(RELATIVE, output).depth is None


def test_colours_are_normalised_as_the_card_says():
    image = torch.tensor(TINY.mean).view(1, 3, 1, 1).repeat(1, 1, 1, 2)
    image[..., 1] += torch.tensor(TINY.std).view(1, 3, 1)
    expected = torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2)
    torch.testing.assert_close(normalise(image, TINY), expected, atol=1e-6, rtol=0)


def test_metric_losses_compare_with_the_canonical_target():
    batch = batch_of(random_maps(), focal=150.0)
    wrong = read_answer(TINY, prediction(2 * batch.depth_m * math.e))
    terms = Objective(TINY, Losses(log_l1=1, log_gradient=1)).losses(wrong, batch)
    assert terms["log_l1"].item() == pytest.approx(1.0, rel=1e-5)
    assert terms["log_gradient"].item() == pytest.approx(0.0, abs=1e-5)
    exact = read_answer(TINY, prediction(2 * batch.depth_m))
    wanted = Losses(log_l1=1, log_gradient=1, scale_invariant_log=1)
    for value in Objective(TINY, wanted).losses(exact, batch).values():
        assert value.item() == pytest.approx(0.0, abs=1e-5)


def test_disparity_losses_do_not_see_scale_and_shift():
    batch = batch_of(random_maps())
    batch.depth_m[0, 0, 0] = INF
    disparity = 3 * batch.depth_m.reciprocal() + 2
    objective = Objective(RELATIVE, Losses(ssi=1, gradient=1))
    terms = objective.losses(BatchAnswer(None, disparity, torch.zeros_like(disparity)), batch)
    assert {name: pytest.approx(0.0, abs=1e-5) for name in ("ssi", "gradient")} == {
        name: value.item() for name, value in terms.items()
    }


def test_sky_is_learnt_where_it_is_known():
    depth = torch.full((2, 4, 6), NAN)
    depth[0], depth[0, 1] = 5.0, INF
    logit = torch.full((2, 4, 6), -2.0)
    logit[0, 1] = 3.0
    objective = Objective(TINY, Losses(sky=1))
    terms = objective.losses(read_answer(TINY, prediction(depth, logit)), batch_of(depth))
    # Of the 24 known pixels 6 are sky: log(1 + exp(-3)) each; the others log(1 + exp(-2)).
    expected = (6 * math.log1p(math.exp(-3)) + 18 * math.log1p(math.exp(-2))) / 24
    assert terms["sky"].item() == pytest.approx(expected, rel=1e-5)
    nothing = objective.losses(read_answer(TINY, prediction(depth, logit)), batch_of())
    assert nothing["sky"].item() == 0


def test_each_region_of_cutmix_is_aligned_by_itself():
    """Two teachers' scales in one picture are no error, where the loss knows of the box."""
    disparity = random_maps(size=(8, 10), low=0.1, high=1.0)
    batch = batch_of(disparity=disparity.clone(), size=(8, 10))
    batch.region[0, 2:6, 3:8] = True
    batch.disparity[batch.region] = 5 * batch.disparity[batch.region] + 9
    answer = BatchAnswer(None, disparity, None)
    aware = Objective(RELATIVE, Losses(ssi=1), regions=True).losses(answer, batch)
    unaware = Objective(RELATIVE, Losses(ssi=1)).losses(answer, batch)
    assert aware["ssi"].item() == pytest.approx(0.0, abs=1e-5)
    assert unaware["ssi"].item() > 0.1


def test_the_largest_errors_are_left_out_if_wanted():
    batch = batch_of(disparity=random_maps(size=(10, 10)), size=(10, 10))
    answer = BatchAnswer(None, batch.disparity + torch.randn(batch.disparity.shape) * 0.3, None)
    terms = Objective(RELATIVE, Losses(ssi=1, gradient=1, discard=0.1)).losses(answer, batch)
    ssi, gradient = losses.affine_invariant_terms(
        answer.disparity, batch.disparity, batch.disparity.isfinite(), discard=0.1
    )
    assert terms["ssi"] == ssi and terms["gradient"] == gradient
    assert terms["ssi"] < Objective(RELATIVE, Losses(ssi=1)).losses(answer, batch)["ssi"]


def test_only_what_has_a_weight_is_computed_and_summed():
    batch = batch_of(random_maps(size=(28, 42)), size=(28, 42))
    objective = Objective(INDOOR, Losses(log_l1=2, ssi=0.5))
    assert objective.names == ("log_l1", "ssi")
    terms = objective(untrained_network(INDOOR), batch, torch.float32)
    assert set(terms) == {"log_l1", "ssi"}
    expected = 2 * terms["log_l1"] + 0.5 * terms["ssi"]
    torch.testing.assert_close(objective.total(terms), expected)
    gradient = Objective(INDOOR, Losses(gradient=1)).losses(
        read_answer(INDOOR, random_maps(size=(28, 42))), batch
    )
    assert set(gradient) == {"gradient"}


def test_features_are_compared_with_the_frozen_teacher():
    batch = batch_of(random_maps(size=(28, 42)), size=(28, 42))
    network, teacher = untrained_network(INDOOR, 0), random_network(INDOOR, 1)
    encoder = teacher.get_submodule("encoder").requires_grad_(False)
    objective = Objective(INDOOR, Losses(feature_alignment=1), teacher=encoder)
    objective.watch(network)
    terms = objective(network, batch, torch.float32)
    image = normalise(batch.image, INDOOR)
    expected = losses.feature_alignment_loss(network.encoder(image)[-1], encoder(image)[-1])
    torch.testing.assert_close(terms["feature_alignment"], expected)
    objective.total(terms).backward()
    gradients = [p.grad for p in network.encoder.parameters()]
    assert any(g is not None and g.abs().max() > 0 for g in gradients)
    same = Objective(INDOOR, Losses(feature_alignment=1), teacher=network.encoder)
    same.watch(network)
    assert same(network, batch, torch.float32)["feature_alignment"].item() == 0


@pytest.mark.parametrize(
    ("model", "name", "message"),
    [
        ("tiny_relative", "log_l1", "losses.log_l1 is for metric depth, and tiny_relative is rel"),
        ("test_relative", "scale_invariant_log", r"use losses\.ssi and losses\.gradient"),
        ("test_relative", "log_gradient", r"losses\.log_gradient is for metric"),
        ("test_metric", "sky", r"losses\.sky: test_metric does not answer where the sky is"),
    ],
)
def test_a_loss_that_does_not_fit_the_model_is_refused(model, name, message):
    with pytest.raises(RecipeError, match=message):
        Objective(find_card(model), Losses(**{name: 1.0}))
