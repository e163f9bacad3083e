"""Log faults when they are new or have changed, and never without end."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

# So many lines at once, and then one in this time: faults may take turns from picture to picture.
_AT_ONCE = 8
_REFILL_S = 10.0
# Times and other measures vary from picture to picture; sizes and names do not.
_MEASURE = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


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
