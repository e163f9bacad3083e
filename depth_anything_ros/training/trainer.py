"""Train a model of the zoo by a recipe, in runs that may be stopped at any time."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
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
from depth_anything_ros.training.beginnings import initial_network, teacher_encoder
from depth_anything_ros.training.encoder_init import ORIGIN
from depth_anything_ros.training.objective import Objective
from depth_anything_ros.training.optimiser import (
    AveragedWeights,
    Optimisers,
    clip_gradient,
    freeze_depthwise,
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


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes:
        output: its folder.
        step: steps done, of all runs together.
        steps: steps of the recipe; where step is less, the run was stopped and can go on.
        pictures: seen, of all runs and processes together.
        hours: trained, of all runs together.
        first_loss: mean loss of the first report ever.
        last_loss: mean loss of the last report.
        scores: of the last validation, see ``validation.picture_scores``.
    """

    output: Path
    step: int
    steps: int
    pictures: int
    hours: float
    first_loss: float
    last_loss: float
    scores: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.steps


def train(
    recipe: Recipe,
    restart: bool = False,
    minutes: float = math.inf,
    say: Say | None = None,
) -> Result:
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
        if not processes.is_first:
            say = _say_nothing
        run = Run(recipe, processes, say or _print)
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

    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            old[number] = signal.signal(number, catch)
    except ValueError:  # not in the main thread: whoever runs this thread stops it
        came.clear()
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
        if not recipe.optimiser.depthwise:
            freeze_depthwise(self.network)
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
        self.average = AveragedWeights(self.network, recipe.ema_decay)
        self.model = self._wrapped()
        self.tally = Tally(self.objective.names, device)
        self.folder = RunFolder(user_path(recipe.output, RecipeError))
        self.step, self.pictures, self.seconds, self.skipped = 0, 0, 0.0, 0
        self.first_loss = self.last_loss = math.nan
        self.scores: dict[str, float] = {}
        self._held_out: HeldOut | None = None

    def _wrapped(self) -> nn.Module:
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
        self.log = Table(path / "log.csv", columns, self.step)
        self.board = Board(path, self.recipe.tensorboard, self.step)
        count = sum(p.numel() for p in self.network.parameters())
        self.say(
            f"{self.card.name}: {count / 1e6:.2f} M parameters on {self.device} x "
            f"{self.processes.count}, {self.dtype}; {path}"
            f"{f', from step {self.step}' if resumes else ''}"
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

    def go(self, stop: Callable[[], bool], deadline: float) -> Result:
        """Train until the last step, a signal, or the deadline (of time.monotonic)."""
        self._begun = self._reported = self._saved = time.monotonic()
        self._before = self.seconds
        self._reported_step = self.step
        stopped = False
        with self.batches.start(self.step) as batches:
            while self.step < self.recipe.steps and not stopped:
                self._train_step(next(batches))
                self._after_step()
                wanted = stop() or time.monotonic() > deadline
                stopped = self.processes.any_of(wanted)
            return self._end()  # saves before the threads are waited for, which may render

    def _train_step(self, batches: list[Batch]) -> None:
        """Do one step of the optimiser; with AdamW, nothing here waits for the device."""
        recipe = self.recipe
        means: dict[str, Tensor] = {}
        for number, batch in enumerate(batches):
            with self._sync(last=number == len(batches) - 1):
                terms = self.objective(self.model, batch, self.dtype)
                total = self.objective.total(terms)
                (total / len(batches) + self._alarm(total)).backward()
            for name, value in {**terms, "loss": total}.items():
                means[name] = means.get(name, 0) + value.detach() / len(batches)
            self.pictures += len(batch.image) * self.processes.count
        norm = clip_gradient(self.network.parameters(), recipe.optimiser.clip_norm)
        bad = (~norm.isfinite()).float()
        self.optimiser.set_rate(self._rate(self.step))
        self.optimiser.step(bad)
        self.average.update(self.step)
        self.tally.add([means[name] for name in self.tally.names[:-1]] + [norm], bad)
        self.step += 1

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
        recipe, step = self.recipe, self.step
        last = step == recipe.steps
        if step % recipe.log_every == 0 or last:
            self._report()
        if not self.processes.is_first:
            return
        checks = recipe.validate
        validates = checks.every and (step % checks.every == 0 or last)
        draws = recipe.panel_every and (step % recipe.panel_every == 0 or last)
        if (validates or draws) and (checks.views or checks.path):
            self._look(bool(validates), bool(draws))
        if time.monotonic() - self._saved > 60 * recipe.checkpoint_minutes:
            self._save()

    def _report(self) -> None:
        """Read the tally, which waits for the device, and write it down."""
        means, bad, streak = self.tally.read()
        shared = self.processes.mean_of(list(means.values()))
        means = dict(zip(means, shared, strict=True))
        if streak >= MOST_BAD_STEPS:
            raise TrainingError(
                f"the gradient was no number in {streak} steps in a row up to step {self.step}: "
                f"the state saved last in {self.folder.path} is sound; lower optimiser.lr, or use "
                f"precision fp32",
                reason="not_finite",
            )
        now = time.monotonic()
        self.seconds = self._before + now - self._begun
        self.skipped += bad
        self.last_loss = means["loss"]
        if math.isnan(self.first_loss):
            self.first_loss = self.last_loss
        steps = self.step - self._reported_step
        pace = (now - self._reported) / max(steps, 1)
        self._reported, self._reported_step = now, self.step
        if not self.processes.is_first:
            return
        per_step = self.recipe.batch_size * self.recipe.accumulate * self.processes.count
        rate = self._rate(self.step - 1)
        left = _duration(pace * (self.recipe.steps - self.step))
        self.say(
            f"step {self.step}/{self.recipe.steps}  loss {self.last_loss:.4f}  "
            f"{per_step / pace:.1f} pictures/s  lr {rate:.2e}  {left} left"
            f"{f'  {bad} steps skipped: gradient was no number' if bad else ''}"
        )
        facts = {"step": self.step, "pictures": self.pictures, "hours": self.seconds / 3600}
        self.log.add({**facts, "lr": rate, **means, "skipped": self.skipped})
        self.board.add("train", {**means, "lr": rate}, self.step)

    def _look(self, validates: bool, draws: bool) -> None:
        """Score and draw the averaged weights on pictures that are not trained on."""
        if self._held_out is None:
            self.say("making the pictures to validate on")
            self._held_out = HeldOut(self.recipe.validate, self.card, str(self.device))
        self.average.swap()
        self.network.eval()
        try:
            if validates:
                self.scores = self._held_out.score(self.network, self.device)
            panels = self._held_out.panels(self.network, self.device, _PANELS) if draws else []
        finally:
            self.network.train()
            self.average.swap()
        if validates:
            words = "  ".join(f"{name} {value:.4f}" for name, value in self.scores.items())
            self.say(f"step {self.step}  validation  {words}")
            table = Table(
                self.folder.path / "validation.csv", ("step", *self.scores), self.step - 1
            )
            table.add({"step": self.step, **self.scores})
            table.close()
            self.board.add("validation", self.scores, self.step)
        if panels:
            picture = draw_panels(panels)
            path = self.folder.path / "panels" / f"step_{self.step:07d}.png"
            with writing(self.folder.path):
                path.parent.mkdir(exist_ok=True)
                with atomically(path) as partial:
                    write_picture(partial, picture[..., ::-1])
            self.board.picture("panels", picture, self.step)

    def _end(self) -> Result:
        self._report_rest()
        if self.processes.is_first:
            self._save()
            if self.step < self.recipe.steps:
                self.say(
                    f"stopped at step {self.step} of {self.recipe.steps}, saved in "
                    f"{self.folder.path}; run the same command again to go on"
                )
            else:
                self.say(
                    f"finished: {self.pictures} pictures in {_duration(self.seconds)}, weights in "
                    f"{self.folder.weights_file}"
                )
        return Result(
            self.folder.path,
            self.step,
            self.recipe.steps,
            self.pictures,
            self.seconds / 3600,
            self.first_loss,
            self.last_loss,
            self.scores,
        )

    def _report_rest(self) -> None:
        """Report the steps since the last report, if there are any."""
        if self.step > self._reported_step:
            self._report()

    def _save(self) -> None:
        self._saved = time.monotonic()
        self.seconds = self._before + self._saved - self._begun
        self.folder.save_weights(
            {**self.network.state_dict(), **self.average.state_dict()}, self._facts()
        )
        self.folder.save_state(
            {
                "step": self.step,
                "pictures": self.pictures,
                "seconds": self.seconds,
                "skipped": self.skipped,
                "first_loss": self.first_loss,
                "last_loss": self.last_loss,
                "passes": self.recipe.accumulate * self.processes.count,
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "rng": torch.get_rng_state(),
                "scores": self.scores,
            }
        )

    def _facts(self) -> dict[str, str]:
        return {
            MODEL_KEY: self.card.name,
            "steps": f"{self.step} of {self.recipe.steps}",
            "pictures": str(self.pictures),
            "hours": f"{self.seconds / 3600:.3f}",
            "device": _device_name(self.device, self.processes.count),
            "recipe": self.recipe.to_yaml(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Take up a state.

        Raises:
            TrainingError: where it is of another number of passes, or it is not whole.
        """
        try:
            self._take_up(state)
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            raise TrainingError(
                f"{self.folder.state_file} does not hold a state of this run "
                f"({type(error).__name__}: {one_line(error)}); begin anew with --restart",
                reason="damaged",
            ) from error

    def _take_up(self, state: dict[str, Any]) -> None:
        passes = self.recipe.accumulate * self.processes.count
        if state["passes"] != passes:
            raise TrainingError(
                f"{self.folder.path} holds a run with {state['passes']} passes a step, and "
                f"{self.processes.count} processes with accumulate {self.recipe.accumulate} make "
                f"{passes}; start as many processes as before, or give --restart"
            )
        _check_progress(state)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["rng"])
        self.step, self.pictures = state["step"], state["pictures"]
        self.seconds, self.skipped = state["seconds"], state["skipped"]
        self.first_loss, self.scores = state["first_loss"], state["scores"]
        self.last_loss = state.get("last_loss", math.nan)  # older states lack it


def _check_progress(state: dict[str, Any]) -> None:
    """Refuse how far a state says that its run was, where that is no number.

    Raises:
        ValueError: naming it.
    """
    for name in ("step", "pictures", "skipped"):
        if type(state[name]) is not int or not 0 <= state[name] <= LARGEST_INTEGER:
            raise ValueError(f"{name} is {quoted(state[name])}")
    numbers = [("seconds", state["seconds"]), ("first_loss", state["first_loss"])]
    for name, value in (*numbers, *dict(state["scores"]).items()):
        if not isinstance(value, int | float):
            raise ValueError(f"{quoted(name)} is {quoted(value)}")


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
