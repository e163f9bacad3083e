"""Load a model and put the best engine in that answers right."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from depth_anything_ros.core.errors import ModelError, first_line, quoted
from depth_anything_ros.engines.choice import candidates, check_engine, make, torch_device
from depth_anything_ros.engines.engine import ENGINE_PRECISIONS, Engine, EngineOptions
from depth_anything_ros.engines.out_of_memory import is_out_of_memory, take_smaller_input
from depth_anything_ros.engines.verdicts import UnjudgedError, Verdicts
from depth_anything_ros.models.device import PRECISIONS, choose_device, choose_precision
from depth_anything_ros.models.estimator import DepthEstimator, Running
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import family_of

_log = logging.getLogger(__name__)

# What to compute in instead, where an engine answers wrong.
_MORE_BITS = {"int8": ("auto", "fp32"), "fp32": ()}
_TIMED_RUNS = 10


def load_estimator(
    model: str | ModelCard,
    weights: str = "",
    device: str = "auto",
    engine: str = "auto",
    precision: str = "auto",
    input_size: int = 0,
    download: bool = False,
    compiles: bool = False,
    calibration: str = "",
    together: bool = False,
) -> DepthEstimator:
    """Load a model to be run by an engine.

    An engine must answer as the network does in float32 (``gate.Difference``); in 16 bits or
    fewer where it can, else in float32, with a warning. What it answered is remembered in the
    cache. ``infer_views`` and pictures with a prompt are left to torch, with any engine.

    Args:
        model: as of DepthEstimator, and so are weights, input_size and download.
        weights: see there.
        device: see there; or ``GPU``, ``GPU.N`` or ``NPU`` of Intel, by OpenVINO.
        engine: ``auto``, the one that ``choose_by_timing`` found here, else the first that is
            installed of ``choice.TABLE``; or one of ``ENGINES``.
        precision: ``auto`` is 16 bits where the device computes them natively; ``fp32``, ``bf16``,
            ``fp16``, or ``int8`` of an engine that does it.
        input_size: see there.
        download: see there.
        compiles: as of EngineOptions.
        calibration: see there.
        together: whether an any-view model is to answer pictures together only, which no engine
            makes faster; none is looked for then.

    Returns:
        An estimator whose ``engine`` says what runs it, and why.

    Raises:
        ModelError: as of DepthEstimator; ``engine`` on one that is unknown, not installed or not
            for the device; ``precision`` on one that the engine does not compute.
        CheckpointError: as of DepthEstimator.
        SourceError: where there are no pictures to calibrate with.
    """
    check_engine(engine)
    _check_precision(precision)
    estimator, on = _loaded(model, weights, device, precision, input_size, download)
    if together and estimator.card.any_view:
        return estimator
    names = _candidates(engine, on, estimator.card)
    search = _Search(estimator, on, precision, EngineOptions(compiles, calibration))
    chosen, why = _within_memory(search, names)
    estimator.runner = chosen.run
    estimator.engine = Running(chosen.name, chosen.precision, chosen.device, why)
    return estimator


def choose_by_timing(
    model: str | ModelCard,
    weights: str = "",
    device: str = "auto",
    precision: str = "auto",
    input_size: int = 0,
    download: bool = False,
) -> list[tuple[Engine, float]]:
    """Time all engines that run a model here, and have ``engine: auto`` take the fastest.

    The arguments are as of load_estimator, and so is what is raised.

    Returns:
        The engines that answer right and the seconds that a picture takes, the fastest first.
    """
    _check_precision(precision)
    estimator, on = _loaded(model, weights, device, precision, input_size, download)
    verdicts = Verdicts(estimator, on, EngineOptions())
    names = _candidates("any", on, estimator.card)
    found: dict[tuple[str, str], tuple[Engine, float]] = {}
    for asked in (precision, "fp32") if precision == "auto" else (precision,):
        for engine, _ in _Search(estimator, on, asked).sound(names):
            if (engine.name, engine.precision) not in found:
                engine.warm_up([verdicts.size])
                seconds = _seconds(engine, verdicts.batches[0])
                found[engine.name, engine.precision] = (engine, seconds)
    ranked = sorted(found.values(), key=lambda one: one[1])
    if ranked:
        verdicts.choose(precision, ranked[0][0])
    return ranked


def _loaded(
    model: str | ModelCard, weights: str, device: str, precision: str, size: int, download: bool
) -> tuple[DepthEstimator, str]:
    """Return a model that torch runs, and the device that engines are made for."""
    on_torch = torch_device(device)
    estimator = DepthEstimator(
        model, weights, on_torch, _torch_precision(precision, on_torch), size, download
    )
    return estimator, str(estimator.device) if on_torch == device else device


def _candidates(engine: str, device: str, card: ModelCard) -> list[str]:
    """Return the engines to try, as ``choice.candidates``: of some families torch alone."""
    family = family_of(card)
    if family.export:
        return candidates(engine, device, family.name)
    if engine not in ("auto", "any", "torch"):
        raise ModelError(
            f"{card.name} is run by torch alone, as its own package does; got engine {engine}",
            reason="engine",
        )
    return candidates("torch", device)


def _seconds(engine: Engine, batch: Tensor) -> float:
    """Return the least time of a picture: others are slowed by what else runs."""
    times = []
    for _ in range(_TIMED_RUNS):
        start = time.perf_counter()
        engine.run(batch)
        if batch.device.type == "cuda":
            torch.cuda.synchronize(batch.device)
        times.append(time.perf_counter() - start)
    return min(times)


def _within_memory(search: _Search, names: Sequence[str]) -> tuple[Engine, str]:
    """Choose an engine and warm it up; where memory is short, once more for smaller pictures."""
    try:
        return search.first(names)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        problem = str(error)
    # Not above: an error that is being handled holds memory.
    if not take_smaller_input(search.estimator):
        raise ModelError(f"{problem}; choose a smaller model", reason="out_of_memory")
    return replace(search).first(names)


def _check_precision(name: str) -> None:
    if name != "auto" and name not in ENGINE_PRECISIONS:
        raise ModelError(
            f"there is no precision {quoted(name)}; use auto, {', '.join(ENGINE_PRECISIONS)}",
            reason="precision",
        )


def _torch_precision(precision: str, device: str) -> str:
    """Return what torch computes in what is left to it, whatever the engine does."""
    if precision not in PRECISIONS:
        return "auto"
    try:
        return choose_precision(precision, choose_device(device))
    except ModelError:  # of torch; another engine may
        return "auto"


@dataclass
class _Search:
    """The engines that run a network and answer right.

    Attributes:
        estimator: of the network.
        device: that engines are made for.
        precision: that is asked for.
        options: of the engines.
        problems: why some are left out.
    """

    estimator: DepthEstimator
    device: str
    precision: str
    options: EngineOptions = field(default_factory=EngineOptions)
    problems: list[str] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.verdicts = Verdicts(self.estimator, self.device, self.options)

    def first(self, names: Sequence[str]) -> tuple[Engine, str]:
        """Return the first engine that answers right, ready to run, and why it is that."""
        chosen = self.verdicts.choice(self.precision) if len(names) > 1 else None
        try:
            found = next(self.sound(names, chosen), None)
        except UnjudgedError as problem:
            _log.warning("%s", problem)
            engine = self._made("torch" if "torch" in names else names[0], self.precision)
            said = "unchecked"
        else:
            engine, said = found or (self._fallback(), "")
        engine.warm_up([self.verdicts.size])
        engine.judge = partial(self.verdicts.check, engine)
        is_chosen = chosen == (engine.name, engine.precision)
        timed = "the fastest when they were timed" if is_chosen else ""
        return engine, "; ".join(filter(None, (timed, said, *self.problems)))

    def _fallback(self) -> Engine:
        name = self.estimator.card.name
        _log.warning("no engine answers right, so torch runs %s in fp32", name)
        return self._made("torch", "fp32")

    def sound(
        self, names: Sequence[str], chosen: tuple[str, str] | None = None
    ) -> Iterator[tuple[Engine, str]]:
        """Yield those that answer right, each in the first precision in which it does.

        With each comes how far it is from float32; "" of the network itself.

        Args:
            names: of engines, in the order in which they are tried.
            chosen: an engine and its precision to begin with.

        Raises:
            ModelError: (``precision``) where none computes the precision; where there is one
                engine only, what it raises.
            UnjudgedError: as ``Verdicts.on``.
        """
        precisions = (self.precision, *_MORE_BITS.get(self.precision, ("fp32",)))
        steps = [(name, precisions) for name in names]
        if chosen is not None:
            steps.insert(0, (chosen[0], (chosen[1],)))
        refused: list[str] = []
        for name, some in steps:
            try:
                found = self._right(name, some)
            except UnjudgedError:
                raise
            except Exception as error:  # of any library
                refused.append(getattr(error, "reason", ""))
                if len(steps) == 1 or refused == ["precision"] * len(steps):
                    raise
                self.problems.append(f"{name} cannot: {first_line(error)}")
                if refused[-1] != "precision":  # which is as it should be
                    _log.warning("engine %s cannot run it: %s", name, first_line(error))
                continue
            if found is not None:
                yield found

    def _right(self, name: str, precisions: Sequence[str]) -> tuple[Engine, str] | None:
        """Return an engine in the first precision in which it answers right."""
        for asked in precisions:
            engine = self._made(name, asked)
            if (engine.name, engine.precision) == ("torch", "fp32"):  # the network itself
                return engine, ""
            difference = self.verdicts.on(engine)
            if not difference.problem:
                return engine, str(difference)
            self.problems.append(
                f"{engine.name} in {engine.precision} is not used: {difference.problem}"
            )
            _log.warning("%s", self.problems[-1])
            if engine.precision == "fp32":
                break
        return None

    def _made(self, name: str, precision: str) -> Engine:
        return make(name, precision, self.estimator, self.device, self.options)
