"""The command ``depth_anything <verb>``. Parsers are built before anything heavy is imported."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path

from depth_anything_ros import interrupts
from depth_anything_ros.core.errors import DepthAnythingError, first_line, one_line
from depth_anything_ros.core.files import user_path
from depth_anything_ros.core.memory import SHORT_OF_MEMORY, is_short_of_memory
from depth_anything_ros.tools.parsers import build_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; an error that the user can mend costs one line and status 2."""
    for stream in (sys.stdout, sys.stderr):  # of a terminal that has not all characters
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    interrupts.interrupt_once()
    try:
        _check_paths(options)
        status: int = importlib.import_module(f"{__package__}.{options.module}").run(options)
        return status
    except KeyboardInterrupt:
        return interrupts.INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough: "| head"
        sys.stdout = None  # its last flush would say so once more
        return 141
    except Exception as error:
        if interrupts.is_interrupted():  # amid an import, say, where it became another error
            return interrupts.INTERRUPTED
        said = why(error)
        if not said:
            raise
        print(f"depth_anything {options.verb}: {said}", file=sys.stderr)
        return 2
    finally:
        interrupts.forget_interrupts()


def why(error: Exception) -> str:
    """Say in one line what ended a verb; "" where that is a bug."""
    if is_short_of_memory(error):
        return f"{SHORT_OF_MEMORY} ({first_line(error)})"
    if isinstance(error, DepthAnythingError):
        return str(error)
    # Of a file or a disk, and nobody below knew more to say about it.
    return _said_by_the_system(error) if isinstance(error, OSError) else ""


def _check_paths(options: argparse.Namespace) -> None:
    """Replace ``~`` in the paths that were given; refuse those that no file can have."""
    for name, value in vars(options).items():
        if isinstance(value, Path):
            setattr(options, name, user_path(value))


def _said_by_the_system(error: OSError) -> str:
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
    return one_line(f"{names}: {error.strerror}" if names and error.strerror else error)


if __name__ == "__main__":
    raise SystemExit(main())
