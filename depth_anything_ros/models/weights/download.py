"""Download one file in a process of its own, which is watched, and ended where nothing comes.

A server that does not answer, one that sends a byte a second and one that never ends cannot be told
from inside a library that reads from it. A process can be watched from outside, by what it has
written, and killed.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depth_anything_ros.core.errors import one_line

_log = logging.getLogger(__name__)

# Told of the bytes that are here, and of those that there are (0 where the server does not say).
Progress = Callable[[int, int], None]

_SCRIPT = Path(__file__).with_name("download_process.py")
# The hub's library paints no bars, and asks nothing but for the file.
_QUIET = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
_LOOK_S = 0.1
_LOG_S = 10.0
_LEAVE_S = 2.0


@dataclass(frozen=True)
class Patience:
    """When a download is given up.

    Attributes:
        silence_s: without a byte, seconds.
        window_s: over which the rate is looked at, seconds.
        slowest: bytes a second, over that.
        total_s: seconds, of all of it.
        most_bytes: that a file may have.
    """

    silence_s: float = 30.0
    window_s: float = 60.0
    slowest: float = 4_000.0
    total_s: float = 6 * 3600.0
    most_bytes: float = 20e9


PATIENCE = Patience()


class DownloadError(Exception):
    """A download that ended without the file.

    Attributes:
        kind: ``absent``, ``refused`` or ``failed``, as of download_process.
    """

    def __init__(self, message: str, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass
class _Watch:
    """What has come so far, and whether that is enough."""

    patience: Patience
    started: float = field(default_factory=time.monotonic)
    done: int = 0

    def __post_init__(self) -> None:
        self._moved = self._window = self.started
        self._before = 0

    def look(self, done: int) -> None:
        """Take down how many bytes are here.

        Raises:
            DownloadError: where it is time to give up.
        """
        now, p = time.monotonic(), self.patience
        if done != self.done:
            self.done, self._moved = done, now
        if now - self._moved > p.silence_s:
            raise DownloadError(f"nothing came for {p.silence_s:g} s")
        if now - self._window > p.window_s:
            came = done - self._before
            if came < p.slowest * p.window_s:
                raise DownloadError(f"only {came} bytes came in {p.window_s:g} s")
            self._window, self._before = now, done
        if now - self.started > p.total_s:
            raise DownloadError(f"it was not here after {p.total_s:g} s")
        if done > p.most_bytes:
            raise DownloadError(f"more than {p.most_bytes / 1e9:g} GB came")


def download(
    task: dict[str, str],
    measure: Callable[[], int],
    progress: Progress | None = None,
) -> Path:
    """Download a file.

    Args:
        task: arguments of ``from_hub`` or ``from_address`` of download_process.
        measure: says how many bytes of it are here.
        progress: told about ten times a second, from the start on; None: the log, now and then.

    Returns:
        The path of the file.

    Raises:
        DownloadError: where it did not come whole.
    """
    mark = secrets.token_hex()  # what a server has a library print is no word of the process
    process = subprocess.Popen(
        [sys.executable, str(_SCRIPT), json.dumps(task), mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"HF_HUB_DISABLE_XET": "1", **os.environ, **_QUIET},
        start_new_session=True,  # a Ctrl-C is for this process, which ends that one
    )
    try:
        return _wait(process, mark.encode(), measure, progress or _to_log(task))
    finally:
        _end(process)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process: first as Ctrl-C does, upon which the hub's library removes its part."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_LEAVE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(
    process: subprocess.Popen[bytes], mark: bytes, measure: Callable[[], int], progress: Progress
) -> Path:
    """Watch a download until it says how it ended."""
    assert process.stdout is not None
    watch, total, rest, other = _Watch(PATIENCE), 0, b"", ""
    progress(0, total)
    while True:
        if select.select([process.stdout], [], [], _LOOK_S)[0]:
            said = os.read(process.stdout.fileno(), 1 << 16)
            *lines, rest = (rest + said).split(b"\n")
            for line in lines:
                words = _words(line, mark)
                if "path" in words:
                    path = Path(words["path"])
                    progress(path.stat().st_size, path.stat().st_size)
                    return path
                total = words.get("total", total)
                other = words.get("other", other)
            if not said:
                raise DownloadError(one_line(other) or f"it ended with status {process.wait()}")
        done = measure()
        watch.look(done)
        progress(min(done, total) if total else done, total)


def _words(line: bytes, mark: bytes) -> dict[str, Any]:
    """Read a line of the process; one that a library of it wrote becomes ``other``.

    Raises:
        DownloadError: where it says that the download failed.
    """
    if not line.startswith(mark):
        return {"other": line.decode(errors="replace")} if line.strip() else {}
    words: dict[str, Any] = json.loads(line.removeprefix(mark))
    if "error" in words:
        raise DownloadError(one_line(words["error"], 300).rstrip("."), words["kind"])
    return words


def _to_log(task: dict[str, str]) -> Progress:
    last = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _LOG_S:
            last = time.monotonic()
            whole = f" of {total / 1e6:.1f}" if total else ""
            what = task.get("url") or f"{task['name']} of {task['repo']}"
            _log.info("fetching %s: %.1f%s MB are here", what, done / 1e6, whole)

    return log
