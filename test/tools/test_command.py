"""What every verb does with a path or a disk that it cannot use: one line, status 2."""

import sys

import pytest

from depth_anything_ros.tools import models
from depth_anything_ros.tools.command import main

UNKNOWN = "~nosuchuser/file"
LONG = "a" * 5000
VERBS = {
    "check": ("weights", "check"),
    "convert": ("weights", "convert", "a.pth"),
    "fetch": ("weights", "fetch", "tiny", "--output"),
    "export": ("export", "tiny", "--output"),
    "recipe": ("train", "--recipe"),
    "output": ("train", "--recipe", "smoke", "--output"),
    "render-world": ("render-world", "--count", "1", "--output"),
    "evaluate": ("evaluate", "--data"),
    "picture": ("demo", "--image"),
    "calibration": ("demo", "--calibration"),
    "demo": ("demo", "--output"),
    "view": ("view", "--save"),
}


@pytest.mark.parametrize("name", VERBS)
def test_a_path_that_no_file_can_have(name, command):
    said = command.refuses(*VERBS[name], UNKNOWN)
    assert f"{UNKNOWN} is no path: Could not determine" in said
    said = command.refuses(*VERBS[name], LONG)
    assert "aaa… (5000 characters) is no path: File name too long" in said and len(said) < 600


def test_what_the_system_says_of_a_file_names_it(tmp_path, command, monkeypatch):
    def on_a_broken_disk(_options):
        (tmp_path / "absent").read_bytes()

    monkeypatch.setattr(models, "run", on_a_broken_disk)
    assert f"{tmp_path / 'absent'}: No such file or directory" in command.refuses("models")


def test_a_reader_that_has_seen_enough_is_no_error(capsys, monkeypatch):
    def into_head(_options):
        raise BrokenPipeError

    monkeypatch.setattr(models, "run", into_head)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    assert main(["models"]) == 141
    assert capsys.readouterr().err == ""
