"""What a user names: paths, small YAML and JSON files that others wrote, and files to write.

Whatever is wrong with one of them is one line that names it.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from depth_anything_ros.core.errors import DepthAnythingError, SourceError, one_line

# Of a calibration or a recipe; the largest that is known has 20 kB.
MOST_BYTES = 1_000_000
# Of a picture or a LiDAR's points: what is larger is something else, or a file of nothing (sparse).
MOST_DATA_BYTES = 2_000_000_000
# In base 60 ("1:59:59..."), 300,000 digits take PyYAML a minute.
_LONGEST_NUMBER = 200
# A mapping that YAML's merge keys ("<<") can make of a file of a few hundred bytes has billions.
_MOST_MERGED = 10_000
# What PyYAML and json let through besides their own: a number of 5,000 digits (ValueError),
# "!!int ''" (IndexError), "!!bool x" (KeyError), "!!timestamp x" (AttributeError), 1,000 brackets.
_PARSE_ERRORS = (
    yaml.YAMLError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    TypeError,
    RecursionError,
)
_OPENCV_HEADER = re.compile(r"\A%YAML:[\d.]+[^\n]*")
_OPENCV_TAG = "tag:yaml.org,2002:opencv-"
_NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_PARTIAL = ".partial"
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
PART = ".part_"  # how folders are called that are not whole yet


def user_path(name: str | Path, error: type[DepthAnythingError] = SourceError) -> Path:
    """Return a path that a user gave, with ``~`` replaced; whether it exists is not asked.

    Args:
        name: the path.
        error: that is raised.

    Raises:
        DepthAnythingError: of that class, where no file can have this name: of an unknown user, too
            long for the file system, with a NUL in it, or in a ring of links.
    """
    try:
        path = Path(name).expanduser()
        path.stat()
    except (RuntimeError, ValueError) as reason:
        raise error(f"{one_line(name, 200)} is no path: {one_line(reason)}") from reason
    except OSError as reason:
        if reason.errno not in _NOT_THERE:
            raise error(f"{one_line(name, 200)} is no path: {reason.strerror}") from reason
    return path


def is_utf8(path: Path) -> bool:
    """Say whether a path is text. Others are files too, but libraries of C++ open none of them."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def read_file(
    path: Path,
    what: str,
    error: type[DepthAnythingError] = SourceError,
    most: int = MOST_DATA_BYTES,
) -> bytes:
    """Read a file that is one, and no larger than any of its kind.

    Args:
        path: of the file.
        what: it is, for the message: "the calibration".
        error: that is raised.
        most: bytes that are taken.

    Raises:
        DepthAnythingError: of that class, naming the file, where it cannot be read.
    """
    try:
        if path.exists() and not path.is_file():  # of a pipe or a device, reading has no end
            raise error(f"cannot read {what} {path}: it is no file")
        with path.open("rb") as file:
            size = path.stat().st_size
            data = file.read(most + 1) if size <= most else b""
    except OSError as reason:
        raise error(f"cannot read {what} {path}: {reason.strerror}") from reason
    if max(size, len(data)) > most:
        raise error(
            f"cannot read {what} {path}: it has {max(size, len(data))} bytes, and {most} is the "
            f"most that is taken"
        )
    return data


@contextmanager
def atomically(path: Path, error: type[DepthAnythingError] | None = None) -> Iterator[Path]:
    """Yield where to write what becomes a file once it is whole; of a failure nothing is left.

    Args:
        path: of the file.
        error: that is raised in the place of an OSError, naming the file.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}{_PARTIAL}")
    try:
        yield partial
        partial.replace(path)
    except OSError as reason:
        if error is None:
            raise
        raise error(f"cannot write {path}: {reason.strerror or one_line(reason)}") from reason
    finally:
        partial.unlink(missing_ok=True)


def remove_partial(folders: Iterable[Path]) -> None:
    """Remove what processes that were killed have left in folders that nobody writes to now."""
    for folder in set(folders):
        for partial in folder.glob(f".*.[0-9]*{_PARTIAL}"):
            partial.unlink(missing_ok=True)


def write_atomically(
    path: Path, data: bytes, error: type[DepthAnythingError] | None = None
) -> None:
    """Write a file as a whole, or leave the path as it was; ``error`` as of ``atomically``."""
    with atomically(path, error) as partial:
        partial.write_bytes(data)


@contextmanager
def folder_atomically(path: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``path`` once it is whole; of a failure nothing is left.

    Where another process has made ``path`` meanwhile, that one stays.
    """
    part = path.with_name(f"{PART}{path.name}.{os.getpid()}.{uuid4().hex[:8]}")
    try:
        part.mkdir()
        yield part
        try:
            part.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def claim_folder(path: Path, made_of: Mapping[str, Any], what: str, other: str = "") -> None:
    """Write into a folder what its contents are made of, or refuse one that holds others.

    Args:
        path: of the JSON file in the folder.
        made_of: plain values.
        what: it holds, for the message: "labels".
        other: way out than another folder, for the message: "give --restart".

    Raises:
        SourceError: naming both, or where the file cannot be read or written.
    """
    ways = f"choose another folder, or {other or 'remove that one'}"
    if not path.is_file():
        write_atomically(path, json.dumps(made_of, indent=1).encode(), SourceError)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"cannot read {path}: {one_line(error)}; {ways}") from error
    if found != made_of:
        theirs, ours = _differences(found, made_of)
        raise SourceError(
            f"{path.parent} has {what} of {one_line(theirs, 400)}, and these are of "
            f"{one_line(ours, 400)}; {ways}"
        )


