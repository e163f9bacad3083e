"""Whether engines answer right, and which was the fastest: found out once, and kept on the disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from depth_anything_ros import __version__
from depth_anything_ros.core.errors import DepthAnythingError, ModelError
from depth_anything_ros.core.programs import processor
from depth_anything_ros.engines.cache import Cache, hash_of, key_of
from depth_anything_ros.engines.engine import Engine, EngineOptions, version_of
from depth_anything_ros.engines.gate import Difference, compare, pictures
from depth_anything_ros.engines.out_of_memory import is_out_of_memory
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.output import AnyOutput, NetworkOutput

_log = logging.getLogger(__name__)

# Height and width of the pictures that engines are made ready for: of 4:3, all of whose sizes a
# network of a fixed shorter side takes as one. Others are made ready for when they come: torch
# answers them at once, and engines with graphs of fixed sizes let it, until theirs is compiled.
USUAL_PICTURE = (480, 640)
_PICTURES = 2
# What may change the answers of an engine, or its speed.
_PACKAGES = ("torch", "openvino", "nncf", "onnxruntime", "onnxruntime-gpu", "onnx", "tensorrt-cu12")
_FILE = "facts.json"


class UnjudgedError(DepthAnythingError):
    """There is nothing to compare engines with."""


class Verdicts:
    """The gate's verdicts on the engines of a network, and the choice by timing.

    They are of its weights, its input size, the versions of the packages, and the processor. On
    other devices than the CPU verdicts are not kept: there, a picture takes less time than to hash
    the weights.

    Args:
        estimator: of the network.
        device: that engines are made for.
        options: of the engines.
    """

    def __init__(self, estimator: DepthEstimator, device: str, options: EngineOptions) -> None:
        self._estimator, self._device, self._options = estimator, device, options

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input for a usual picture."""
        width, height = self._estimator.network_size(*USUAL_PICTURE[::-1])
        return height, width

    @cached_property
    def batches(self) -> list[Tensor]:
        """The network's inputs for the gate's pictures, one each."""
        return [self._estimator.prepared(rgb) for rgb in pictures(_PICTURES, *USUAL_PICTURE)]

    @cached_property
    def exact(self) -> list[NetworkOutput]:
        """What the network answers in float32.

        Raises:
            UnjudgedError: where that is more than memory holds, or NaN or Inf.
        """
        return self._exact(self.batches)

    def _exact(self, batches: Sequence[Tensor]) -> list[NetworkOutput]:
        name = self._estimator.card.name
        answers = self._answers_in_float32(batches)
        if answers is None:
            raise UnjudgedError(f"{name} in fp32 needs more memory than there is: unchecked")
        parts = [part for answer in answers for part in answer.parts]
        if not all(bool(part.isfinite().all()) for part in parts):
            raise UnjudgedError(f"{name} answers NaN or Inf in fp32 already: check the weights")
        return answers

    def _answers_in_float32(self, batches: Sequence[Tensor]) -> list[NetworkOutput] | None:
        try:
            with torch.inference_mode():
                return [self._named(self._estimator.network(batch)) for batch in batches]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        torch.cuda.empty_cache()
        return None

    def on(self, engine: Engine) -> Difference:
        """Compare an engine with the network in float32, unless it was done before.

        Raises:
            UnjudgedError: as ``exact``; and whatever the engine does.
        """
        own_pictures = engine.precision == "int8" and self._options.calibration
        if self._estimator.device.type != "cpu" or own_pictures:
            return self._compared(engine)
        return Cache("verdicts").opened(
            self._key(engine.name, engine.precision),
            lambda: self._compared(engine),
            lambda found, folder: _write(folder, asdict(found)),
            lambda folder: Difference(**_read(folder)),
            lambda found: found,
        )

    def check(self, engine: Engine, batch: Tensor, run: Callable[[Tensor], AnyOutput]) -> None:
        """Judge what an engine made for another size of input, on a batch of the camera at hand.

        A library may answer right at one size and wrong at another (OpenVINO 2026.4.1 does, and not
        in every run), so that no verdict is kept. Where there is nothing to compare with, that is
        said, and it is taken.

        Args:
            engine: that made it.
            batch: float32 (batch, 3, height, width), normalised.
            run: answers it.

        Raises:
            ModelError: (``engine``) where that is wrong.
        """
        try:
            exact = self._exact([batch])
        except UnjudgedError as problem:
            _log.warning("%s", problem)
            return
        difference = compare([self._named(run(batch))], exact)
        if difference.problem:
            raise ModelError(
                f"{engine.name} in {engine.precision} is not used there: {difference.problem}",
                reason="engine",
            )

    def _compared(self, engine: Engine) -> Difference:
        engine.warm_up([self.size])
        answers = [self._named(engine.run(batch)) for batch in self.batches]
        return compare(answers, self.exact)

    def _named(self, answer: AnyOutput) -> NetworkOutput:
        return NetworkOutput.of(answer, self._estimator.card.kind)

    def choice(self, precision: str) -> tuple[str, str] | None:
        """Return the engine and precision that were chosen by timing for one asked for."""
        return Cache("choices").found(
            self._key("auto", precision), lambda folder: tuple(_read(folder).values())
        )

    def choose(self, precision: str, engine: Engine) -> None:
        """Have an engine chosen from now on, where ``precision`` and no engine is asked for."""
        cache, key = Cache("choices"), self._key("auto", precision)
        cache.remove(key)
        chosen = {"engine": engine.name, "precision": engine.precision}
        cache.opened(
            key,
            lambda: chosen,
            lambda facts, folder: _write(folder, facts),
            _read,
            lambda facts: facts,
        )

    def _key(self, *asked: str) -> str:
        facts = [__version__, *map(version_of, _PACKAGES), hash_of(self._estimator.network)]
        return key_of(self._estimator.card, self.size, [*facts, processor(), self._device, *asked])


def _write(folder: Path, facts: Mapping[str, object]) -> None:
    (folder / _FILE).write_text(json.dumps(facts), encoding="utf-8")


def _read(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    return facts
