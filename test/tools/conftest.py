"""The command ``depth_anything`` in the process of the tests."""

import pytest
from predicted import SMALL

from depth_anything_ros.tools.command import main


class Command:
    def __init__(self, capsys):
        self._capsys = capsys

    def says(self, *words):
        """Run a verb; return what it printed."""
        assert main([str(word) for word in words]) == 0
        return self._capsys.readouterr().out

    def refuses(self, *words):
        """Run what cannot be; return the one line that says why."""
        self._capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        said = self._capsys.readouterr().err
        assert said.startswith(f"depth_anything {words[0]}: ") and said.count("\n") == 1
        assert len(said) < 900 and said.strip().isprintable()
        return said


@pytest.fixture
def command(capsys):
    return Command(capsys)


@pytest.fixture
def predict(tmp_path, capsys):
    """Run predict into ``out`` with a small input; return its status and all that it said."""

    def run(*words, output="out"):
        status = main(["predict", *map(str, words), "--output", str(tmp_path / output), *SMALL])
        return status, "".join(capsys.readouterr())

    return run
