from pathlib import Path

import pytest
import yaml

from depth_anything_ros.core.errors import RecipeError
from depth_anything_ros.models.networks.build import untrained_network
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training.objective import Objective
from depth_anything_ros.training.optimiser import freeze
from depth_anything_ros.training.recipe import (
    RECIPE_FOLDER,
    Losses,
    Recipe,
    Source,
    differences,
    find_recipe,
    from_mapping,
    load_recipe,
)

SMALLEST = {"sources": [{"kind": "world"}], "losses": {"log_l1": 1}}
BUNDLED = sorted(RECIPE_FOLDER.glob("*.yaml"))


def written(folder: Path, **values: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(SMALLEST | values))
    return path


def test_what_a_file_leaves_out_has_its_default(tmp_path):
    path = tmp_path / "night_run.yaml"
    path.write_text("sources:\n- path: a\n  kind: folder\nlosses: {ssi: 0.5}\nlog_every: 7\n")
    expected = Recipe(
        sources=(Source("folder", path="a"),),
        losses=Losses(ssi=0.5),
        log_every=7,
        output="out/train/night_run",
    )
    assert load_recipe(path) == expected
    assert expected.losses.weights()["ssi"] == 0.5 and "discard" not in expected.losses.weights()


def test_yaml_round_trip(tmp_path):
    path = written(
        tmp_path,
        sizes=[[112, 84, 3], [84, 112, 1, 0]],
        optimiser={"betas": [0.8, 0.95], "lr": "1e-4"},
        sources=[{"cache": "a b: c"}, {"kind": "pseudo", "path": "é", "augment": "strong"}],
        init=None,
    )
    recipe = load_recipe(path, output=tmp_path / "run", device="cpu")
    assert recipe.optimiser.lr == 1e-4 and recipe.optimiser.betas == (0.8, 0.95)
    assert recipe.sizes == ((112, 84, 3), (84, 112, 1, 0)) and recipe.init == ""
    path.write_text(recipe.to_yaml(), encoding="utf-8")
    assert load_recipe(path) == recipe


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.stem)
def test_the_recipes_of_the_package_can_be_read(path):
    recipe = load_recipe(path)
    assert recipe == from_mapping(yaml.safe_load(recipe.to_yaml()), "again")
    card = find_card(recipe.model)
    assert Objective(card, recipe.losses).names
    assert all(w % card.multiple == h % card.multiple == 0 for w, h, *_ in recipe.sizes)
    freeze(untrained_network(card), recipe.optimiser)  # what it names is there


def test_there_are_recipes_in_the_package():
    names = {path.stem for path in BUNDLED}
    assert names >= {"tiny", "smoke", "student", "finetune_metric"}


def test_a_recipe_is_found_by_path_package_path_and_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundled = RECIPE_FOLDER / "smoke.yaml"
    assert find_recipe("smoke") == find_recipe("recipes/smoke.yaml") == bundled
    own = tmp_path / "recipes" / "smoke.yaml"  # the user's own goes first
    own.parent.mkdir()
    own.write_text("")
    assert find_recipe("recipes/smoke.yaml").resolve() == own
    assert find_recipe(str(own)) == own and find_recipe("smoke") == bundled
    with pytest.raises(RecipeError, match=r"no recipe 'smokee' \(did you mean smoke\?\).*tiny"):
        find_recipe("smokee")


def test_overrides(tmp_path):
    path = written(tmp_path, sources=[{"count": 5}, {"count": 6}], sizes=[[28, 28, 1]])
    overrides = ["sources.1.count=9", "optimiser.lr=1e-4", "sizes.0.2=4", "model=tiny_relative"]
    overrides += ["losses={ssi: 2}", "steps=7", "steps=8", "init="]
    recipe = load_recipe(path, overrides)
    assert [source.count for source in recipe.sources] == [5, 9]
    assert recipe.optimiser.lr == 1e-4 and recipe.sizes == ((28, 28, 4),)
    assert recipe.model == "tiny_relative" and recipe.losses == Losses(ssi=2.0)
    assert recipe.steps == 8 and recipe.init == ""


def test_output_and_device_come_from_the_command_before_the_recipe(tmp_path):
    path = written(tmp_path, output="there", device="cpu")
    assert (load_recipe(path).output, load_recipe(path).device) == ("there", "cpu")
    recipe = load_recipe(path, output=Path("here"), device="auto")
    assert (recipe.output, recipe.device) == ("here", "auto")


