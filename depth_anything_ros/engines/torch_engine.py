"""PyTorch itself, with what it computes in 16 bits rounded once, and two ways to save launches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from depth_anything_ros.core.depth import Kind
from depth_anything_ros.core.errors import first_line
from depth_anything_ros.engines.block_attention import faster_attention
from depth_anything_ros.engines.by_size import ByKey, Places
from depth_anything_ros.engines.engine import Judge
from depth_anything_ros.engines.shared_copy import shared_copy
from depth_anything_ros.models.device import PRECISIONS, choose_precision
from depth_anything_ros.models.estimator import DepthEstimator
from depth_anything_ros.models.networks.output import AnyOutput, NetworkOutput
from depth_anything_ros.models.threads import torch_threads
from depth_anything_ros.models.zoo.families import family_of

_log = logging.getLogger(__name__)

Shape = tuple[int, ...]  # batch, channels, height, width
# Runs before a capture: cuDNN chooses its algorithms in the first ones.
_RUNS_BEFORE_CAPTURE = 3
_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
_BACKEND = "inductor"  # of torch.compile
# Pictures of the first size are compiled for while a user waits; of others, in the background.
_COMPILED_AT_ONCE = 1


class TorchEngine:
    """The network in torch: channels last, fused attention, autocast to 16 bits.

    Args:
        estimator: whose network it is; the network stays as it is.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        compiles: whether to compile for each size of input, in the background but for the first
            of ``warm_up``; the network runs as it is until that is done.

    On CUDA, what a size of input launches is recorded once and replayed.
    """

    name = "torch"

    def __init__(self, estimator: DepthEstimator, precision: str, compiles: bool = False) -> None:
        self.precision = precision
        self.device = str(estimator.device)
        self._device = estimator.device
        self._dtype = PRECISIONS[precision]
        self._card = estimator.card
        self._network = estimator.network
        self.judge: Judge | None = None
        self._compiles = compiles
        self._threads = estimator.threads
        self._compiled: ByKey[Shape, Callable[[Tensor], AnyOutput]] = ByKey(
            self._compile, f"{estimator.card.name} by torch.compile", _in_words, self._check
        )
        self._graphs: Places[Shape, _RecordedGraph] = (
            Places()
        )  # each holds the memory of all layers
        # Code of other packages may ask for the kind of its weights, or go by way of the CPU, which
        # no recording replays.
        self._is_own = bool(family_of(estimator.card).export)
        self._is_rounded = self._dtype == torch.float32 or not self._is_own

    def run(self, batch: Tensor) -> NetworkOutput:
        """Answer what the network does; see ``engine.Engine``."""
        return self._run(batch, records=False)

    def _run(self, batch: Tensor, records: bool) -> NetworkOutput:
        batch = batch.contiguous(memory_format=torch.channels_last)
        with self._modes():
            self._round_once(batch)
            network = self._network_for(batch)
            if self._device.type == "cuda" and self._is_own:
                return self._replay(network, batch, records)
            # What looks at each call would break up a compiled graph.
            is_plain = network is self._network
            with faster_attention(batch, self._dtype) if is_plain else nullcontext():
                return NetworkOutput.of(network(batch), self._card.kind)

    def warm_up(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Run, compile or record for sizes (height, width) of the network's input."""
        for index, size in enumerate(sizes):
            batch = torch.zeros(1, 3, *size, device=self._device)
            if self._compiles and index < _COMPILED_AT_ONCE:
                self.run(batch)  # rounds the weights before they are compiled in
                self._compile_now(tuple(batch.shape))
            self._run(batch, records=True)

    @contextmanager
    def _modes(self) -> Iterator[None]:
        enabled = self._dtype != torch.float32
        autocast = torch.autocast(self._device.type, self._dtype, enabled)
        with torch.inference_mode(), autocast, torch_threads(self._threads):
            yield

    def _round_once(self, batch: Tensor) -> None:
        if not self._is_rounded:
            self._network = rounded_copy(self._network, batch, self._dtype)
            self._is_rounded = True

    def _network_for(self, batch: Tensor) -> Callable[[Tensor], AnyOutput]:
        """Return the compiled network where there is one, else the plain one."""
        if not self._compiles:
            return self._network
        compiled = self._compiled.get(tuple(batch.shape), batch.clone)
        return self._network if compiled is None else compiled

    def _compile_now(self, shape: Shape) -> None:
        try:
            self._compiled.ensure(shape)
        except Exception as error:  # a compiler that is missing, or a layer it cannot compile
            _log.warning(
                "torch.compile failed, so %s runs without: %s", self._card.name, first_line(error)
            )

    def _compile(self, shape: Shape) -> Callable[[Tensor], AnyOutput]:
        compiled = torch.compile(self._network, dynamic=False, backend=_BACKEND)
        batch = torch.zeros(shape, device=self._device)
        with self._modes():
            compiled(batch.contiguous(memory_format=torch.channels_last))
        self._graphs.drop(shape)  # of the plain network
        _log.info("compiled %s for %s", self._card.name, _in_words(shape))
        return compiled

    def _check(self, shape: Shape, compiled: Callable[[Tensor], AnyOutput], sample: Tensor) -> None:
        def answered(batch: Tensor) -> AnyOutput:
            with self._modes():
                answer: AnyOutput = compiled(batch)
            return answer

        if self.judge is not None:
            self.judge(sample, answered)

    def _replay(
        self, network: Callable[[Tensor], AnyOutput], batch: Tensor, records: bool
    ) -> NetworkOutput:
        shape = tuple(batch.shape)
        graph = self._graphs.get(shape)
        if graph is None:
            if not (records or self._graphs.is_due(shape)):
                return NetworkOutput.of(network(batch), self._card.kind)
            graph = _RecordedGraph(network, batch, self._card.kind)
            self._graphs.put(shape, graph)
        return graph.replay(batch)


