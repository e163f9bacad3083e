"""Declare torchvision's operators where its compiled library does not load, so that timm imports.

timm imports torchvision, and torchvision registers Python kernels for ``torchvision::nms`` as it
is imported. PyPI's torchvision is built against the CUDA build of torch; beside a CPU build its
library does not load, the operators do not exist, and that registration dies with "operator
torchvision::nms does not exist". No network of this package calls them: it is enough that their
schemas exist. Where torchvision's own library loads, nothing is declared.

Import this module before timm.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch

# The operators that torchvision/_meta_registrations.py registers with no check that they exist.
# Schemas: torchvision/csrc/ops/nms.cpp and quantized/cpu/qnms_kernel.cpp.
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _own_library_loads() -> bool:
    """Load torchvision's operators as torchvision itself does, and say whether that worked."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # no torchvision, so nothing to declare for it
    for library in sorted(Path(spec.origin).parent.glob("_C.*")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            return False
    return hasattr(torch.ops.torchvision, "nms")


def declare_missing() -> torch.library.Library | None:
    """Declare the schemas that torchvision needs, unless its own library gives them.

    Returns:
        The library that owns the schemas: they are gone when it is collected. None where
        nothing was declared.
    """
    if hasattr(torch.ops.torchvision, "nms") or _own_library_loads():
        return None
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


LIBRARY = declare_missing()