# Of a file: its values, and what the error must say.
WRONG = [
    ({"stepz": 3}, r"unknown key stepz \(did you mean steps\?\); known: model, init"),
    ({"optimiser": {"lrr": 1}}, r"unknown key optimiser\.lrr \(did you mean lr\?\)"),
    ({"sources": [{}, {"cout": 1}]}, r"unknown key sources\.1\.cout \(did you mean count"),
    ({7: 1}, "unknown key 7; known"),
    ({"steps": "many"}, "steps must be of type int, got 'many'"),
    ({"steps": True}, "steps must be of type int, got True"),
    ({"compile": 1}, "compile must be of type bool, got 1"),
    ({"model": 3}, "model must be of type str, got 3"),
    ({"ema_decay": "x"}, "ema_decay must be of type float, got 'x'"),
    ({"ema_decay": float("nan")}, "ema_decay must be of type float, got nan"),
    ({"steps": 0}, "steps is 0; it must be from 1 to inf"),
    ({"ema_decay": 1.5}, "ema_decay is 1.5; it must be from 0 to 1"),
    ({"losses": {"discard": 0.95}}, r"losses\.discard is 0.95; it must be from 0 to 0.9"),
    ({"precision": "bf61"}, r"precision is 'bf61' \(did you mean bf16\?\); .*auto, bf16, fp32"),
    ({"sources": [{"kind": "fodler"}]}, r"sources\.0\.kind is 'fodler' \(did you mean folder"),
    ({"sources": {}}, "sources must be a list, got {}"),
    ({"sources": [3]}, r"sources\.0 must be keys and values, got 3"),
    ({"optimiser": None}, "optimiser must be keys and values, got None"),
    ({"optimiser": {"betas": [0.9, 1.5]}}, r"optimiser\.betas\.1 is 1.5"),
    ({"optimiser": {"betas": [0.9]}}, r"optimiser\.betas must be two numbers below 1"),
    ({"optimiser": {"betas": [0.9, 1]}}, r"optimiser\.betas must be two numbers below 1"),
    ({"sizes": []}, r"sizes must be a list of \[width, height, share\]"),
    ({"sizes": [[28, 28]]}, r"sizes must be a list of \[width, height, share\]"),
    ({"sizes": [[28, 0, 1]]}, r"sizes must be a list of \[width, height, share\]"),
    ({"sizes": [[28, -28, 1]]}, r"sizes\.0\.1 is -28; it must be from 0"),
    ({"sizes": [28, 28, 1]}, r"sizes\.0 must be a list, got 28"),
    ({"sources": []}, "sources is empty"),
    ({"sources": [{"weight": 0}]}, "every source has weight 0"),
    ({"sources": [{}, {"kind": "pseudo"}]}, r"sources\.1 is a pseudo and needs a path"),
    ({"losses": {}}, r"every loss has weight 0; set for example losses\.log_l1"),
    ({"encoder_init": "imagnet"}, r"'imagnet' \(did you mean imagenet\?\); it must be one of"),
    ({"encoder_init": "imagenet", "init": "bundled"}, "init 'bundled' has the weights of the enc"),
    ({"losses": {"feature_alignment": 1}}, r"feature_alignment needs teacher\.model"),
]


@pytest.mark.parametrize(("values", "message"), WRONG)
def test_an_error_names_the_file_and_the_key(tmp_path, values, message):
    path = written(tmp_path, **{str(k): v for k, v in values.items() if k != 7})
    if 7 in values:
        path.write_text(path.read_text() + "7: 1\n")
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe(path, ["log_every=3"])
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "which is not YAML: while parsing"),
        ("- 1", "the recipe must be keys and values, got \\[1\\]"),
        ("", "sources is empty"),
        ("a: é", "which is not YAML: .*codec"),
        ("a: " + "[" * 9999, "which is not YAML: it is nested too deeply"),
        ("a: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        ("a: 2001-99-99", "which is not YAML: month must be in 1..12"),
        ("steps: " + "9" * 40, "steps is 9{40}; it must be from 1 to 9.0072e.15"),
        ("steps: 0x" + "f" * 149, "steps is a number of 596 bits; it must be from 1 to"),
        ("steps: .inf", "steps must be of type int, got inf"),
        ("ema_decay: 0x" + "f" * 149, "ema_decay must be of type float, got a number of 596 bits"),
        ("model: [&a [x, x], &b [*a, *a], &c [*b, *b], [*c, *c]]", "model must be of type str"),
        ("? [1]\n: 2", "which is not YAML"),
        ('"\\e[31m": 1', r"unknown key \\x1b\[31m"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(RecipeError, match=f"broken.yaml.*{message}") as caught:
        load_recipe(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 900
    with pytest.raises(RecipeError, match=r"cannot read recipe .*absent\.yaml: No such file"):
        load_recipe(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps", "'steps' is not key=value"),
        ("=3", "'=3' is not key=value"),
        ("steps=[", r"'\[' is not a YAML value"),
        ("steps.a=1", "'steps.a=1': steps is 3, which has no keys"),
        ("sources.1.count=1", "'1' must be 0 to 0, the place in a list"),
        ("sources.first.count=1", "'first' must be 0 to 0"),
        ("sources.0.cuont=1", r"--set sources.0.cuont=1: unknown key sources\.0\.cuont .*count"),
        ("optimizer.lr=1", r"unknown key optimizer \(did you mean optimiser "),
        ("steps=0", r"mine.yaml with --set steps=0: steps is 0"),
    ],
)
def test_an_error_names_the_override(tmp_path, override, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(written(tmp_path, steps=3), [override])


def test_only_settings_that_change_the_result_are_differences(tmp_path):
    path = written(tmp_path, sources=[{"count": 5}])
    recipe = load_recipe(path)
    free = ["log_every=3", "workers=9", "validate.views=3", "checkpoint_minutes=1", "threads=2"]
    assert differences(recipe, load_recipe(path, free, Path("elsewhere"), "cpu")) == []
    other = load_recipe(path, ["sources.0.count=6", "optimiser.lr=0.5", "seed=3"])
    assert differences(recipe, other) == [
        "seed was 0 and is 3",
        "sources.0.count was 5 and is 6",
        "optimiser.lr was 0.001 and is 0.5",
    ]
    more = load_recipe(path, ["sources=[{count: 5}, {first_seed: 9}]"])
    assert "sources.1.first_seed was None and is 9" in differences(recipe, more)
