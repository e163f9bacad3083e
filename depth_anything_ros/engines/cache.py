"""Where engines keep what they made of a network, and what tells one network from another."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import torch
from torch import nn

CACHE_VARIABLE = "DEPTH_ANYTHING_CACHE"
_CACHE = "~/.cache/depth_anything_ros"


def cache_folder(engine: str) -> Path:
    """Return the folder of an engine: in $DEPTH_ANYTHING_CACHE, or in a default."""
    return Path(os.environ.get(CACHE_VARIABLE) or _CACHE).expanduser() / engine


def hash_of(network: nn.Module) -> str:
    """Return the sha256 of a network's tensors and their names."""
    digest = hashlib.sha256()
    for name, values in network.state_dict().items():
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
