"""Rows of another package: one that is really installed, and entry points of all kinds."""

import dataclasses
import json
import logging
import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from depth_anything_ros.models.zoo import CARDS, find_card
from depth_anything_ros.models.zoo import plugins as module
from depth_anything_ros.models.zoo.families import FAMILIES, Family
from depth_anything_ros.models.zoo.plugins import plugin_rows

CARD = find_card("test_relative")

ROWS = '''
"""A package of somebody else: a row of a known family, and one of a new family."""

from dataclasses import replace

from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import Family
from depth_anything_ros.models.zoo import find_card


def families():
    network = "their_depth.network:Flat"
    return [Family("flat", "Flat", network, "their_depth.network:layout", "plane.*")]


def rows() -> list[ModelCard]:
    mine = replace(find_card("test_relative"), name="their_garden", licence="MIT")
    return [
        mine,
        replace(mine, name="their_plane", family="flat", kind="metric", output="exp"),
        replace(mine, name="tiny"),  # taken
    ]
'''
NETWORK = """
import torch
from torch import nn

class Flat(nn.Module):
    def __init__(self, card):
        super().__init__()
        self.plane = nn.Conv2d(3, 1, 1)

    def forward(self, image):
        return self.plane(image)[:, 0].exp()

def layout(state):
    return dict(state) if any(name.startswith("plane.") for name in state) else None
"""
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "their-depth"
version = "1.0"

[project.entry-points."depth_anything_ros.models"]
broken = "their_depth.nowhere"
theirs = "their_depth.rows"

[tool.setuptools]
packages = ["their_depth"]
"""
SCRIPT = """
import their_depth.rows  # before this package, which asks it for rows
import contextlib, io, json, sys
from pathlib import Path
import numpy as np, torch
from depth_anything_ros.models import DepthEstimator
from depth_anything_ros.models.weights.identify import identify
from depth_anything_ros.tools.command import main

table = io.StringIO()
with contextlib.redirect_stdout(table):
    status = main(["models", "--json"])
picture = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
random = DepthEstimator("their_garden", "random", "cpu", "fp32", 56)
path = sys.argv[1]
torch.save(random.network.state_dict(), path)
loaded = DepthEstimator("their_garden", path, "cpu", "fp32", 56)
same = np.array_equal(random.infer(picture).disparity, loaded.infer(picture).disparity)
plane = DepthEstimator("their_plane", "random", "cpu", "fp32", 56)
torch.save({"plane." + n: v for n, v in plane.network.plane.state_dict().items()}, path)
DepthEstimator("their_plane", path, "cpu", "fp32", 56)
shape = plane.infer(picture).depth_m.shape
fitting = identify(Path(path)).cards
print(json.dumps([status, json.loads(table.getvalue()), bool(same), shape, fitting]))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder of packages into which theirs is installed with pip."""
    folder = tmp_path_factory.mktemp("theirs")
    package = folder / "source" / "their_depth"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "rows.py").write_text(ROWS)
    (package / "network.py").write_text(NETWORK)
    (folder / "source" / "pyproject.toml").write_text(PROJECT)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, folder / "site", folder / "source"],
        check=True,
        timeout=300,
    )
    return folder / "site"


@pytest.mark.slow
def test_an_installed_package_adds_rows_that_are_listed_run_and_load(site, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "theirs.pth"],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr

    status, table, same, shape, fitting = json.loads(result.stdout)
    rows = {row["name"]: row for row in table}
    assert status == 0
    assert (rows["their_garden"]["gives"], rows["their_garden"]["licence"]) == ("disparity", "MIT")
    assert (rows["their_plane"]["family"], rows["their_plane"]["parameters"]) == ("Flat", 4)
    assert list(rows)[-2:] == ["their_garden", "their_plane"]
    assert rows["tiny"]["licence"] == "Apache-2.0"
    assert same and shape == [48, 64] and fitting == ["their_plane"]
    assert result.stderr.count("their-depth gives no models: ModuleNotFoundError") == 1
    assert "gives the model 'tiny', a name that is taken; it is left out" in result.stderr


# Entry points of all kinds, in this process


class _Module:
    """What an entry point may name: an object with rows(), and families()."""

    def __init__(self, rows, families=()):
        self._rows, self._families = rows, families

    def rows(self):
        return self._rows

    def families(self):
        return self._families


MINE = dataclasses.replace(CARD, name="mine")
FLAT = Family("test_flat", "Flat", "nowhere:Flat", "nowhere:layout", "plane.*")


class Named:
    """What the entry points of these tests name."""

    module = _Module([MINE])
    with_family = _Module([dataclasses.replace(MINE, family="test_flat")], [FLAT])
    family_taken = _Module([MINE], [dataclasses.replace(FLAT, name="depth_anything_v2")])
    not_callable = (MINE,)

    def function():
        return [MINE]

    def raises():
        raise RuntimeError("no GPU here")

    def other_type():
        return ["mine"]

    def no_family():
        return [dataclasses.replace(MINE, family="test_unknown")]

    def taken():
        return [CARD]

    def random():
        return [dataclasses.replace(MINE, name="random")]

    def path():
        return [dataclasses.replace(MINE, name="hf:org/mine")]

    def twice():
        return [MINE, MINE]


@pytest.fixture
def ask(monkeypatch, caplog):
    """Ask an entry point; its rows' names and what was warned of."""
    families = dict(FAMILIES)

    def asked(name):
        entry = EntryPoint(name, f"{__name__}:Named.{name}", module.GROUP)
        monkeypatch.setattr(module, "entry_points", lambda group: [entry])
        with caplog.at_level(logging.WARNING):
            cards = plugin_rows(set(CARDS))
        return [card.name for card in cards], [r.getMessage() for r in caplog.records]

    yield asked
    FAMILIES.clear()
    FAMILIES.update(families)


@pytest.mark.parametrize("name", ["function", "module", "with_family"])
def test_an_entry_point_names_a_function_or_a_module(name, ask):
    assert ask(name) == (["mine"], [])
    assert ("test_flat" in FAMILIES) == (name == "with_family")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("raises", "gives no models: RuntimeError: no GPU here"),
        ("not_callable", "gives no models: TypeError"),
        ("other_type", "gives no models: TypeError: expected ModelCard, came str"),
        ("no_family", "'mine', which cannot be built: mine is of the family 'test_unknown'"),
        ("taken", "gives the model 'test_relative', a name that is taken; it is left out"),
        ("random", "gives the model 'random', a name that is taken"),
        ("path", "'hf:org/mine', a name with other signs than letters"),
    ],
)
def test_what_cannot_be_used_costs_a_warning_that_names_the_entry_point(name, words, ask):
    cards, said = ask(name)

    assert cards == []
    assert len(said) == 1
    assert f"the entry point {name} of the package " in said[0]
    assert words in said[0]


def test_the_first_of_two_rows_with_one_name_is_kept(ask):
    cards, said = ask("twice")

    assert cards == ["mine"] and "a name that is taken" in said[0]


def test_a_family_of_this_package_cannot_be_replaced(ask):
    before = FAMILIES["depth_anything_v2"]

    cards, said = ask("family_taken")

    assert cards == ["mine"] and FAMILIES["depth_anything_v2"] is before
    assert "gives the family 'depth_anything_v2', which there is already" in said[0]