def _differences(found: Any, made_of: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:  # noqa: ANN401 - of a JSON file
    """Return of both what the other has not, or has otherwise."""
    if not isinstance(found, dict):
        return found, made_of
    theirs = {key: value for key, value in found.items() if (key, value) not in made_of.items()}
    ours = {key: value for key, value in made_of.items() if (key, value) not in found.items()}
    return theirs, ours


def link_or_copy(path: Path, target: Path) -> None:
    """Link a file; copy it where the file system, or its owner, allows no link.

    What is there already under that name is left as it is.

    Raises:
        SourceError: where it cannot be written.
    """
    try:
        os.link(path.resolve(), target)
    except FileExistsError:
        return
    except OSError:
        with atomically(target, SourceError) as partial:
            shutil.copyfile(path, partial)


def read_document(path: Path, what: str, error: type[DepthAnythingError] = SourceError) -> Any:  # noqa: ANN401 - whatever YAML or JSON holds
    """Read a small file: JSON by its suffix, else YAML, also as OpenCV's FileStorage writes it.

    No tag runs anything.

    Args:
        path: of the file.
        what: it is, for the message: "the calibration".
        error: that is raised.

    Raises:
        DepthAnythingError: of that class, naming the file, where it cannot be read.
    """
    data = read_file(path, what, error, MOST_BYTES)
    if data.lstrip().startswith(b"<?xml"):  # to YAML, a long word
        raise error(
            f"cannot read {what} {path}: it is XML; write it as .yml, which cv::FileStorage does "
            f"as well"
        )
    is_json = path.suffix.lower() == ".json"
    try:
        text = data.decode("utf-8-sig")
        return json.loads(text) if is_json else parse_yaml(text)
    except _PARSE_ERRORS as reason:
        kind = "JSON" if is_json else "YAML"
        raise error(f"cannot read {what} {path}, which is not {kind}: {_why(reason)}") from reason


def _why(reason: BaseException) -> str:
    if isinstance(reason, RecursionError):
        return "it is nested too deeply"
    return one_line(reason) or type(reason).__name__


def parse_yaml(text: str) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Parse YAML, as ``yaml.safe_load`` does, and the dialect of OpenCV's FileStorage.

    That has a first line ``%YAML:1.0``, which YAML does not allow, and tags such as
    ``!!opencv-matrix``, which become plain mappings.

    Raises:
        ValueError: on anything that is not that; its message is one line.
    """
    try:
        return yaml.load(_OPENCV_HEADER.sub("", text), _Loader)
    except _PARSE_ERRORS as error:
        raise ValueError(_why(error)) from error


class _Loader(yaml.SafeLoader):
    """The safe loader, with OpenCV's tags, and bounds on merge keys and on long numbers."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:  # noqa: ANN401
        """Return the text of a scalar."""
        is_number = node.tag in _NUMBER_TAGS
        if is_number and isinstance(node.value, str) and len(node.value) > _LONGEST_NUMBER:
            raise yaml.constructor.ConstructorError(
                None, None, f"a number of {len(node.value)} characters", node.start_mark
            )
        return super().construct_scalar(node)

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Resolve the merge keys of a mapping."""
        super().flatten_mapping(node)
        if len(node.value) > _MOST_MERGED:
            raise yaml.constructor.ConstructorError(
                None, None, f"a mapping of more than {_MOST_MERGED} keys", node.start_mark
            )


def _without_tag(loader: _Loader, _suffix: str, node: yaml.Node) -> Any:  # noqa: ANN401
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_Loader.add_multi_constructor(_OPENCV_TAG, _without_tag)
