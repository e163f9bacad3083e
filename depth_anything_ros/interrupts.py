"""Ctrl-C and SIGTERM, from the first import of an executable of this package to its end.

Python raises KeyboardInterrupt at once, wherever it is: amid the imports, which take a second and
whose traceback is of no use to anybody, or in the clean-up that an earlier one has begun.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import PurePath
from types import FrameType

COMMAND = "depth_anything"
NODES = (
    "depth_node",
    "scale_anchor_node",
    "obstacles_node",
    "player_node",
    "sim_node",
    "recorder_node",
    "stopwatch_node",
    "view_node",
)
# The usual status of what Ctrl-C has ended: 128 + SIGINT. A node's is 0, as it runs until then.
INTERRUPTED = 130
# A second Ctrl-C so soon is a hand that slipped; a later one is meant.
DOUBLE_S = 1.0

_first: float | None = None
# What this process is, asked when the package is imported: later, ``python -m`` has another argv.
_program = ""


def program() -> str:
    """Return the executable of this package that this process is; "" where it is none.

    ``python -m`` counts: the package is imported before ``sys.argv`` names the module.
    """
    name = PurePath(sys.argv[0]).stem if sys.argv else ""
    if name == "-m":
        asked = sys.orig_argv
        module = asked[asked.index("-m") + 1] if "-m" in asked[:-1] else ""
        package, _, rest = module.partition(".")
        if package != "depth_anything_ros":
            return ""
        name = rest.rsplit(".", 1)[-1] or COMMAND
    return name if name in (*NODES, COMMAND) else ""


def end_quietly_while_importing() -> None:
    """Let a signal end an executable of this package at once, until it answers signals itself."""
    global _program
    name = _program = program()
    if not name:
        return
    status = INTERRUPTED if name == COMMAND else 0
    for number in (signal.SIGINT,) if name == COMMAND else (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(status))  # nothing is there to clean up


def interrupt_once() -> None:
    """Have the first Ctrl-C raise KeyboardInterrupt, and a later one end the process.

    In the command alone: a caller in Python answers Ctrl-C itself.
    """
    if _program == COMMAND:
        signal.signal(signal.SIGINT, _interrupt)


def forget_interrupts() -> None:
    """Let the process end with the status that it returns.

    Where Ctrl-C crossed an exec(), as in many an import, CPython ends with SIGINT's status although
    it was caught. The next exec() makes it forget that.
    """
    exec("")
    if _program == COMMAND and is_interrupted():
        # Python's own end gives signals back their default, which is to end the process by them.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def is_interrupted() -> bool:
    """Say whether Ctrl-C has come; what is raised of it may have become another error."""
    return _first is not None


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    global _first
    if _first is None:
        _first = time.monotonic()
        raise KeyboardInterrupt
    if time.monotonic() - _first > DOUBLE_S:
        os._exit(INTERRUPTED)
