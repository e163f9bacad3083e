import csv
import os
import signal
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from lesson import picture, write_lesson, write_sample
from safetensors import safe_open

from depth_anything_ros.core.errors import RecipeError, TrainingError
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.weights.provenance import MODEL_KEY
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training.batches import Batches
from depth_anything_ros.training.processes import Processes
from depth_anything_ros.training.recipe import (
    Losses,
    Optimiser,
    Recipe,
    Source,
    Validation,
    load_recipe,
)
from depth_anything_ros.training.trainer import MOST_BAD_STEPS, TrainingProgress, train


def recipe_of(pictures, output, **changes):
    """Return a recipe that takes a second or two."""
    settings = {
        "model": "test_metric",
        "output": str(output),
        "device": "cpu",
        "steps": 12,
        "batch_size": 3,
        "sizes": ((56, 42, 1),),
        "sources": (Source("folder", path=str(pictures), augment="none"),),
        "optimiser": Optimiser(lr=2e-3, warmup_steps=5, weight_decay=0.01),
        "losses": Losses(log_l1=1),
        "validate": Validation(every=0),
        "ema_decay": 0.9,
        "precision": "fp32",
        "log_every": 4,
        "panel_every": 0,
        "tensorboard": "never",
        "workers": 1,
    }
    return Recipe(**(settings | changes))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return write_lesson(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory):
    """A run of 150 steps over six pictures, with all that it writes."""
    recipe = recipe_of(
        pictures,
        tmp_path_factory.mktemp("finished"),
        steps=150,
        log_every=10,
        panel_every=100,
        validate=Validation(every=100, path=str(pictures), width=56, height=42),
    )
    said = []
    return recipe, train(recipe, say=said.append), said


