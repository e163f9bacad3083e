"""The subscribers that a source of pictures waits for before it plays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

# After the last awaited subscriber came: those of other topics may be a moment later.
SETTLE_S = 1.0


class Audience:
    """Tell when enough subscribers are there, and have been for a moment.

    Args:
        publishers: each of which should have them: a picture without its camera is of no use.
        awaited: subscribers of each; 0 waits for nobody.
    """

    def __init__(self, publishers: Sequence[Any], awaited: int) -> None:
        self._publishers = publishers
        self._awaited = awaited
        self._complete_since: float | None = None

    def is_there(self) -> bool:
        """Say whether to begin; call it until it is true."""
        if not self._awaited:
            return True
        now = time.monotonic()
        if min(p.get_subscription_count() for p in self._publishers) < self._awaited:
            self._complete_since = None
            return False
        if self._complete_since is None:
            self._complete_since = now
        return now - self._complete_since >= SETTLE_S
