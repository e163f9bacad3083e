"""Sums of losses that stay on the device between reports."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Tally:
    """Sums of losses on the device, read once a report."""

    def __init__(self, names: tuple[str, ...], device: torch.device) -> None:
        self.names = (*names, "loss", "gradient_norm")
        self._sums = torch.zeros(len(self.names), device=device)
        self._counts = torch.zeros(3, device=device)  # good, bad, bad in a row

    def add(self, values: list[Tensor], bad: Tensor) -> None:
        """Take in the values of one step, of which a bad one counts only as such."""
        self._sums += torch.where(bad > 0, 0, torch.stack(values).nan_to_num())
        streak = (self._counts[2] + bad) * bad
        self._counts = torch.stack((self._counts[0] + 1 - bad, self._counts[1] + bad, streak))

    def read(self) -> tuple[dict[str, float], int, int]:
        """Return means, bad steps, and bad steps in a row; begin again. Waits for the device."""
        good, bad, streak = self._counts.tolist()
        means = (self._sums / max(good, 1)).tolist() if good else [math.nan] * len(self.names)
        self._sums.zero_()
        self._counts[:2] = 0
        return dict(zip(self.names, means, strict=True)), int(bad), int(streak)
