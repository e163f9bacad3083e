"""The options that several verbs have."""

from __future__ import annotations

import argparse
from typing import Any

# Far from the seeds of training (from 0) and of validation (from 1,000,000,000).
FIRST_SEED = 2_000_000_000
_SHARED: dict[str, dict[str, Any]] = {
    "--model": {"default": "tiny", "help": "name of the zoo"},
    "--weights": {
        "default": "",
        "help": "checkpoint: path, zoo name or hub id; without it, the model's own; random shows "
        "only that everything runs",
    },
    "--download": {"action": "store_true", "help": "fetch weights from the hub"},
    "--device": {"default": "auto", "help": "auto, cpu, cuda, cuda:N or mps"},
    "--engine": {
        "default": "auto",
        "help": "that runs the network: auto, torch, openvino, onnxruntime or tensorrt",
    },
    "--precision": {"default": "auto", "help": "of the network: auto, fp32, bf16, fp16 or int8"},
    "--ray": {
        "default": "",
        "metavar": "ADDRESS",
        "help": "spread the work over a Ray cluster: local, auto, HOST:PORT or ray://HOST:PORT",
    },
    "--workers": {
        "type": int,
        "default": 0,
        "metavar": "N",
        "help": "processes of --ray; 0: one a GPU, or one for four cores",
    },
    "--input-size": {
        "type": int,
        "default": 0,
        "metavar": "PX",
        "help": "shorter side of the network's input, or what `depth_anything models NAME` "
        "says; 0: its own",
    },
    "--first-seed": {"type": int, "default": FIRST_SEED, "help": "seed of the first view"},
}


def add_shared(parser: argparse.ArgumentParser, *names: str, **defaults: object) -> None:
    """Add options that several verbs have, with other defaults where they are given."""
    for name in names:
        parser.add_argument(name, **_SHARED[name])
    parser.set_defaults(**defaults)
