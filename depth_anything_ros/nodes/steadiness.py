"""How the depth of a camera is steadied, for its status."""

from __future__ import annotations

import threading

from depth_anything_ros.pipeline.steadying import SteadyReport


class Steadiness:
    """Keep how pictures were steadied, and why not as was asked. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._report: SteadyReport | None = None
            self._count = self._other = 0
            self._why = ""

    def add(self, asked: str, report: SteadyReport | None) -> None:
        """Note how a picture was steadied; None where it was not to be.

        Args:
            asked: the method that was asked for.
            report: what came of it.
        """
        with self._lock:
            self._report = report
            if report is None:
                return
            self._count += 1
            if report.reason and report.method not in ("", asked):
                self._other += 1
                self._why = f"depth is steadied by {report.method}, not by {asked}: {report.reason}"

    def values(self) -> dict[str, str]:
        """Return the key-value pairs of a status; none while nothing is steadied."""
        report = self._report
        return {} if report is None else report.values()

    def problem(self) -> str:
        """Say why another method than was asked for steadies most pictures since the last call."""
        with self._lock:
            said = self._why if 2 * self._other > self._count else ""
            self._count = self._other = 0
            return said
