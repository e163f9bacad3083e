"""ONNX Runtime itself, and the packages that ONNX files are made with."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

from depth_anything_ros.engines.engine import missing_extra


def onnxruntime_library(name: str = "onnxruntime", part: str = "") -> ModuleType:
    """Import ONNX Runtime, which is not to report its uses.

    From version 1.32 on it looks up its maker's host and keeps a database of events in the user's
    home, unless it is told before it is imported.

    Args:
        name: of the engine that needs it.
        part: module of it, "" for itself.

    Raises:
        ModelError: (``engine``) where it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        return importlib.import_module(f"onnxruntime.{part}".rstrip("."))
    except ImportError:
        extra = "tensorrt" if name == "tensorrt" else "onnx"
        raise missing_extra(name, "onnxruntime", extra) from None


def onnx_library() -> ModuleType:
    """Import onnx, and see that onnxscript is there.

    Raises:
        ModelError: (``engine``) where one is not installed.
    """
    _imported("onnxscript")
    return _imported("onnx")


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise missing_extra("onnxruntime", name, "onnx") from None
