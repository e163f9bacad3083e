"""The errors that this package raises on purpose: one line each, fit to be shown to a user."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from traceback import format_exc
from typing import TypeVar

# Characters that are kept of a message, of what another program's error says, and of a name or
# value that came from outside.
_LONGEST, _FOREIGN, _QUOTED = 2000, 500, 200
_TRACE = 60  # the last lines of a traceback

Error = TypeVar("Error", bound="DepthAnythingError")


class DepthAnythingError(Exception):
    """Base of every error that a caller may want to catch.

    The message says what came, what was expected, where, and what to do about it. It is one line
    whatever is in it; names and values from outside are to be ``quoted`` by who writes it.

    Attributes:
        reason: a short stable word for counting (diagnostics), for example ``bad_step``.
    """

    reason = "error"

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(printable(message))
        if reason is not None:
            self.reason = reason

    def anew(self: Error) -> Error:
        """Return the same error, never raised.

        One that is kept and raised again and again holds every frame that it passed, with the
        pictures in them.
        """
        return type(self)(str(self), self.reason)


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


def printable(text: object, limit: int = _LONGEST) -> str:
    """Return a text in one line of at most so many characters that no terminal obeys.

    What is no printable character (a newline, an escape, a change of the writing's direction) is
    written as Python writes it in a string.

    Args:
        text: whose ``str`` it is.
        limit: characters that are kept; what follows is counted.
    """
    whole = str(text)
    kept = whole[:limit]
    if not kept.isprintable():
        kept = "".join(c if c.isprintable() else repr(c)[1:-1] for c in kept)
    return kept if len(whole) <= limit else f"{kept}… ({len(whole)} characters)"


def quoted(value: object, limit: int = _QUOTED) -> str:
    """Quote what came from outside (a message, a file, a server), in one line, shortened.

    Args:
        value: its first ``limit`` characters are kept, those of its ``repr`` where it is no string;
            of more, it is said how many there are.
        limit: of characters.
    """
    if not isinstance(value, (str, bytes)):
        return printable(_BOUNDED.repr(value), limit)
    if len(value) <= limit:
        return repr(value)
    return f"{value[:limit]!r}… ({len(value)} characters)"


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, as ``printable``; of none, its class."""
    lines = str(error).strip().splitlines()
    return printable(lines[0] if lines else type(error).__name__, _FOREIGN)


def one_line(text: object, limit: int = _FOREIGN) -> str:
    """Return what a file, a server or a library said in several lines as one, ``printable``."""
    return printable(" ".join(str(text).split()), limit)


def trace() -> str:
    """Return the traceback of the error that is being handled, each line as ``printable``."""
    return "\n".join(printable(line, _FOREIGN) for line in format_exc().splitlines()[-_TRACE:])


class _Bounded(reprlib.Repr):
    """Writes values short: a list of lists of lists can be larger than any memory."""

    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = _QUOTED
        self.maxlevel, self.maxlist, self.maxtuple = 3, 20, 20

    def repr_int(self, x: int, level: int) -> str:
        """Write a number, unless it is one of thousands of digits."""
        return repr(x) if x.bit_length() < 200 else f"a number of {x.bit_length()} bits"


_BOUNDED = _Bounded()
