"""Import timm, and torchvision, which it needs, where the latter's compiled library does not load.

timm imports torchvision, and torchvision registers Python kernels for ``torchvision::nms`` as it
is imported. PyPI's torchvision is built against the CUDA build of torch; beside a CPU build its
library does not load, the operators do not exist, and that registration dies with "operator
torchvision::nms does not exist". No network of this package calls them: it is enough that their
schemas exist. Where torchvision's own library loads, nothing is declared.

torchvision and timm import torch's compiler as well, which takes as long as torch itself: for what
one of those operators asks it, and to keep it off one encoder. No network of this package has
either, so they are given a compiler that does nothing; what compiles imports the real one.

Import this module before timm.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

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


def import_without_compiler() -> None:
    """Import timm without ``torch._dynamo``; where that cannot be, who imports it next has both."""
    compiler = "torch._dynamo"
    if compiler in sys.modules:
        return
    stand_in, asked = ModuleType(compiler), ModuleType(f"{compiler}.utils")
    stand_in.disable = _as_it_is  # type: ignore[attr-defined]
    asked.is_compile_supported = lambda _device: False  # type: ignore[attr-defined]
    sys.modules |= {compiler: stand_in, asked.__name__: asked}
    try:
        with suppress(ImportError, AttributeError):
            importlib.import_module("timm")
    finally:
        del sys.modules[compiler], sys.modules[asked.__name__]


def _as_it_is(function: Callable[..., Any], *_: object, **__: object) -> Callable[..., Any]:
    return function


LIBRARY = declare_missing()
import_without_compiler()
