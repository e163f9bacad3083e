"""Which engines there are for a device, and which of them is the fastest that answers right."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from depth_anything_ros.core.errors import ModelError, quoted
from depth_anything_ros.engines.engine import ENGINES, Engine, EngineOptions, missing_extra
from depth_anything_ros.engines.gate import Difference, compare
from depth_anything_ros.engines.quantise import pictures_of
from depth_anything_ros.models.estimator import Answer, DepthEstimator
from depth_anything_ros.models.networks.output import NetworkOutput

_log = logging.getLogger(__name__)

# Where torch answers in this time it is faster than any camera in use, and the seconds that it
# takes to make another engine buy nothing.
FAST_ENOUGH_S = 0.015
# No engine is tried after this: what is the fastest so far is taken.
_BUDGET_S = 20.0
# On a CPU, OpenVINO was the faster one for each model and size that was measured
# (benchmark/README.md), and an export to ONNX takes up to a minute.
_BEATEN_BY = {"onnxruntime": "openvino"}
# What to compute in instead, where it is not float32.
_MORE_BITS = {"int8": ("auto", "fp32")}


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
# Devices that OpenVINO alone knows: GPU and NPU of Intel.
_INTEL = re.compile(r"(intel:)?(gpu(\.\d+)?|npu)", re.IGNORECASE)


@dataclass(frozen=True)
class Trial:
    """What came of one engine.

    Attributes:
        engine: that was tried.
        seconds: that one picture takes.
        difference: from the network in float32.
    """

    engine: Engine
    seconds: float
    difference: Difference

    def __str__(self) -> str:
        return f"{self.engine.name} {self.engine.precision} {self.seconds * 1e3:.0f} ms"


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


def candidates(engine: str, device: str) -> list[str]:
    """Return the engines to try on a device.

    Args:
        engine: ``auto``, or the only one.
        device: not ``auto``.

    Returns:
        Names of engines that are installed, torch first.

    Raises:
        ModelError: (``engine``) where the one that is asked for is not installed, or none runs on
            the device.
    """
    named = [engine] if engine != "auto" else list(KINDS)
    kind_of_device = re.split("[.:]", device.lower().removeprefix("intel:"))[0]
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


class Contest:
    """Engines that are tried on the same pictures, one after the other.

    Args:
        estimator: of the network.
        batches: its inputs, of one picture each and of one size.
        device: that engines are made for.
        options: of the engines.

    Attributes:
        best: the fastest of those that answer right, so far.
        said: how the engines did, in words.
        problems: why some do not count.
    """

    def __init__(
        self,
        estimator: DepthEstimator,
        batches: Sequence[Tensor],
        device: str,
        options: EngineOptions = EngineOptions(),  # noqa: B008 - it cannot be changed
    ) -> None:
        self.best: Trial | None = None
        self.said: list[str] = []
        self.problems: list[str] = []
        self._estimator, self._batches = estimator, batches
        self._device, self._options = device, options
        self._began = time.monotonic()
        with torch.inference_mode():
            answers = (estimator.network(batch) for batch in batches)
            self._exact = [NetworkOutput.of(answer, estimator.card.kind) for answer in answers]
        parts = [part for answer in self._exact for part in answer.parts]
        self.is_judge = all(bool(part.isfinite().all()) for part in parts)

    def is_pointless(self, name: str) -> bool:
        """Say whether it is not worth while to try another engine."""
        if self.best is None:
            return False
        late = time.monotonic() - self._began > _BUDGET_S
        beaten = _BEATEN_BY.get(name) == self.best.engine.name
        return late or beaten or self.best.seconds < FAST_ENOUGH_S

    def enter(self, name: str, precision: str) -> None:
        """Try an engine; where it answers wrong, in more bits, up to float32.

        Raises:
            Whatever the engine does.
        """
        for asked in dict.fromkeys((precision, *_MORE_BITS.get(precision, ("fp32",)))):
            trial = self._try(name, asked)
            if trial.difference.problem:
                self._reject(trial)
                if trial.engine.precision == "fp32":
                    return
                continue
            _log.info("%s: %s", trial, trial.difference)
            self.said.append(str(trial))
            if self.best is None or trial.seconds < self.best.seconds:
                self.best = trial
            return

    def _try(self, name: str, precision: str) -> Trial:
        engine = make(name, precision, self._estimator, self._device, self._options)
        engine.warm_up([(self._batches[0].shape[-2], self._batches[0].shape[-1])])
        answers, times = zip(*(timed_run(engine, batch) for batch in self._batches), strict=True)
        kind = self._estimator.card.kind
        found = [NetworkOutput.of(answer, kind) for answer in answers]
        difference = compare(found, self._exact)
        return Trial(engine, min(times), difference)  # others are slowed by what else runs

    def _reject(self, trial: Trial) -> None:
        problem = f"{trial.engine.name} in {trial.engine.precision} is not used: "
        self.problems.append(problem + trial.difference.problem)
        _log.warning("%s", self.problems[-1])


def timed_run(engine: Engine, batch: Tensor) -> tuple[Answer, float]:
    """Return an engine's answer and the seconds that it took."""
    start = time.perf_counter()
    answer = engine.run(batch)
    if batch.device.type == "cuda":
        torch.cuda.synchronize(batch.device)
    return answer, time.perf_counter() - start
