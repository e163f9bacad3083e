"""Load a model and put the fastest engine in that answers right."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch

from depth_anything_ros.core.errors import ModelError, first_line, quoted
from depth_anything_ros.engines.choice import (
    Contest,
    candidates,
    check_engine,
    make,
    torch_device,
)
from depth_anything_ros.engines.engine import ENGINE_PRECISIONS, Engine, EngineOptions
from depth_anything_ros.engines.gate import pictures
from depth_anything_ros.engines.out_of_memory import is_out_of_memory, take_smaller_input
from depth_anything_ros.models.device import PRECISIONS, choose_device, choose_precision
from depth_anything_ros.models.estimator import DepthEstimator, Running
from depth_anything_ros.models.zoo.card import ModelCard

_log = logging.getLogger(__name__)

# Height and width of the pictures that engines are made ready for: of 4:3, all of whose sizes a
# network of a fixed shorter side takes as one. Others are made ready for when they come: torch
# answers them at once, and engines with graphs of fixed sizes let it, until theirs is compiled.
USUAL_PICTURE = (480, 640)
_GATE_PICTURES = 2


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

    Each engine that is tried must answer as the network does in float32 (``gate.Difference``);
    in 16 bits or fewer where it can, else in float32, with a warning. ``infer_views`` and
    pictures with a prompt are left to torch, with any engine.

    Args:
        model: as of DepthEstimator, and so are weights, input_size and download.
        weights: see there.
        device: see there; or ``GPU``, ``GPU.N`` or ``NPU`` of Intel, by OpenVINO.
        engine: ``auto``, the fastest of those that are installed; or one of ``ENGINES``.
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
    on_torch = torch_device(device)
    estimator = DepthEstimator(
        model, weights, on_torch, _torch_precision(precision, on_torch), input_size, download
    )
    if together and estimator.card.any_view:
        return estimator
    on_engine = str(estimator.device) if on_torch == device else device
    names = candidates(engine, on_engine)
    choose = partial(
        _choose, estimator, names, precision, on_engine, EngineOptions(compiles, calibration)
    )
    chosen, why = _within_memory(estimator, choose)
    estimator.runner = chosen.run
    estimator.engine = Running(chosen.name, chosen.precision, chosen.device, why)
    gc.collect()  # the engines that were not chosen
    return estimator


def _within_memory(
    estimator: DepthEstimator, choose: Callable[[], tuple[Engine, str]]
) -> tuple[Engine, str]:
    """Choose an engine and warm it up; where memory is short, once more for smaller pictures."""
    try:
        chosen, why = choose()
        chosen.warm_up([_input_size(estimator)])
        return chosen, why
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        problem = str(error)
    # Not above: an error that is being handled holds memory.
    if not take_smaller_input(estimator):
        raise ModelError(f"{problem}; choose a smaller model", reason="out_of_memory")
    chosen, why = choose()
    chosen.warm_up([_input_size(estimator)])
    return chosen, why


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


def _choose(
    estimator: DepthEstimator,
    names: Sequence[str],
    precision: str,
    device: str,
    options: EngineOptions,
) -> tuple[Engine, str]:
    """Return the fastest engine that answers right, and why it is that."""
    plain = list(names) == ["torch"] and "fp32" in (precision, estimator.precision)
    contest = None if plain else _contest(estimator, device, options)
    if contest is None:
        name = names[0]
        return make(name, precision, estimator, device, options), "" if plain else "unchecked"
    _hold(contest, names, precision)
    if contest.best is None:
        _log.warning("no engine answers right, so torch runs %s in fp32", estimator.card.name)
        return make("torch", "fp32", estimator, device, options), "; ".join(contest.problems)
    reasons = [", ".join(contest.said), str(contest.best.difference), *contest.problems]
    return contest.best.engine, "; ".join(reasons)


def _hold(contest: Contest, names: Sequence[str], precision: str) -> None:
    """Enter engines, but those that it is not worth while to try.

    Raises:
        ModelError: (``precision``) where none computes the precision; where there is one engine
            only, what it raises.
    """
    refused: list[Exception] = []
    for name in names:
        if contest.is_pointless(name):
            contest.problems.append(f"not tried: {name}")
            continue
        try:
            contest.enter(name, precision)
        except Exception as error:
            refused.append(error)
            reasons = [getattr(one, "reason", "") for one in refused]
            if reasons == ["precision"] * len(names) or len(names) == 1:
                raise
            line = first_line(error)
            contest.problems.append(f"{name} cannot: {line}")
            if reasons[-1] != "precision":  # which is as it should be
                _log.warning("engine %s cannot run it: %s", name, line)


def _contest(estimator: DepthEstimator, device: str, options: EngineOptions) -> Contest | None:
    """Return a contest with pictures of the usual size; None where float32 cannot judge it."""
    batches = [estimator.prepared(picture) for picture in pictures(_GATE_PICTURES, *USUAL_PICTURE)]
    try:
        contest = Contest(estimator, batches, device, options)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        _log.warning("%s in fp32 needs more memory than there is: unchecked", estimator.card.name)
        torch.cuda.empty_cache()
        return None
    if not contest.is_judge:
        _log.warning(
            "%s answers NaN or Inf in fp32 already: check the weights", estimator.card.name
        )
        return None
    return contest


def _input_size(estimator: DepthEstimator) -> tuple[int, int]:
    """Return height and width of the network's input for a usual picture."""
    batch = estimator.prepared(np.zeros((*USUAL_PICTURE, 3), np.uint8))
    return batch.shape[-2], batch.shape[-1]
