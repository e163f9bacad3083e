import io
import sys

import pytest

from depth_anything_ros.tools import progress
from depth_anything_ros.tools.progress import Progress, warn


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal(monkeypatch):
    """Give the process a terminal; pytest's own output takes its place between the phases."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Terminal())
    monkeypatch.setattr(progress, "BAR_S", 0.0)
    return sys.stdout


def test_a_terminal_has_one_line_with_a_bar(monkeypatch):
    shown_on = terminal(monkeypatch)
    with Progress(4, "pictures") as shown:
        shown.add(1)
        warn("left out: a\x1b[2J.png")
        shown.add(3)
    first, second, last = shown_on.getvalue().split("\r\x1b[K")[1:]
    assert first.startswith("[======                  ] 1 of 4 pictures, ")
    assert second.startswith(f"[{'=' * 24}] 4 of 4 pictures, ")
    assert last.startswith("4 of 4 pictures, ") and last.endswith(" left\n")
    assert shown_on.getvalue().count("\n") == 1
    assert sys.stderr.getvalue() == "\r\x1b[Kleft out: a\\x1b[2J.png\n"


def test_a_bar_of_unknown_length_is_none(monkeypatch):
    shown_on = terminal(monkeypatch)
    with pytest.raises(KeyboardInterrupt), Progress(0, "frames") as shown:
        shown.add(2)
        raise KeyboardInterrupt
    said = shown_on.getvalue()
    assert said.startswith("\r\x1b[K2 frames after ") and said.endswith("\n")


def test_a_log_has_plain_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PROGRESS_S", 0.0)
    with Progress(2, "pictures") as shown:
        shown.add(1)
        warn("left out: a.png")
        shown.add(1)
    said = capsys.readouterr()
    assert [line.split(",")[0] for line in said.out.splitlines()] == [
        "1 of 2 pictures",
        "2 of 2 pictures",
        "2 of 2 pictures",
    ]
    assert said.err == "left out: a.png\n"
