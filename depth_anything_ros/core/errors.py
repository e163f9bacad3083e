"""The errors that this package raises on purpose: one line each, fit to be shown to a user."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping


class DepthAnythingError(Exception):
    """Base of every error that a caller may want to catch.

    The message says what came, what was expected, where, and what to do about it.

    Attributes:
        reason: a short stable word for counting (diagnostics), for example ``bad_step``.
    """

    reason = "error"

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class CameraError(DepthAnythingError):
    """A camera model that cannot be used: uncalibrated, unknown distortion, wrong size."""

    reason = "camera"


class ImageError(DepthAnythingError):
    """A picture that cannot be decoded or has the wrong shape."""

    reason = "image"


class SourceError(DepthAnythingError):
    """A file or folder of pictures, LiDAR points or calibration that cannot be read."""

    reason = "source"


class ModelError(DepthAnythingError):
    """An unknown model, device or precision, or a network whose answer is not a number."""

    reason = "model"


class CheckpointError(DepthAnythingError):
    """Weights that are missing, damaged, unsafe, or that belong to another model."""

    reason = "checkpoint"


class ParameterError(DepthAnythingError):
    """A parameter with a value that is out of range or unknown."""

    reason = "parameter"


class RecipeError(DepthAnythingError):
    """A training recipe with an unknown key, a wrong value, or that does not fit its run."""

    reason = "recipe"


class TrainingError(DepthAnythingError):
    """A training run that cannot go on, or whose folder cannot be continued."""

    reason = "training"


def check_ranges(options: object, ranges: Mapping[str, bool]) -> None:
    """Refuse options of which a value is out of its range.

    Args:
        options: whose class and values the message names.
        ranges: whether each value is in its range, by name.

    Raises:
        ParameterError: for the first that is not.
    """
    for name, is_good in ranges.items():
        if not is_good:
            raise ParameterError(
                f"{type(options).__name__}.{name} is {getattr(options, name)}, out of its range; "
                "see its docstring"
            )


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says; of one that says nothing, its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(text: object, limit: int = 200) -> str:
    """Return what a file, a server or a library said, as a line of at most ``limit`` characters.

    White space becomes a blank and what cannot be printed is escaped, so that nobody forges a line
    of the log.
    """
    words = " ".join(str(text).split())
    line = "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in words[: limit + 1]
    )
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


class _Bounded(reprlib.Repr):
    """Writes values short: a list of lists of lists can be larger than any memory."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = 120
        self.maxlevel = 3

    def repr_int(self, x: int, level: int) -> str:
        """Write a number, unless it is one of thousands of digits."""
        return repr(x) if x.bit_length() < 200 else f"a number of {x.bit_length()} bits"


def shown(value: object) -> str:
    """Return a value out of a file as ``repr`` writes it, cut where it is long."""
    return one_line(_BOUNDED.repr(value), 300)


_BOUNDED = _Bounded()