def _in_words(shape: Shape) -> str:
    return "x".join(map(str, shape))


class _RecordedGraph:
    """What a network launches for one shape of input, recorded."""

    def __init__(self, network: Callable[[Tensor], AnyOutput], batch: Tensor, kind: Kind) -> None:
        self._input = batch.clone(memory_format=torch.preserve_format)
        stream = torch.cuda.Stream(batch.device)
        stream.wait_stream(torch.cuda.current_stream(batch.device))
        with torch.cuda.stream(stream):
            for _ in range(_RUNS_BEFORE_CAPTURE):
                network(self._input)
        torch.cuda.current_stream(batch.device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # Other threads of a process may allocate meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._answer = NetworkOutput.of(network(self._input), kind)

    def replay(self, batch: Tensor) -> NetworkOutput:
        """Answer another batch of the shape; the tensors are the caller's own."""
        self._input.copy_(batch)
        self._graph.replay()
        parts = [part.clone() for part in self._answer.parts]
        return NetworkOutput.named(self._answer.names, parts)


def rounded_copy(network: nn.Module, batch: Tensor, dtype: torch.dtype) -> nn.Module:
    """Copy a network, with the weights rounded that autocast would round anew at each run.

    Autocast's answers stay the same, bit for bit. Layers that run in float32 on purpose (the last
    ones) keep their weights, as do those that did not run; what is not rounded is shared.

    Args:
        network: in float32, called under autocast to dtype.
        batch: any input of it.
        dtype: float16 or bfloat16.
    """
    copied = shared_copy(network)
    layers = _rounded_by_autocast(copied, batch)
    with torch.inference_mode(False):  # such that they can be compiled in
        for layer in layers:
            for name, value in list(layer.named_parameters(recurse=False)):
                setattr(layer, name, nn.Parameter(value.to(dtype), requires_grad=False))
    return copied


def _rounded_by_autocast(network: nn.Module, batch: Tensor) -> list[nn.Module]:
    """Return the layers of a network that compute under autocast whenever they are called."""
    always: dict[nn.Module, bool] = {}

    def note(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        enabled = torch.is_autocast_enabled(batch.device.type)
        always[layer] = enabled and always.get(layer, True)

    hooks = [
        layer.register_forward_pre_hook(note)
        for layer in network.modules()
        if isinstance(layer, _LAYERS)
    ]
    try:
        network(batch)
    finally:
        for hook in hooks:
            hook.remove()
    return [layer for layer, is_rounded in always.items() if is_rounded]


def make(
    estimator: DepthEstimator, precision: str, device: str = "", compiles: bool = False
) -> TorchEngine:
    """Make the engine of an estimator.

    Args:
        estimator: whose network it is.
        precision: ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        device: the estimator's own, in any case.
        compiles: see TorchEngine.

    Raises:
        ModelError: (``precision``) where the device does not compute it.
    """
    return TorchEngine(estimator, choose_precision(precision, estimator.device), compiles)
