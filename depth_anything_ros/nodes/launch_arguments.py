"""What the launch files check before they start anything, so that an error names the argument.

It imports no ROS: ``ros2 launch`` runs by the system's Python, which may lack all but NumPy.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import List  # noqa: UP035 - what launch_ros knows

import yaml

from depth_anything_ros.core.errors import ParameterError

Names = List[str]  # noqa: UP006
_EXPECTED = {
    bool: "true or false",
    float: "a number above 0",
    Names: "a list of names, such as [front, left]",
}


def check_argument(name: str, text: str, kind: object) -> None:
    """Refuse the text of an argument that is not of its kind.

    Args:
        name: of the argument.
        text: as it was given.
        kind: str, bool, float (above 0) or Names.

    Raises:
        ParameterError: naming the argument, its text and what was expected.
    """
    if kind is str:
        return
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = None
    if kind is bool:
        is_good = isinstance(value, bool)
    elif kind is float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        is_good = is_number and math.isfinite(value) and value > 0
    else:
        is_good = isinstance(value, list) and all(isinstance(name, str) for name in value)
    if not is_good:
        raise ParameterError(
            f"the launch argument {name} is {text!r}; expected {_EXPECTED[kind]}"  # type: ignore[index]
        )


def check_file(name: str, text: str) -> None:
    """Refuse an argument that is the path of no file: launch would start the node without it.

    Raises:
        ParameterError: naming the argument and the path.
    """
    if not Path(text).is_file():
        raise ParameterError(
            f"the launch argument {name} is {text!r}, which is no file; give the path of a YAML "
            f"file, or leave it out"
        )
