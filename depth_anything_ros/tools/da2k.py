"""DA-2K: pictures with pairs of points of which people said which is nearer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.core.files import read_file

ANNOTATIONS = "annotations.json"
_OTHER = {"point1": "point2", "point2": "point1"}


@dataclass(frozen=True, eq=False)
class PairedImage:
    """A picture and its pairs; the picture is read when asked for.

    Attributes:
        name: of the file, as the annotations have it.
        group: the scenario, which is the folder that the picture lies in.
        path: of the picture.
        nearer: int64 (pairs, 2), row and column of the nearer points.
        farther: int64 (pairs, 2), row and column of the farther points.
    """

    name: str
    group: str
    path: Path
    nearer: NDArray[np.int64]
    farther: NDArray[np.int64]


def da2k_pictures(folder: Path, left_out: list[str]) -> list[PairedImage]:
    """Read the annotations (Depth Anything V2's repository, DA-2K.md).

    Args:
        folder: with annotations.json, and the pictures where it says.
        left_out: gets a line for each picture that is not there.

    Raises:
        SourceError: where the annotations cannot be used, or no picture is there.
    """
    path = folder / ANNOTATIONS
    try:
        data = json.loads(read_file(path, "the annotations"))
        found = [_picture(path.parent, name, pairs) for name, pairs in data.items()]
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise SourceError(f"cannot read the annotations {path}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise SourceError(
            f"{path} is not as DA-2K has it ({type(error).__name__}: {error}); expected "
            '{"PICTURE": [{"point1": [row, column], "point2": [row, column], '
            '"closer_point": "point1"}]}'
        ) from error
    left_out += [f"{one.name}: there is no {one.path}" for one in found if not one.path.is_file()]
    there = [one for one in found if one.path.is_file()]
    if not there:
        raise SourceError(f"no picture that {path} names is in {path.parent}")
    return there


def _picture(folder: Path, name: str, pairs: list[dict[str, Any]]) -> PairedImage:
    nearer = [pair[pair["closer_point"]] for pair in pairs]
    farther = [pair[_OTHER[pair["closer_point"]]] for pair in pairs]
    path = folder / name
    return PairedImage(name, path.parent.name, path, _points(nearer), _points(farther))


def _points(points: list[list[int]]) -> NDArray[np.int64]:
    return np.array(points, np.int64).reshape(len(points), 2)