def table(folder, name="log.csv"):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def weights_of(folder):
    with safe_open(folder / "weights.safetensors", "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def state_of(folder):
    return torch.load(folder / "state.pt", weights_only=True)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def test_a_small_folder_is_learnt_by_heart(finished):
    _, result, _ = finished
    assert result.is_finished and result.pictures == 450
    assert result.last_loss < 0.3 * result.first_loss
    assert result.scores["abs_rel"] < 0.15 and result.scores["delta1"] > 0.85


def test_the_log_has_a_row_a_report(finished):
    _recipe, result, said = finished
    rows = table(result.output)
    assert [int(row["step"]) for row in rows] == list(range(10, 151, 10))
    assert [int(row["pictures"]) for row in rows] == list(range(30, 451, 30))
    assert float(rows[0]["loss"]) == pytest.approx(result.first_loss, rel=1e-5)
    assert float(rows[-1]["loss"]) == pytest.approx(result.last_loss, rel=1e-5)
    assert all(row["loss"] == row["log_l1"] and row["skipped"] == "0" for row in rows)
    assert float(rows[0]["lr"]) < 2e-3 and float(rows[-1]["lr"]) == pytest.approx(2e-5)
    hours = [float(row["hours"]) for row in rows]
    assert sorted(hours) == hours and 0 < hours[0] < hours[-1] <= result.hours
    assert [int(row["step"]) for row in table(result.output, "validation.csv")] == [100, 150]
    assert f"0.26 M parameters on cpu x 1, torch.float32; {result.output}" in said[0]
    assert said[1].startswith("step 10/150  loss ") and said[-1].startswith("finished: 450 pict")


def test_the_weights_say_what_they_are_and_their_recipe_lies_beside_them(finished):
    recipe, result, _ = finished
    assert load_recipe(result.output / "recipe.yaml") == recipe
    with safe_open(result.output / "weights.safetensors", "pt") as file:
        facts = file.metadata()
    assert facts[MODEL_KEY] == "test_metric" and facts["recipe"] == recipe.to_yaml()
    assert facts["steps"] == "150 of 150" and facts["pictures"] == "450"
    assert facts["device"] == "1 x cpu" and 0 < float(facts["hours"]) < 1


def test_the_weights_are_the_average_and_work_in_the_estimator(finished):
    _, result, _ = finished
    weights, state = weights_of(result.output), state_of(result.output)
    assert all(torch.equal(weights[n], v.half()) for n, v in state["average"].items())
    assert not same(state["average"], {n: state["network"][n] for n in state["average"]})
    path = str(result.output / "weights.safetensors")
    estimator = DepthEstimator("test_metric", path, "cpu", "fp32", input_size=42)
    rgb, depth = picture(0)
    found = estimator.infer(rgb).depth_m
    assert np.mean(np.abs(found - depth) / depth) < 0.2


def test_panels_show_the_pictures(finished):
    _, result, _ = finished
    paths = sorted((result.output / "panels").iterdir())
    assert [path.name for path in paths] == ["step_0000100.png", "step_0000150.png"]
    drawn = cv2.imread(str(paths[1])).astype(int)
    assert drawn.shape == (4 * 46, 3 * 56, 3)  # four rows of three, with a gap below
    prediction, truth = drawn[:42, 56:112], drawn[:42, 112:]
    mirrored = np.abs(prediction[:, ::-1] - truth).mean()
    assert np.abs(prediction - truth).mean() < min(40, mirrored / 1.5)


def test_a_finished_run_stays_as_it_is(finished):
    recipe, result, _ = finished
    before, log = weights_of(result.output), table(result.output)
    said = []
    again = train(recipe, say=said.append)
    assert same(weights_of(result.output), before) and table(result.output) == log
    assert again.is_finished and again.last_loss == pytest.approx(result.last_loss)
    assert again.first_loss == result.first_loss and again.scores == result.scores
    assert "from step 150" in said[0] and said[-1].startswith("finished: 450 pictures")


def test_a_run_stopped_at_each_step_ends_as_an_unbroken_one(pictures, tmp_path):
    unbroken = train(recipe_of(pictures, tmp_path / "one", steps=8), say=str)
    said = []
    recipe = recipe_of(pictures, tmp_path / "two", steps=8)
    for step in range(1, 9):
        result = train(recipe, minutes=0, say=said.append)
        assert result.step == step and result.pictures == 3 * step
        if step < 8:
            assert f"stopped at step {step} of 8, saved in {tmp_path / 'two'}; run" in said[-1]
    one, two = state_of(tmp_path / "one"), state_of(tmp_path / "two")
    assert same(one["network"], two["network"]) and same(one["average"], two["average"])
    rows = table(tmp_path / "two")
    assert [int(row["step"]) for row in rows] == list(range(1, 9))
    losses = [float(row["loss"]) for row in rows]
    assert np.mean(losses[4:]) == pytest.approx(unbroken.last_loss, rel=1e-4)
    assert result.first_loss == pytest.approx(losses[0], rel=1e-5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_step_and_saves(pictures, tmp_path, number):
    before, said = signal.getsignal(number), []

    def say(line):
        said.append(line)
        if line.startswith("step 4/"):
            os.kill(os.getpid(), number)

    result = train(recipe_of(pictures, tmp_path, checkpoint_minutes=60), say=say)
    assert result.step == 4 and not result.is_finished and signal.getsignal(number) is before
    assert said[-1] == (
        f"stopped at step 4 of 12, saved in {tmp_path}; run the same command again to go on"
    )
    assert state_of(tmp_path)["step"] == 4
    assert train(recipe_of(pictures, tmp_path), say=str).step == 12


def test_another_recipe_does_not_go_on_in_the_same_folder(pictures, tmp_path):
    recipe = recipe_of(pictures, tmp_path, steps=4)
    train(recipe, minutes=0, say=str)
    other = replace(recipe, steps=5)
    with pytest.raises(TrainingError, match=r"another recipe: steps was 4 and is 5;.*--restart"):
        train(other, say=str)
    assert train(replace(recipe, log_every=2), minutes=0, say=str).step == 2  # changes nothing
    restarted = train(other, restart=True, minutes=0, say=str)
    assert (restarted.step, restarted.steps) == (1, 5)
    assert load_recipe(tmp_path / "recipe.yaml") == other and len(table(tmp_path)) == 1


def test_other_processes_do_not_go_on_with_a_run(pictures, tmp_path):
    recipe = recipe_of(pictures, tmp_path, steps=4)
    train(recipe, minutes=0, say=str)
    state = state_of(tmp_path)
    torch.save(state | {"passes": 2}, tmp_path / "state.pt")
    with pytest.raises(TrainingError, match="with 2 passes a step, and 1 processes with accumul"):
        train(recipe, say=str)


def test_a_damaged_state_says_how_to_begin_anew(pictures, tmp_path):
    recipe = recipe_of(pictures, tmp_path, steps=2)
    train(recipe, minutes=0, say=str)
    (tmp_path / "state.pt").write_bytes(b"")
    with pytest.raises(TrainingError, match=r"state\.pt .*begin anew with --restart"):
        train(recipe, say=str)
    assert train(recipe, restart=True, say=str).is_finished


def damaged(folder, bad):
    """Write eight pseudo-labels, of which some are so large that their spread is infinite."""
    folder.mkdir()
    for number in range(8):
        rgb, depth = picture(number)
        disparity = 1 / depth
        if number in bad:
            disparity[:28], disparity[28:] = 1e38, -3e38
        write_sample(folder, f"p{number}", rgb, disparity=disparity)
    return folder


def test_a_step_whose_gradient_is_no_number_is_skipped_and_counted(tmp_path):
    recipe = recipe_of(
        damaged(tmp_path / "labels", {3}),
        tmp_path / "run",
        losses=Losses(ssi=1),
        batch_size=1,
        steps=24,
        log_every=8,
    )
    batches = Batches(recipe, Processes(0, 1, torch.device("cpu")), 14)
    with batches.start(0) as steps:
        drawn = [bool((next(steps)[0].disparity > 1e30).any()) for _ in range(24)]
    assert 0 < sum(drawn) < 12 and not all(drawn[16:])
    said = []
    result = train(recipe, say=said.append)
    rows = table(result.output)
    assert [int(row["skipped"]) for row in rows] == [sum(drawn[:n]) for n in (8, 16, 24)]
    assert all(0 < float(row["loss"]) < 2 for row in rows)
    assert all(values.isfinite().all() for values in weights_of(result.output).values())
    assert any(f"  {sum(drawn[:8])} steps skipped" in line for line in said) == bool(sum(drawn[:8]))


def test_many_such_steps_end_the_run(tmp_path):
    recipe = recipe_of(
        damaged(tmp_path / "labels", set(range(8))),
        tmp_path / "run",
        model="test_relative",
        losses=Losses(ssi=1),
        batch_size=1,
        steps=100,
        log_every=5,
    )
    with pytest.raises(TrainingError, match="no number in 50 steps in a row") as caught:
        train(recipe, say=str)
    assert caught.value.reason == "not_finite" and "lower optimiser.lr" in str(caught.value)
    assert [int(row["step"]) for row in table(tmp_path / "run")] == list(
        range(5, MOST_BAD_STEPS, 5)
    )


def test_passes_that_are_accumulated_count_as_one_batch(pictures, tmp_path):
    """Two passes of three are not one of six, but their gradients' mean is one step."""
    recipe = recipe_of(pictures, tmp_path, steps=2, accumulate=2)
    result = train(recipe, say=str)
    assert result.pictures == 12 and result.is_finished


def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(pictures, tmp_path):
    output = tmp_path / "run"
    with pytest.raises(RecipeError, match=r"losses\.sky: test_metric does not answer"):
        train(recipe_of(pictures, output, losses=Losses(sky=1)), say=str)
    with pytest.raises(RecipeError, match="sizes has 50x42"):
        train(recipe_of(pictures, output, sizes=((50, 42, 1),)), say=str)
    assert not output.exists()


def test_bfloat16_learns_as_well(pictures, tmp_path):
    recipe = recipe_of(pictures, tmp_path, steps=30, log_every=5, precision="bf16")
    said = []
    result = train(recipe, say=said.append)
    assert "torch.bfloat16" in said[0] and result.last_loss < 0.9 * result.first_loss
    assert {v.dtype for v in state_of(tmp_path)["network"].values()} == {torch.float32}
    assert find_card("test_metric").max_depth_m == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [("step", "\x1b[31m"), ("step", -5), ("pictures", None), ("seconds", "x"), ("step", 10**30)],
)
def test_how_far_a_state_is_must_be_a_number(name, value):
    state = {"step": 1, "pictures": 2, "skipped": 0, "seconds": 1.5, "first_loss": 0.1}
    assert TrainingProgress.of_state({**state, "scores": {"abs_rel": 0.5}}).step == 1
    with pytest.raises(ValueError, match=name) as caught:
        TrainingProgress.of_state({**state, "scores": {}, name: value})
    assert str(caught.value).isprintable()
