"""A line that says how far a long task is."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from depth_anything_ros.core.errors import printable

PROGRESS_S = 2.0
# On a terminal, where one line is drawn over and over, with a bar.
BAR_S = 0.2
BAR = 24
_REDRAW = "\r\x1b[K"
MB = 1_000_000


def say(*lines: object) -> None:
    """Print lines as ``printable``: names of files and what they say of themselves are in them."""
    print("\n".join(printable(line) for line in lines), flush=True)


def warn(line: object) -> None:
    """Print a line to stderr, as ``printable``; where a bar is drawn, in its place."""
    begin = _REDRAW if sys.stdout.isatty() and sys.stderr.isatty() else ""
    print(f"{begin}{printable(line)}", file=sys.stderr, flush=True)


class Progress:
    """A line with count, rate and time left, at most every two seconds, and one at the end.

    On a terminal it is one line with a bar.

    Args:
        total: of what is to be done.
        unit: its name, plural.
    """

    def __init__(self, total: int, unit: str) -> None:
        self.total, self.unit, self.done = total, unit, 0
        self._started = time.monotonic()
        self._said = self._started

    def begin(self, total: int) -> None:
        """Count from now on, where it took time to find out how much there is."""
        self.total, self._started = total, time.monotonic()

    def add(self, count: int) -> None:
        """Count what was done, and say so if it is time."""
        self.done += count
        is_bar = sys.stdout.isatty()
        if time.monotonic() - self._said >= (BAR_S if is_bar else PROGRESS_S):
            self._said = time.monotonic()
            if is_bar:
                print(f"{_REDRAW}{self.bar()}{self.line()}", end="", flush=True)
            else:
                print(self.line(), flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_bar = sys.stdout.isatty()
        if kind is None:
            print(f"{_REDRAW if is_bar else ''}{self.line()}", flush=True)
        elif is_bar:
            print(flush=True)

    def bar(self) -> str:
        """Return a bar as long as what is done; none where nobody knows how much there is."""
        if not self.total:
            return ""
        done = min(BAR, BAR * self.done // self.total)
        return f"[{'=' * done}{' ' * (BAR - done)}] "

    def line(self) -> str:
        """Return the line as it stands."""
        passed = max(time.monotonic() - self._started, 1e-9)
        rate = self.done / passed
        if not self.total:  # a server that does not say how much there is, or nothing at all
            what = f"{self.done} {self.unit}" if self.done else "waiting for the server: nothing"
            return f"{what} after {passed:.0f} s"
        left = (self.total - self.done) / rate if rate > 0 else 0.0
        return (
            f"{self.done} of {self.total} {self.unit}, {rate:.1f} a second, {duration(left)} left"
        )


def duration(seconds: float) -> str:
    """Return a time as hours:minutes:seconds."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def megabytes(*files: Path) -> str:
    """Return the size of those files that there are, together."""
    size = sum(file.stat().st_size for file in files if file.is_file())
    return f"{size / MB:.0f} MB" if size >= 10 * MB else f"{size / MB:.1f} MB"
