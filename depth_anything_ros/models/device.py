"""Which device a network runs on, and in which precision."""

from __future__ import annotations

import torch
from torch import Tensor

from depth_anything_ros.core.errors import ModelError, quoted

PRECISIONS: dict[str, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps`` into a device that is there.

    ``auto`` is the first CUDA device, else MPS, else the CPU.

    Raises:
        ModelError: (``device``) on a device that is unknown or not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdecimal())):
        raise ModelError(
            f"there is no device {quoted(name)}; use auto, cpu, cuda, cuda:N or mps",
            reason="device",
        )
    if kind == "cuda":
        _check_cuda(name, int(index or 0))
    if kind == "mps" and not _has_mps():
        raise ModelError("device mps is not available here; use cpu or auto", reason="device")
    return torch.device(name)


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())


def _check_cuda(name: str, index: int) -> None:
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= found:
        built = torch.version.cuda or "none: this is a CPU build of torch"
        raise ModelError(
            f"device {name} is not available: {found} CUDA devices found (CUDA of torch: {built}); "
            f"use cpu or auto, or install a CUDA build of torch and a driver",
            reason="device",
        )


def choose_precision(name: str, device: torch.device) -> str:
    """Turn ``auto`` into the precision that suits a device; check any other.

    ``auto`` is 16 bits where the device computes them at least as fast as 32. bfloat16 goes
    before float16, since it cannot overflow where float32 does not.

    Returns:
        ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        ModelError: (``precision``) on another name, or one that the device does not compute.
    """
    if name == "auto":
        return _fast_precision(device)
    if name not in PRECISIONS:
        raise ModelError(
            f"there is no precision {quoted(name)}; use auto, {', '.join(PRECISIONS)}",
            reason="precision",
        )
    if name == "fp16" and device.type == "cpu":
        raise ModelError(
            "precision fp16 is slower than fp32 on the CPU, and overflows; use fp32, bf16 or auto",
            reason="precision",
        )
    return name


def _fast_precision(device: torch.device) -> str:
    if device.type == "cuda":
        with torch.cuda.device(device):
            native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if native else "fp16"
    if device.type == "cpu" and torch.backends.mkldnn.is_available() and cpu_has_bf16():
        return "bf16"
    return "fp32"


def cpu_has_bf16() -> bool:
    """Say whether the CPU multiplies bfloat16 in hardware: torch has no public name for it."""
    return bool(torch.cpu._is_avx512_bf16_supported() or cpu_has_tiles())


def cpu_has_tiles() -> bool:
    """Say whether it multiplies whole tiles (AMX): torch has no public name for that either."""
    return bool(torch.cpu._is_amx_tile_supported())


def to_device(picture: Tensor, device: torch.device) -> Tensor:
    """Bring a picture from the CPU to a device; to CUDA from pinned memory, without waiting.

    torch keeps freed pinned memory for the next picture.
    """
    if device.type != "cuda":
        return picture.to(device)
    return picture.pin_memory().to(device, non_blocking=True)


def to_host(values: Tensor) -> Tensor:
    """Bring values to the CPU; from CUDA into pinned memory. Waits until they are there."""
    if values.device.type != "cuda":
        return values.cpu()
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values)
