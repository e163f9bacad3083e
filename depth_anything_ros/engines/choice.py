"""Which engines there are for a device, and in which order they are to be tried."""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass
from typing import Any

from depth_anything_ros.core.errors import ModelError, quoted
from depth_anything_ros.engines.engine import ENGINES, Engine, EngineOptions, missing_extra
from depth_anything_ros.engines.quantise import pictures_of
from depth_anything_ros.models.estimator import DepthEstimator


@dataclass(frozen=True)
class Kind:
    """A kind of engine.

    Attributes:
        module: that makes it.
        package: that it needs.
        extra: of this package, which brings that.
        devices: that it runs on, without their numbers.
    """

    module: str
    package: str
    extra: str
    devices: tuple[str, ...]

    @property
    def is_installed(self) -> bool:
        """Whether its package is there; it is not imported."""
        return importlib.util.find_spec(self.package) is not None


_HERE = "depth_anything_ros.engines"
KINDS = {
    "torch": Kind(f"{_HERE}.torch_engine", "torch", "", ("cpu", "cuda", "mps")),
    "openvino": Kind(f"{_HERE}.openvino_engine", "openvino", "openvino", ("cpu", "gpu", "npu")),
    "onnxruntime": Kind(f"{_HERE}.onnx_engine", "onnxruntime", "onnx", ("cpu", "cuda")),
    "tensorrt": Kind(f"{_HERE}.onnx_engine", "onnxruntime", "tensorrt", ("cuda",)),
}
# Which engine to take on a device, the best first; the next one where it answers wrong, does not
# run or is not installed. By families where one differs; "" is any. As measured
# (benchmark/README.md): OpenVINO is the fastest on the CPU for each model, size and precision. ONNX
# Runtime in float32 gains little on torch there, and its export takes up to a minute; on CUDA, it
# and TensorRT have never been run.
TABLE: dict[tuple[str, str], tuple[str, ...]] = {
    ("cpu", ""): ("openvino", "torch"),
    ("cuda", ""): ("torch",),
    ("mps", ""): ("torch",),
    ("gpu", ""): ("openvino",),
    ("npu", ""): ("openvino",),
}
# Devices that OpenVINO alone knows: GPU and NPU of Intel.
_INTEL = re.compile(r"(intel:)?(gpu(\.\d+)?|npu)", re.IGNORECASE)


def check_engine(name: str) -> None:
    """Refuse a name that no engine has.

    Raises:
        ModelError: (``engine``).
    """
    if name != "auto" and name not in ENGINES:
        raise ModelError(
            f"there is no engine {quoted(name)}; use auto, {', '.join(ENGINES)}", reason="engine"
        )


def torch_device(device: str) -> str:
    """Return the device of the pictures, and of torch, for the name of any engine's device."""
    return "cpu" if _INTEL.fullmatch(device) else device


def candidates(engine: str, device: str, family: str = "") -> list[str]:
    """Return the engines to try on a device.

    Args:
        engine: ``auto``, ``any``, or the only one.
        device: not ``auto``.
        family: of the model.

    Returns:
        Names of engines that are installed: of ``auto`` by the table, the best first; of ``any``
        all that run there.

    Raises:
        ModelError: (``engine``) where the one that is asked for is not installed, or none runs on
            the device.
    """
    kind_of_device = re.split("[.:]", device.lower().removeprefix("intel:"))[0]
    general = TABLE.get((kind_of_device, ""), ())
    ways = {"any": tuple(KINDS), "auto": TABLE.get((kind_of_device, family), general)}
    named = ways.get(engine, (engine,))
    fitting = [name for name in named if kind_of_device in KINDS[name].devices]
    found = [name for name in fitting if KINDS[name].is_installed]
    if found:
        return found
    if fitting:
        kind = KINDS[fitting[0]]
        raise missing_extra(fitting[0], kind.package, kind.extra)
    raise ModelError(
        f"engine {engine} does not run on {device}, but on "
        f"{' or '.join(device for name in named for device in KINDS[name].devices)}",
        reason="engine",
    )


def make(
    name: str,
    precision: str,
    estimator: DepthEstimator,
    device: str,
    options: EngineOptions = EngineOptions(),  # noqa: B008 - it cannot be changed
) -> Engine:
    """Make an engine, whose module and packages are imported now.

    Raises:
        ModelError: of the engine.
        SourceError: where there are no pictures to calibrate with.
    """
    module = importlib.import_module(KINDS[name].module)
    own: dict[str, Any] = {}
    if name == "torch":
        own = {"compiles": options.compiles}
    elif name == "tensorrt":
        own = {"tensorrt": True}
    elif name == "openvino" and precision == "int8" and options.calibration:
        own = {"pictures": pictures_of(options.calibration)}
    engine: Engine = module.make(estimator, precision, device, **own)
    return engine
