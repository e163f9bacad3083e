"""What the values of options must be."""

from __future__ import annotations

import re
from pathlib import Path

from depth_anything_ros.core.errors import ParameterError, quoted

LARGEST_SIDE = 16_384  # pixels, as of a recipe
LARGEST_SEED = 2**53  # likewise
_SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")


def parse_size(text: str) -> tuple[int, int]:
    """Return width and height of a text such as 308x210.

    Raises:
        ParameterError: where it is none.
    """
    sides = _SIZE.fullmatch(text.lower())
    if sides is None or max(map(int, sides.groups())) > LARGEST_SIDE:
        raise ParameterError(
            f"{quoted(text)} is no size; expected WIDTHxHEIGHT, for example 308x210, of at most "
            f"{LARGEST_SIDE} px"
        )
    return int(sides[1]), int(sides[2])


def whole_numbers(text: str, option: str) -> list[int]:
    """Return the numbers of a list with commas, each 0 or more.

    Raises:
        ParameterError: where it is none; it names the option.
    """
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise ParameterError(f"{option} is {text!r}; expected numbers with commas, as 252,518")
    return [int(word) for word in words]


def check_least(option: str, value: int, least: int = 1) -> None:
    """Refuse a number below the least that makes sense.

    Raises:
        ParameterError: naming the option.
    """
    if value < least:
        raise ParameterError(f"{option} must be {least} or more, got {value}")


def check_known(what: str, names: list[str], known: tuple[str, ...]) -> None:
    """Refuse a name that is not known.

    Raises:
        ParameterError: with those that are.
    """
    for name in names:
        if name not in known:
            raise ParameterError(f"there is no {what} {name!r}; known are {', '.join(known)}")


def check_seeds(first_seed: int, count: int) -> None:
    """Refuse views whose seeds the world's generators do not take.

    Raises:
        ParameterError: naming the option.
    """
    if not 0 <= first_seed <= LARGEST_SEED - count:
        raise ParameterError(
            f"--first-seed must be 0 or more, and the last view's at most {LARGEST_SEED}; got "
            f"{quoted(first_seed)} and {quoted(count)} views"
        )


def check_output(path: Path, suffix: str) -> None:
    """Refuse a file to write that has another suffix, or is there already.

    Raises:
        ParameterError: naming the file.
    """
    if path.suffix != suffix:
        raise ParameterError(f"{path} must end in {suffix}, which is what is written")
    if path.exists():
        raise ParameterError(f"{path} is there already; remove it, or give another name")
