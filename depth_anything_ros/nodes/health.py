"""Count what a node does, and say its faults no more often than they change."""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth_anything_ros.core.stage_times import StageTimes

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
# Latencies kept for the percentiles: about half a minute at 30 Hz.
_WINDOW = 1000
# So many lines at once, and then one in this time: faults may take turns from picture to picture.
_AT_ONCE = 8
_REFILL_S = 10.0
# Times and other measures vary from picture to picture; sizes and names do not.
_MEASURE = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Health:
    """What happened since the last look, and in all.

    Attributes:
        received: pictures that came, or were missed, in all.
        answered: pictures that were answered, in all.
        drops: pictures without an answer, in all, by reason.
        new_drops: the same since the last look.
        rate_hz: answers per second since the last look.
        latency_ms: median and 95th percentile from reception to the last publication.
        input_age_s: since the newest picture came; None before the first.
        stages_ms: median and 95th percentile of the stages of a picture's way, by name.
    """

    received: int
    answered: int
    drops: dict[str, int]
    new_drops: dict[str, int]
    rate_hz: float
    latency_ms: tuple[float, float]
    input_age_s: float | None
    stages_ms: dict[str, tuple[float, float]]

    def values(self) -> dict[str, str]:
        """Return the key-value pairs that every status shows."""
        age = "none yet" if self.input_age_s is None else f"{self.input_age_s:.2f}"
        return {
            "rate (Hz)": f"{self.rate_hz:.2f}",
            "latency p50 (ms)": f"{self.latency_ms[0]:.1f}",
            "latency p95 (ms)": f"{self.latency_ms[1]:.1f}",
            **{
                f"stage {stage} {which} (ms)": f"{time_ms:.2f}"
                for stage, times in self.stages_ms.items()
                for which, time_ms in zip(("p50", "p95"), times, strict=True)
            },
            "frames in": str(self.received),
            "frames out": str(self.answered),
            **{f"dropped: {reason}": str(n) for reason, n in sorted(self.drops.items())},
            "age of newest input (s)": age,
            "memory (MB)": f"{resident_memory_mb():.0f}",
        }


class HealthMonitor:
    """Collect counts and latencies from any thread. Times are of the monotonic clock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = 0
        self._answered = 0
        self._drops: Counter[str] = Counter()
        self._latency_ms: deque[float] = deque(maxlen=_WINDOW)
        self._stages_ms: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_WINDOW))
        self._newest: float | None = None
        self._looked = (time.monotonic(), 0, Counter[str]())

    def received(self) -> float:
        """Count a picture that came and return the time to measure its latency from."""
        now = time.monotonic()
        with self._lock:
            self._received += 1
            self._newest = now
        return now

    def missed(self, count: int) -> None:
        """Count pictures that were published and never came."""
        with self._lock:
            self._received += count
            self._drops["missed"] += count

    def dropped(self, reason: str) -> None:
        """Count a picture that gets no answer."""
        with self._lock:
            self._drops[reason] += 1

    def answered(self, since: float, times: StageTimes | None = None) -> None:
        """Count a picture that was answered, and how long that and its stages took."""
        with self._lock:
            self._answered += 1
            self._latency_ms.append((time.monotonic() - since) * 1e3)
            for stage, seconds in times.seconds.items() if times is not None else ():
                self._stages_ms[stage].append(seconds * 1e3)

    def is_alive(self, timeout_s: float) -> bool:
        """Say whether a picture has come within that time."""
        with self._lock:
            return self._newest is not None and time.monotonic() - self._newest <= timeout_s

    def restart(self) -> None:
        """Forget the age of the newest picture and all times; the counts stay."""
        with self._lock:
            self._newest = None
            self._latency_ms.clear()
            self._stages_ms.clear()

    def look(self) -> Health:
        """Return the counts, and the rates since the last look."""
        now = time.monotonic()
        with self._lock:
            then, answered, drops = self._looked
            self._looked = (now, self._answered, self._drops.copy())
            return Health(
                self._received,
                self._answered,
                dict(self._drops),
                dict(self._drops - drops),
                (self._answered - answered) / max(now - then, 1e-6),
                _middle_and_tail(self._latency_ms),
                None if self._newest is None else now - self._newest,
                {stage: _middle_and_tail(times) for stage, times in self._stages_ms.items()},
            )


class FaultLog:
    """Say each fault once, and again when what is said of its cause changes.

    What comes too fast is left out, and said later where it is still so.

    Args:
        warn: called with each line.
        now: the time in s, of a clock that never goes back.
    """

    def __init__(
        self, warn: Callable[[str], object], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._warn, self._now = warn, now
        self._lock = threading.Lock()
        self._said: dict[str, str] = {}
        self._left, self._looked = float(_AT_ONCE), now()

    def say(self, cause: str, text: str, key: str | None = None) -> None:
        """Say a fault, unless it was the last that was said of its cause.

        Args:
            cause: a word.
            text: the line.
            key: what tells it from others of its cause, but for numbers with a decimal point; the
                text where None.
        """
        key = _MEASURE.sub("#", text if key is None else key)
        with self._lock:
            if self._said.get(cause) == key or not self._may_speak():
                return
            self._said[cause] = key
        self._warn(text)

    def _may_speak(self) -> bool:
        now = self._now()
        self._left = min(float(_AT_ONCE), self._left + (now - self._looked) / _REFILL_S)
        self._looked = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def clear(self) -> None:
        """Forget what was said."""
        with self._lock:
            self._said.clear()
            self._left = float(_AT_ONCE)


def _middle_and_tail(times_ms: Collection[float]) -> tuple[float, float]:
    found = np.percentile(list(times_ms), (50, 95)) if times_ms else (0.0, 0.0)
    return float(found[0]), float(found[1])


def resident_memory_mb() -> float:
    """Return the memory that this process holds now, in MB, as Linux counts it."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _PAGE_BYTES / 1e6
