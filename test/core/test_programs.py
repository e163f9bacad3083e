"""How messages say that this package's command is called."""

import os
import re
import sys

import pytest

from depth_anything_ros.core.programs import how_to_run


@pytest.fixture
def elsewhere(monkeypatch, tmp_path):
    """A machine where neither PATH nor the folder of Python has the command."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "my python" / "python3"))
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    return tmp_path


def program(folder, name):
    folder.mkdir(exist_ok=True)
    (folder / name).touch(0o755)


def test_on_the_path(elsewhere):
    program(elsewhere, "depth_anything")
    assert how_to_run("depth_anything", "models") == "depth_anything models"


def test_beside_python(elsewhere):
    program(elsewhere / "my python", "hf")
    assert how_to_run("hf", "download a/b") == f"'{elsewhere}/my python/hf' download a/b"


def test_in_ros(elsewhere, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    found = how_to_run("depth_anything", "weights fetch tiny")
    assert found == "ros2 run depth_anything_ros depth_anything weights fetch tiny"


def test_where_there_is_nothing(elsewhere):
    assert how_to_run("depth_anything", "models") == "python3 -m depth_anything_ros models"
    assert how_to_run("hf", "download a/b") == "hf download a/b"


def test_documents_say_how_it_is_called_with_ros(repository):
    """Each page that shows commands says it once."""
    pages = [repository / "README.md", repository / "benchmark/README.md"]
    pages += (repository / "doc").glob("*.md")
    showing = {p for p in pages if re.search(r"(^ +|`)depth_anything [a-z]", p.read_text(), re.M)}
    assert len(showing) >= 5
    silent = [
        os.fspath(p)
        for p in showing
        if "`ros2 run depth_anything_ros depth_anything`" not in p.read_text()
    ]
    assert not silent
