"""Train a model of the zoo by a recipe, in runs that may be stopped at any time."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from depth_anything_ros.core.errors import RecipeError, TrainingError, one_line, printable, quoted
from depth_anything_ros.core.files import atomically, user_path
from depth_anything_ros.core.picture_files import write_picture
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.models.device import PRECISIONS, choose_precision
from depth_anything_ros.models.weights.provenance import MODEL_KEY
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.training.batches import Batches
from depth_anything_ros.training.beginnings import ORIGIN, initial_network, teacher_encoder
from depth_anything_ros.training.objective import Objective
from depth_anything_ros.training.optimiser import (
    Optimisers,
    averaged_weights,
    freeze,
    rate_share,
)
from depth_anything_ros.training.processes import Processes, join_processes
from depth_anything_ros.training.recipe import LARGEST_INTEGER, Recipe
from depth_anything_ros.training.run_folder import Board, RunFolder, Table, writing
from depth_anything_ros.training.samples import Batch
from depth_anything_ros.training.tally import Tally
from depth_anything_ros.training.validation import HeldOut, draw_panels

# Steps in a row whose gradient is no number, after which a run cannot be saved by skipping them.
MOST_BAD_STEPS = 50
_PANELS = 4

Say = Callable[[str], None]


@dataclass(kw_only=True)
class TrainingProgress:
    """How far a run is, of all its processes and parts together.

    Attributes:
        step: steps done.
        pictures: seen.
        seconds: trained.
        skipped: steps whose gradient was no number.
        first_loss: mean loss of the first report ever.
        last_loss: mean loss of the last report.
        scores: of the last validation, see ``validation.picture_scores``.
    """

    step: int = 0
    pictures: int = 0
    seconds: float = 0.0
    skipped: int = 0
    first_loss: float = math.nan
    last_loss: float = math.nan
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def hours(self) -> float:
        """Hours trained."""
        return self.seconds / 3600

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> TrainingProgress:
        """Read the progress in a state; ValueError, naming it, on what is no number."""
        found = {f.name: state[f.name] for f in fields(cls) if f.name in state}
        for name in ("step", "pictures", "skipped"):
            if type(found[name]) is not int or not 0 <= found[name] <= LARGEST_INTEGER:
                raise ValueError(f"{name} is {quoted(found[name])}")
        for name, value in (found | dict(found["scores"])).items():
            if name != "scores" and not isinstance(value, int | float):
                raise ValueError(f"{quoted(name)} is {quoted(value)}")
        return cls(**found)


@dataclass(kw_only=True)
class TrainingResult(TrainingProgress):
    """How a run ended.

    Attributes:
        output: its folder.
        steps: steps of the recipe; where step is less, the run was stopped and can go on.
    """

    output: Path
    steps: int

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.steps


def train(
    recipe: Recipe,
    restart: bool = False,
    minutes: float = math.inf,
    say: Say | None = None,
) -> TrainingResult:
    """Run a recipe, from where its folder's last run stopped.

    SIGTERM and SIGINT finish the step, save, and return. Under torchrun, every process calls this;
    the first one writes.

    Args:
        recipe: what to run; ``recipe.output`` is the folder.
        restart: begin anew where the folder holds a run.
        minutes: stop and save after so long.
        say: takes progress lines; print if None.

    Raises:
        TrainingError: where the folder holds a run of another recipe, or the loss is no number.
        RecipeError, ModelError, CheckpointError, SourceError: where the recipe cannot be run.
    """
    with ExitStack() as stack:
        processes = stack.enter_context(join_processes(recipe.device))
        say = (say or _print) if processes.is_first else _say_nothing
        run = Run(recipe, processes, say)
        stack.callback(run.folder.unlock)
        run.open(restart)
        stack.callback(run.close)
        stop = stack.enter_context(_stop_signals())
        return run.go(stop, time.monotonic() + 60 * minutes)


def _print(line: str) -> None:
    print(printable(line), flush=True)


def _say_nothing(_line: str) -> None:
    """Leave talking to the first process."""


@contextmanager
def _stop_signals() -> Iterator[Callable[[], bool]]:
    """Catch SIGTERM and SIGINT once; yield a function that says whether one came."""
    came: list[int] = []
    old: dict[int, Any] = {}

    def catch(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        signal.signal(number, old[number])  # a second one acts at once

    with suppress(ValueError):  # not in the main thread: whoever runs this thread stops it
        for number in (signal.SIGTERM, signal.SIGINT):
            old[number] = signal.signal(number, catch)
    try:
        yield lambda: bool(came)
    finally:
        for caught, handler in old.items():
            signal.signal(caught, handler)


class Run:
    """One process of a training run: all that it holds between steps."""

    def __init__(self, recipe: Recipe, processes: Processes, say: Say) -> None:
        self.recipe, self.processes, self.say = recipe, processes, say
        device = self.device = processes.device
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        if device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        self.card = find_card(recipe.model)
        self.dtype = PRECISIONS[_precision(recipe.precision, device)]
        self.network = initial_network(recipe, self.card).to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        freeze(self.network, recipe.optimiser)
        self.average = averaged_weights(self.network, recipe.ema_decay)
        self.batches = Batches(recipe, processes, self.card.multiple)
        teacher = teacher_encoder(recipe, self.card)
        self.objective = Objective(
            self.card,
            recipe.losses,
            self.batches.has_regions,
            None if teacher is None else teacher.to(device),
        )
        self.objective.watch(self.network)
        self.optimiser = Optimisers(self.network, recipe.optimiser)
        self.model = self._parallel()
        self.tally = Tally(self.objective.names, device)
        self.folder = RunFolder(user_path(recipe.output, RecipeError))
        self.progress = TrainingProgress()
        self.passes = recipe.accumulate * processes.count
        self._held_out: HeldOut | None = None

    def _parallel(self) -> nn.Module:
        model: nn.Module = self.network
        if self.recipe.compile:
            model = torch.compile(model)  # type: ignore[assignment]
        if self.processes.count == 1:
            return model
        ids = [self.device.index] if self.device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=ids, gradient_as_bucket_view=True)

    def open(self, restart: bool) -> None:
        """Begin a run in the folder, or take up the one that is there."""
        if self.processes.is_first:
            self.folder.lock()
        resumes = self.folder.has_state() and not restart
        resumes = self.processes.any_of(resumes)  # and nobody begins before all have looked
        if resumes:
            self.folder.check(self.recipe)
            self._restore(self.folder.load_state())
        elif self.processes.is_first:
            self.folder.begin(self.recipe)
        if not self.processes.is_first:
            return
        path = self.folder.path
        columns = ("step", "pictures", "hours", "lr", *self.tally.names, "skipped")
        self.log = Table(path / "log.csv", columns, self.progress.step)
        self.board = Board(path, self.recipe.tensorboard, self.progress.step)
        count = sum(p.numel() for p in self.network.parameters())
        self.say(
            f"{self.card.name}: {count / 1e6:.2f} M parameters on {self.device} x "
            f"{self.processes.count}, {self.dtype}; {path}"
            f"{f', from step {self.progress.step}' if resumes else ''}"
        )
        if self.recipe.encoder_init and not resumes:
            self.say(f"the encoder begins with {ORIGIN}")
        if self.board.missing:
            self.say(f"no TensorBoard logs; for them: {how_to_install('train')}")

    def close(self) -> None:
        """Close the logs."""
        if self.processes.is_first:
            self.log.close()
            self.board.close()

    def go(self, stop: Callable[[], bool], deadline: float) -> TrainingResult:
        """Train until the last step, a signal, or the deadline (of time.monotonic)."""
        now = self._reported = self._saved = time.monotonic()
        self._begun = now - self.progress.seconds  # as if it had trained without a break
        self._reported_step = self.progress.step
        stopped = False
        with self.batches.start(self.progress.step) as batches:
            while self.progress.step < self.recipe.steps and not stopped:
                self._train_step(next(batches))
                self._after_step()
                stopped = self.processes.any_of(stop() or time.monotonic() > deadline)
            return self._end()  # saves before the threads are waited for, which may render

    def _train_step(self, batches: list[Batch]) -> None:
        """Do one step of the optimiser; with AdamW, nothing here waits for the device."""
        means: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            with self._sync(last=number == len(batches) - 1):
                terms = self.objective(self.model, batch, self.dtype)
                total = self.objective.total(terms)
                (total / len(batches) + self._alarm(total)).backward()
            for name, value in {**terms, "loss": total}.items():
                means[name] = means.get(name, 0) + value.detach() / len(batches)
            self.progress.pictures += len(batch.image) * self.processes.count
        limit = self.recipe.optimiser.clip_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
        bad = (~norm.isfinite()).float()
        self.optimiser.set_rate(self._rate(self.progress.step))
        self.optimiser.step(bad)
        self.progress.step += 1
        self.average.update(self.network, self.progress.step)
        self.tally.add([means[name] for name in self.tally.names[:-1]] + [norm], bad)

    def _alarm(self, total: Tensor) -> Tensor:
        """Return 0 with a gradient of 0; or NaN with one of NaN where the loss is no number.

        A loss of NaN can have a finite gradient (that of |x| is 0 there). This one makes the
        gradient NaN, in all processes at once, so that all of them skip the step.
        """
        weight = next(self.network.parameters()).flatten()[0]
        return weight * torch.where(total.detach().isfinite(), 0.0, math.nan)

    def _sync(self, last: bool) -> Any:  # noqa: ANN401 - a context manager
        """Exchange gradients between processes in the last pass of a step only."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return nullcontext()

    def _rate(self, step: int) -> float:
        share = rate_share(step, self.recipe.steps, self.recipe.optimiser)
        return self.recipe.optimiser.lr * share

    def _after_step(self) -> None:
        """Report, draw, validate and save where it is time to."""
        recipe, step = self.recipe, self.progress.step

        def is_due(every: int) -> bool:
            return bool(every) and (step % every == 0 or step == recipe.steps)

        if is_due(recipe.log_every):
            self._report()
        if not self.processes.is_first:
            return
        validates, draws = is_due(recipe.validate.every), is_due(recipe.panel_every)
        if (validates or draws) and (recipe.validate.views or recipe.validate.path):
            self._look(validates, draws)
        if time.monotonic() - self._saved > 60 * recipe.checkpoint_minutes:
            self._save()

    def _report(self) -> None:
        """Read the tally, which waits for the device, and write it down."""
        progress = self.progress
        means, bad, streak = self.tally.read()
        shared = self.processes.mean_of(list(means.values()))
        means = dict(zip(means, shared, strict=True))
        if streak >= MOST_BAD_STEPS:
            raise TrainingError(
                f"the gradient was no number in {streak} steps in a row up to step "
                f"{progress.step}: the state saved last in {self.folder.path} is sound; lower "
                f"optimiser.lr, or use precision fp32",
                reason="not_finite",
            )
        now = time.monotonic()
        pace = (now - self._reported) / max(progress.step - self._reported_step, 1)
        self._reported, self._reported_step = now, progress.step
        progress.seconds = now - self._begun
        progress.skipped += bad
        progress.last_loss = means["loss"]
        if math.isnan(progress.first_loss):
            progress.first_loss = progress.last_loss
        if not self.processes.is_first:
            return
        rate = self._rate(progress.step - 1)
        self.say(
            f"step {progress.step}/{self.recipe.steps}  loss {progress.last_loss:.4f}  "
            f"{self.recipe.batch_size * self.passes / pace:.1f} pictures/s  lr {rate:.2e}  "
            f"{_duration(pace * (self.recipe.steps - progress.step))} left"
            f"{f'  {bad} steps skipped: gradient was no number' if bad else ''}"
        )
        facts = {"step": progress.step, "pictures": progress.pictures, "hours": progress.hours}
        self.log.add({**facts, "lr": rate, **means, "skipped": progress.skipped})
        self.board.add("train", {**means, "lr": rate}, progress.step)

    def _look(self, validates: bool, draws: bool) -> None:
        """Score and draw the averaged weights on pictures that are not trained on."""
        if self._held_out is None:
            self.say("making the pictures to validate on")
            self._held_out = HeldOut(self.recipe.validate, self.card, str(self.device))
        network, step, folder = self.average.module, self.progress.step, self.folder.path
        if validates:
            scores = self.progress.scores = self._held_out.score(network, self.device)
            words = "  ".join(f"{name} {value:.4f}" for name, value in scores.items())
            self.say(f"step {step}  validation  {words}")
            table = Table(folder / "validation.csv", ("step", *scores), step - 1)
            table.add({"step": step, **scores})
            table.close()
            self.board.add("validation", scores, step)
        panels = self._held_out.panels(network, self.device, _PANELS) if draws else []
        if panels:
            picture = draw_panels(panels)
            path = folder / "panels" / f"step_{step:07d}.png"
            with writing(folder):
                path.parent.mkdir(exist_ok=True)
                with atomically(path) as partial:
                    write_picture(partial, picture[..., ::-1])
            self.board.picture("panels", picture, step)

    def _end(self) -> TrainingResult:
        progress, steps = self.progress, self.recipe.steps
        if progress.step > self._reported_step:
            self._report()
        if self.processes.is_first:
            self._save()
            self.say(
                f"stopped at step {progress.step} of {steps}, saved in {self.folder.path}; run "
                f"the same command again to go on"
                if progress.step < steps
                else f"finished: {progress.pictures} pictures in {_duration(progress.seconds)}, "
                f"weights in {self.folder.weights_file}"
            )
        return TrainingResult(output=self.folder.path, steps=steps, **vars(progress))

    def _save(self) -> None:
        self._saved = time.monotonic()
        self.progress.seconds = self._saved - self._begun
        average = self.average.module.state_dict()
        facts = {
            MODEL_KEY: self.card.name,
            "steps": f"{self.progress.step} of {self.recipe.steps}",
            "pictures": str(self.progress.pictures),
            "hours": f"{self.progress.hours:.3f}",
            "device": _device_name(self.device, self.processes.count),
            "recipe": self.recipe.to_yaml(),
        }
        self.folder.save_weights(average, facts)
        self.folder.save_state(
            {
                **vars(self.progress),
                "passes": self.passes,
                "network": self.network.state_dict(),
                "average": average,
                "optimiser": self.optimiser.state_dict(),
                "rng": torch.get_rng_state(),
            }
        )

    def _restore(self, state: dict[str, Any]) -> None:
        """Take up a state.

        Raises:
            TrainingError: where it is of another number of passes, or it is not whole.
        """
        try:
            if state["passes"] != self.passes:
                raise TrainingError(
                    f"{self.folder.path} holds a run with {state['passes']} passes a step, and "
                    f"{self.processes.count} processes with accumulate {self.recipe.accumulate} "
                    f"make {self.passes}; start as many processes as before, or give --restart"
                )
            self.progress = TrainingProgress.of_state(state)
            self.network.load_state_dict(state["network"])
            # The averages of an earlier version hold no buffers.
            self.average.module.load_state_dict({**state["network"], **state["average"]})
            self.optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["rng"])
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise TrainingError(
                f"{self.folder.state_file} does not hold a state of this run "
                f"({type(error).__name__}: {one_line(error)}); begin anew with --restart",
                reason="damaged",
            ) from error


def _precision(name: str, device: torch.device) -> str:
    """Choose what auto means; float16 would need a scaled loss, so that it becomes float32."""
    chosen = choose_precision(name, device)
    return "fp32" if chosen == "fp16" else chosen


def _device_name(device: torch.device, count: int) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return f"{count} x {name}"


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
