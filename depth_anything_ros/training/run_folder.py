"""The folder of a training run: its recipe, state, weights, logs and panels.

recipe.yaml          what was run
state.pt             all that a resumed run needs
weights.safetensors  averaged weights as float16, for ``weights:`` of the node
log.csv              losses; validation.csv scores; tensorboard/ both
panels/              pictures, predictions and ground truth
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from depth_anything_ros.core.errors import TrainingError
from depth_anything_ros.training.recipe import Recipe, differences, load_recipe

STATE_VERSION = 1

# What torch.load lets through on a file that is cut off, overwritten or not its own.
_DAMAGE = (OSError, EOFError, RuntimeError, ValueError, KeyError, AttributeError, UnpicklingError)


class RunFolder:
    """Files of one run; each is replaced as a whole, so a kill leaves the old one or the new."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state_file = path / "state.pt"
        self.weights_file = path / "weights.safetensors"
        self.recipe_file = path / "recipe.yaml"

    def has_state(self) -> bool:
        """Whether a run was begun here and saved its state."""
        return self.state_file.is_file()

    def begin(self, recipe: Recipe) -> None:
        """Make the folder for a new run: of an old one, what would be mixed up is removed.

        Raises:
            TrainingError: where the folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for name in ("state.pt", "log.csv", "validation.csv"):
                (self.path / name).unlink(missing_ok=True)
            for pattern in ("tensorboard/events.*", "panels/step_*.png"):
                for old in self.path.glob(pattern):
                    old.unlink()
            _replace(self.recipe_file, recipe.to_yaml().encode())
        except OSError as error:
            raise TrainingError(f"cannot write into {self.path}: {error.strerror}") from error

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
        """Write the state of a run."""
        partial = self.state_file.with_suffix(".partial")
        with partial.open("wb") as file:
            torch.save({"version": STATE_VERSION, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.state_file)

    def load_state(self) -> dict[str, Any]:
        """Read the state of a run, executing nothing in it.

        Raises:
            TrainingError: where it is damaged or of another version.
        """
        try:
            state = torch.load(self.state_file, map_location="cpu", weights_only=True)
        except _DAMAGE as error:
            why = (str(error) or type(error).__name__).splitlines()[0][:150]
            raise TrainingError(
                f"cannot read {self.state_file} ({why}); begin anew with --restart",
                reason="damaged",
            ) from error
        if not isinstance(state, dict) or state.get("version") != STATE_VERSION:
            raise TrainingError(
                f"{self.state_file} was written by another version of this package; begin anew "
                f"with --restart"
            )
        return state

    def save_weights(self, weights: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
        """Write weights as float16 safetensors, with facts in the file's header."""
        halves = {name: values.half().contiguous().cpu() for name, values in weights.items()}
        partial = self.weights_file.with_suffix(".partial")
        save_file(halves, partial, metadata=dict(facts))
        partial.replace(self.weights_file)


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(data)
    partial.replace(path)


class Table:
    """A CSV file with one row a report; what a killed run wrote after its state is cut off.

    Args:
        path: of the file.
        columns: the first is ``step``.
        step: rows of later steps are dropped.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], step: int) -> None:
        kept = [row for row in _rows(path) if row.get("step", "").isdigit()]
        kept = [row for row in kept if int(row["step"]) <= step]
        partial = path.with_name(path.name + ".partial")
        self._file = partial.open("w", newline="")
        self._writer = csv.DictWriter(self._file, columns, restval="", extrasaction="ignore")
        self._writer.writeheader()
        self._writer.writerows(kept)
        self._file.flush()
        partial.replace(path)

    def add(self, values: Mapping[str, float]) -> None:
        """Append a row."""
        row = {k: v if isinstance(v, int) else f"{v:.6g}" for k, v in values.items()}
        self._writer.writerow(row)
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="") as file:  # a kill may have left half of the last row
        return list(csv.DictReader(line for line in file if line.endswith("\n")))


class Board:
    """TensorBoard logs, where its package is installed and the recipe wants them."""

    def __init__(self, folder: Path, wish: str, step: int) -> None:
        self._writer: Any = None
        self.missing = False
        if wish == "never":
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            if wish == "required":
                raise TrainingError(
                    "the recipe has tensorboard: required, and its package is not installed; "
                    "install depth_anything_ros[train], or set tensorboard: auto",
                    reason="no_tensorboard",
                ) from error
            self.missing = True
            return
        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def add(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Log scalars."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(f"{group}/{name}", value, step)

    def picture(self, name: str, rgb: Any, step: int) -> None:  # noqa: ANN401 - NDArray[uint8]
        """Log a picture of (height, width, 3)."""
        if self._writer is not None:
            self._writer.add_image(name, rgb, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
