"""OpenVINO itself: its one Core, and what devices it finds."""

from __future__ import annotations

import sys
import threading
from functools import cache
from types import ModuleType
from typing import Any

from depth_anything_ros.core.errors import ModelError, quoted
from depth_anything_ros.engines.engine import missing_extra

# OpenVINO's capability of each precision. What int8 leaves in floating point is computed in 16 bits
# where the device can.
_CAPABILITIES = {"fp32": "FP32", "bf16": "BF16", "fp16": "FP16", "int8": "INT8"}
_making = threading.Lock()


def library() -> ModuleType:
    """Import OpenVINO.

    Raises:
        ModelError: (``engine``) where it is not installed.
    """
    # It and NNCF count their uses at their makers' unless this is missing, which they take.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError:
        raise missing_extra("openvino", "openvino", "openvino") from None
    module: ModuleType = openvino
    return module


def core() -> Any:  # noqa: ANN401 - openvino.Core
    """Return the Core of this process.

    There is one, and it stays. With each, its CPU plug-in gives the thread another stack for
    signals, and takes it back with the last network of that Core. With two that do not end in
    reverse order the thread is left with a stack that is no more, and its next signal, such as
    Ctrl-C or the end of a child, kills the process without a word.

    Raises:
        ModelError: (``engine``) where OpenVINO is not installed.
    """
    with _making:  # two threads that ask first, at once, would make two
        return _core()


@cache
def _core() -> Any:  # noqa: ANN401
    return library().Core()


def device_name(device: str) -> str:
    """Return OpenVINO's name of a device.

    Args:
        device: ``cpu``, ``gpu``, ``gpu.N`` or ``npu``, with ``intel:`` before it or not; "" is
            the CPU.

    Raises:
        ModelError: (``device``) where OpenVINO finds no such device; (``engine``) where it is
            not installed.
    """
    name = device.lower().removeprefix("intel:").upper() or "CPU"
    found = _devices()
    if name not in found and f"{name}.0" not in found:
        raise ModelError(
            f"OpenVINO finds no device {quoted(device)}, but {', '.join(found).lower()}; use cpu, "
            f"or install Intel's driver of the device and give this process access to it",
            reason="device",
        )
    return name


@cache
def _devices() -> list[str]:
    found: list[str] = core().available_devices
    return found


def precisions(device: str) -> list[str]:
    """List what OpenVINO computes on a device: some of ``fp32``, ``bf16``, ``fp16``, ``int8``.

    Raises:
        ModelError: as ``device_name``.
    """
    name = device_name(device)
    capabilities = core().get_property(name, "OPTIMIZATION_CAPABILITIES")
    return [precision for precision, word in _CAPABILITIES.items() if word in capabilities]
