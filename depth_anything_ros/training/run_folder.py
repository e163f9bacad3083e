"""The folder of a training run: its recipe, state, weights, logs and panels.

recipe.yaml          what was run
run.lock             held by the process that writes here
state.pt             all that a resumed run needs
weights.safetensors  averaged weights as float16, for ``weights:`` of the node
log.csv              losses; validation.csv scores; tensorboard/ both
panels/              pictures, predictions and ground truth
"""

from __future__ import annotations

import csv
import fcntl
import io
import logging
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import IO, Any

import torch
from torch import Tensor

from depth_anything_ros.core.errors import TrainingError, one_line
from depth_anything_ros.core.files import atomically, read_file, write_atomically
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.models.weights.load import save_tensors
from depth_anything_ros.models.weights.read import READ_ERRORS, said_by_torch
from depth_anything_ros.training.recipe import Recipe, differences, load_recipe

_log = logging.getLogger(__name__)

STATE_VERSION = 1


class RunFolder:
    """Files of one run; each is replaced as a whole, so a kill leaves the old one or the new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_file = path / "state.pt"
        self.weights_file = path / "weights.safetensors"
        self.recipe_file = path / "recipe.yaml"
        self._lock: IO[str] | None = None

    def lock(self) -> None:
        """Keep other runs out of this folder, until ``unlock`` or the end of this process.

        Raises:
            TrainingError: where another run writes into it, or it cannot be written.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / "run.lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            owner = one_line(lock.read(100)) or "unknown"
            lock.close()
            raise TrainingError(
                f"another training writes into {self.path} (process {owner}); wait until it has "
                f"ended, or give another --output",
                reason="locked",
            ) from error
        except OSError as error:  # a file system without locks: some of those over a network
            _log.warning(
                "%s cannot be locked (%s): start no second training there", self.path, error
            )
        with writing(self.path):
            lock.truncate(0)
            lock.write(f"{os.getpid()} on {os.uname().nodename}\n")
            lock.flush()
        self._lock = lock

    def unlock(self) -> None:
        """Let other runs in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def has_state(self) -> bool:
        """Whether a run was begun here and saved its state."""
        return self.state_file.is_file()

    def begin(self, recipe: Recipe) -> None:
        """Make the folder for a new run: of an old one, what would be mixed up is removed.

        Raises:
            TrainingError: where the folder cannot be written.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            for name in ("state.pt", "log.csv", "validation.csv"):
                (self.path / name).unlink(missing_ok=True)
            for pattern in ("tensorboard/events.*", "panels/step_*.png"):
                for old in self.path.glob(pattern):
                    old.unlink()
            write_atomically(self.recipe_file, recipe.to_yaml().encode())

    def check(self, recipe: Recipe) -> None:
        """Refuse to continue a run with another recipe.

        Raises:
            TrainingError: naming the first differences.
        """
        other = differences(load_recipe(self.recipe_file), recipe)
        if other:
            raise TrainingError(
                f"{self.path} holds a run of another recipe: {'; '.join(other[:3])}"
                f"{'; ...' if len(other) > 3 else ''}; continue it with its own recipe "
                f"({self.recipe_file}), or give --restart to replace it, or another --output",
                reason="other_recipe",
            )

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state of a run.

        Raises:
            TrainingError: where it cannot be written; the state that was there is kept.
        """
        with (
            writing(self.path),
            atomically(self.state_file) as partial,
            partial.open("wb") as file,
        ):
            torch.save({"version": STATE_VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())

    def load_state(self) -> dict[str, Any]:
        """Read the state of a run, executing nothing in it.

        Raises:
            TrainingError: where it is damaged or of another version.
        """
        try:
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        except (*READ_ERRORS, UnpicklingError) as error:
            raise TrainingError(
                f"cannot read {self.state_file} ({said_by_torch(error)}); begin anew with "
                f"--restart",
                reason="damaged",
            ) from error
        if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
            raise TrainingError(
                f"{self.state_file} was written by another version of this package; begin anew "
                f"with --restart"
            )
        return state

    def save_weights(self, weights: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
        """Write weights as float16 safetensors, with facts in the file's header.

        Raises:
            TrainingError: where they cannot be written; those that were there are kept.
        """
        halves = {name: values.half().contiguous().cpu() for name, values in weights.items()}
        with writing(self.path):
            save_tensors(halves, self.weights_file, facts)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what a full or broken disk gives while a run writes into one line that names it.

    Args:
        folder: of the run.

    Raises:
        TrainingError: (``disk``).
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # RuntimeError: torch.save, from its C++
        raise TrainingError(
            f"cannot write into {folder}: {_reason(error)}{_room(folder)}; what was saved there "
            f"before is whole, and the same command goes on from it",
            reason="disk",
        ) from error


def _reason(error: BaseException) -> str:
    """Find the system's own word behind an error of torch, which says "unexpected pos"."""
    behind: BaseException | None = error
    while behind is not None:
        if isinstance(behind, OSError) and behind.strerror:
            return behind.strerror
        behind = behind.__cause__ or behind.__context__
    return said_by_torch(error)


