"""What every node's main does: start, spin until told to stop, leave nothing behind."""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import TypeVar

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from depth_anything_ros.core.errors import DepthAnythingError, first_line, printable
from depth_anything_ros.core.memory import SHORT_OF_MEMORY, is_short_of_memory
from depth_anything_ros.interrupts import DOUBLE_S, forget_interrupts

NodeType = TypeVar("NodeType", bound=Node)

# A signal is answered when the executor returns, which waits no longer than this.
_WAKE_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# mallopt(3), of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
_MOST_KEPT_BYTES = 256 << 20
# The largest that it takes: half of a heap.
_LARGEST_ON_HEAP_BYTES = 32 << 20
_told_to_stop = threading.Event()
_told_at = float("-inf")


class RosLogHandler(logging.Handler):
    """Send this package's Python log records to a node's logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on; rclpy wants one call site for each severity."""
        message = printable(record.getMessage())
        if record.levelno >= logging.ERROR:
            self._logger.error(message)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(message)
        elif record.levelno >= logging.INFO:
            self._logger.info(message)
        else:
            self._logger.debug(message)


def forward_logs(node: Node) -> None:
    """Send the logs of core and models to the node's logger, once a process."""
    logger = logging.getLogger("depth_anything_ros")
    logger.handlers = [RosLogHandler(node.get_logger())]
    logger.setLevel(logging.INFO)
    logger.propagate = False


def keep_freed_memory() -> None:
    """Have glibc keep the memory of freed arrays, up to 256 MB, instead of giving it back.

    Otherwise what a worker thread frees after a picture goes back to the system and comes again
    page by page with the next one. Anchoring 640×480 with 5000 points took 55 ms so, and takes 30;
    a picture of 1280×720 arrives in 2.7 ms instead of 6.5.
    Call it before threads start. With another C library it does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_ARENA_MAX, 1)
    mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP_BYTES)
    mallopt(_TRIM_THRESHOLD, _MOST_KEPT_BYTES)


def run_node(
    make: Callable[[], NodeType],
    args: Sequence[str] | None = None,
    start: Callable[[NodeType], None] = lambda _: None,
    until: Callable[[NodeType], bool] = lambda _: False,
) -> int:
    """Make a node and spin it until it is shut down; return the exit status.

    A node that cannot be made for a reason that the user can mend costs one line and status 2.

    Args:
        make: makes the node, rclpy being initialised.
        args: command line with ``--ros-args``; sys.argv where None.
        start: called with the node before it spins; the node is destroyed whatever happens here.
        until: asked after each callback; True ends the spinning.
    """
    keep_freed_memory()
    try:
        # Without rclpy's own answer to signals: it shuts the context down from another thread, into
        # which the clean-up here ran now and then (a segmentation fault in Fast DDS).
        options = SignalHandlerOptions.NO
        rclpy.init(args=list(args) if args is not None else None, signal_handler_options=options)
    except RuntimeError as error:  # rcl's own, for --ros-args that it cannot read
        mixed = "Sequence should be of same type" in str(error)
        hint = "; write each number of a list with a point (0.0) if one has it" if mixed else ""
        print(f"error: {printable(error)}{hint}", file=sys.stderr)
        return 2
    for number in _SIGNALS:
        signal.signal(number, _stop)
    try:
        _spin(make(), start, until)
    except KeyboardInterrupt:
        return 0
    except Exception as error:
        if _told_to_stop.is_set():  # amid an import, say, where it became another error
            return 0
        if is_short_of_memory(error):
            error = DepthAnythingError(f"{SHORT_OF_MEMORY} ({first_line(error)})")
        if not isinstance(error, (DepthAnythingError, ParameterException)):
            raise
        print(f"error: {printable(error)}", file=sys.stderr)
        return 2
    finally:
        # Before Python's own end, which gives signals back their default: to end the process.
        _ignore_signals()
        rclpy.try_shutdown()
        forget_interrupts()
        _let_a_signal_end_what_waits()
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    """Answer a signal; what is raised may be swallowed by a transition, the event is not.

    Only the first one: another would tear what the first has begun to end.
    """
    global _told_at
    if not _told_to_stop.is_set():
        _told_at = time.monotonic()
        _told_to_stop.set()
        raise KeyboardInterrupt


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _frame: FrameType | None) -> None:
    """Answer a signal while only threads are waited for; a doubled Ctrl-C is one."""
    if time.monotonic() - _told_at > DOUBLE_S:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)


def _let_a_signal_end_what_waits() -> None:
    """Say which threads the interpreter's end waits for, and let another signal end that."""
    waiting = [one for one in threading.enumerate() if one is not threading.current_thread()]
    names = [one.name for one in waiting if not one.daemon]
    if names:
        for number in _SIGNALS:
            signal.signal(number, _end)
        print(f"waiting for {', '.join(names)}; another Ctrl-C ends it", file=sys.stderr)


def _spin(
    node: NodeType, start: Callable[[NodeType], None], until: Callable[[NodeType], bool]
) -> None:
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        start(node)
        while rclpy.ok() and not _told_to_stop.is_set() and not until(node):
            executor.spin_once(_WAKE_S)
    finally:
        # A second signal must not tear the clean-up, which would leave a worker running into the
        # interpreter's end.
        _ignore_signals()
        executor.shutdown(_WAKE_S)  # what it has begun may never end: a model that loads
        node.destroy_node()
