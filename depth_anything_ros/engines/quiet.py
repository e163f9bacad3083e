"""What other packages print of themselves while they work for this one, kept out of the log."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Of an export torch, onnxscript, OpenVINO and NNCF warn of their own: classes that they will
# rename, operators with two versions, storage that they share. A user can do nothing about it, and
# what was exported is compared with torch. In copyreg and contextlib torch copies its trees and
# ends its contexts; the engines are named for what has the caller's line.
_PACKAGES = ("torch", "onnx", "onnxscript", "onnx_ir", "openvino", "nncf", "copyreg", "contextlib")
_EXPORTERS = rf"({'|'.join(_PACKAGES)}|depth_anything_ros\.engines)\b"
_LOGGERS = ("torch.export", "torch.onnx", "onnxscript", "onnx_ir", "nncf")


@contextmanager
def quiet_exporters() -> Iterator[None]:
    """Keep what exporters say about themselves from the user until the context ends."""
    logs = [logging.getLogger(name) for name in _LOGGERS]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=_EXPORTERS)
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