def _room(folder: Path) -> str:
    try:
        return f" ({shutil.disk_usage(folder).free / 1e6:.0f} MB free)"
    except OSError:  # there is no such folder
        return ""


class Table:
    """A CSV file with one row a report; what a killed run wrote after its state is cut off.

    Args:
        path: of the file.
        columns: the first is ``step``.
        step: rows of later steps are dropped.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], step: int) -> None:
        self._folder = path.parent
        kept = [row for row in _rows(path) if _step_of(row) <= step]
        with writing(self._folder), atomically(path) as partial:
            self._file = partial.open("w", newline="")
            self._writer = csv.DictWriter(self._file, columns, restval="", extrasaction="ignore")
            self._writer.writeheader()
            self._writer.writerows(kept)
            self._file.flush()

    def add(self, values: Mapping[str, float]) -> None:
        """Append a row."""
        row = {k: v if isinstance(v, int) else f"{v:.6g}" for k, v in values.items()}
        with writing(self._folder):
            self._writer.writerow(row)
            self._file.flush()

    def close(self) -> None:
        """Close the file."""
        with writing(self._folder):
            self._file.close()


def _step_of(row: Mapping[str, str | None]) -> float:
    """Return the step of a row; of one that is damaged, one that no run reaches."""
    text = row.get("step") or ""
    return int(text) if text.isdecimal() and len(text) < 16 else math.inf


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    text = read_file(path, "the table", TrainingError).decode(errors="replace")
    lines = io.StringIO(text.replace("\0", ""), newline="")
    try:  # a kill may have left half of the last row
        return list(csv.DictReader(line for line in lines if line.endswith("\n")))
    except csv.Error as error:
        raise TrainingError(f"cannot read {path}: {error}; remove it, or give --restart") from error


class Board:
    """TensorBoard logs, where its package is installed and the recipe wants them."""

    def __init__(self, folder: Path, wish: str, step: int) -> None:
        self._writer: Any = None
        self._folder = folder
        self.missing = False
        if wish == "never":
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            if wish == "required":
                raise TrainingError(
                    "the recipe has tensorboard: required, and its package is not installed; "
                    f"{how_to_install('train')}, or set tensorboard: auto",
                    reason="no_tensorboard",
                ) from error
            self.missing = True
            return
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def add(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Log scalars."""
        if self._writer is not None:
            with writing(self._folder):
                for name, value in values.items():
                    self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, rgb: Any, step: int) -> None:  # noqa: ANN401 - NDArray[uint8]
        """Log a picture of (height, width, 3)."""
        if self._writer is not None:
            with writing(self._folder):
                self._writer.add_image(name, rgb, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            with writing(self._folder):
                self._writer.close()
