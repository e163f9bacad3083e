"""An engine that takes its time."""

import time

import torch


class Slow:
    """Answers as the network does, a tenth of a second later."""

    name = "slow"
    device = "cpu"
    precision = "fp32"

    def __init__(self, estimator):
        self._network = estimator.network

    @torch.inference_mode()
    def run(self, batch):
        """Wait, and answer."""
        time.sleep(0.1)
        return self._network(batch)

    def warm_up(self, sizes):
        """Do nothing."""


def make(estimator, precision, device):
    """Make it."""
    return Slow(estimator)
