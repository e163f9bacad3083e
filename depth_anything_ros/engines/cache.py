"""What engines made of a network and keep on the disk, so that a next start takes less time.

An entry is a folder of files, named by what they depend on. It is read only where it is as this
user wrote it: a graph that another user put there, or whose bytes have changed, may pass the gate
(``gate.py`` looks at few pictures of one size) and answer wrong depth at others. Where nothing can
be kept (no space, no right to write, no home), engines do without, and that is said once.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from depth_anything_ros.core.errors import DepthAnythingError, first_line
from depth_anything_ros.core.files import PART, folder_atomically
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo.card import ModelCard

_log = logging.getLogger(__name__)

CACHE_VARIABLE = "DEPTH_ANYTHING_CACHE"
LIMIT_VARIABLE = "DEPTH_ANYTHING_CACHE_MB"
# Of the files of one engine: a large network (335 million weights) takes 2.7 GB for one size.
_LIMIT_MB = 4096
# Says which files an entry has, and their hashes.
_SEAL = "files.json"
# What key_of names, in this version of the package and in earlier ones.
_ENTRY = re.compile(r"-\d+x\d+(-\w+)?-[0-9a-f]{16}$")
# What is left of a process that was killed while it wrote.
_STALE_S = 3600.0
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

Network = TypeVar("Network")
Graph = TypeVar("Graph")


def cache_folder(engine: str) -> Path:
    """Return the folder of an engine.

    It is in $DEPTH_ANYTHING_CACHE, else in depth_anything_ros of $XDG_CACHE_HOME or ~/.cache.

    Raises:
        OSError: where this user has no home, and neither variable is set.
    """
    named = os.environ.get(CACHE_VARIABLE)
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not base.is_absolute():  # which the XDG base directory specification has ignored
        base = Path("~/.cache")
    try:
        return (Path(named) if named else base / "depth_anything_ros").expanduser() / engine
    except RuntimeError as error:  # of pathlib
        raise OSError(first_line(error)) from error


_hashes: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def hash_of(network: nn.Module) -> str:
    """Return the sha256 of a network's tensors and their names, which are not to change."""
    if network in _hashes:
        return _hashes[network]
    digest = hashlib.sha256()
    for name, values in network.state_dict().items():
        digest.update(name.encode())
        digest.update(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    _hashes[network] = digest.hexdigest()
    return _hashes[network]


def key_of(card: ModelCard, size: tuple[int, int], facts: Sequence[str]) -> str:
    """Return the name of an entry.

    Args:
        card: of the model.
        size: height and width of the input, in pixels.
        facts: whatever else its files depend on.
    """
    digest = hashlib.sha256(json.dumps([repr(card), size, *facts]).encode()).hexdigest()
    name = "".join(c if c.isalnum() else "_" for c in card.name)[-40:]
    return f"{name}-{size[1]}x{size[0]}-{digest[:16]}"


class Cache:
    """The entries of one engine.

    Args:
        engine: names the folder.
        folder: another one than ``cache_folder``'s.
    """

    def __init__(self, engine: str, folder: Path | None = None) -> None:
        self._engine, self._given = engine, folder

    def opened(
        self,
        key: str,
        convert: Callable[[], Network],
        write: Callable[[Network, Path], object],
        read: Callable[[Path], Graph],
        without: Callable[[Network], Graph],
    ) -> Graph:
        """Open an entry; where there is none that is sound, make it.

        Args:
            key: of ``key_of``.
            convert: makes in memory what is to be kept.
            write: puts it into an empty folder.
            read: opens what is in such a folder, into which it may write more.
            without: opens what ``convert`` returned, without a disk.

        Raises:
            Whatever ``convert`` and ``without`` do, and DepthAnythingError of the others.
        """
        found = self.found(key, read)
        if found is not None:
            return found
        network = convert()
        try:
            return self._made(key, network, write, read)
        except DepthAnythingError:
            raise
        except Exception as error:  # of any library: C++ streams and protobuf have their own
            graph = without(network)  # where the fault is not the disk's, this raises it
            self._say_not_kept(error)
            return graph

    def found(self, key: str, read: Callable[[Path], Graph]) -> Graph | None:
        """Open an entry; None where there is none, or one that is not sound, which is removed."""
        try:
            folder = self._folder() / key
        except OSError:  # said where nothing can be kept
            return None
        if not os.path.lexists(folder):
            return None
        try:
            _check(folder, key)
            graph = read(folder)
            _seal(folder, key)
            return graph
        except Exception as error:  # of any library, from files that it cannot read
            _log.warning("%s and is made anew", first_line(error)[:300])
            _remove(folder)
            return None

    def remove(self, key: str) -> None:
        """Remove an entry, as far as it can be."""
        with suppress(OSError):
            _remove(self._folder() / key)

    def _made(
        self,
        key: str,
        network: Network,
        write: Callable[[Network, Path], object],
        read: Callable[[Path], Graph],
    ) -> Graph:
        """Write an entry and open it; it is put in its place as a whole, or not at all."""
        entry, limit = self._folder() / key, _limit_bytes()
        graph: Graph | None = None
        try:
            with folder_atomically(entry) as part:
                part.chmod(0o700)
                write(network, part)
                graph = read(part)
                _seal(part, key)
                _check_limit(part, limit)
        except OSError as error:
            if graph is None:  # there is nothing to answer with
                raise
            self._say_not_kept(error)
        else:
            with suppress(OSError):  # of files that another process removed
                _prune(entry.parent, key, limit)
        return graph

    def _say_not_kept(self, error: Exception) -> None:
        line, place = first_line(error)[:300], f"a cache of engine {self._engine}"
        with suppress(OSError):
            folder = self._given or cache_folder(self._engine)
            place = str(folder)
            if not isinstance(error, OSError):  # a library, which does not say what is wrong
                line += f"; {shutil.disk_usage(folder).free >> 20} MB are free there"
        _warn_once(
            f"{place} cannot be written ({line}): nothing is kept, and each start makes the graph "
            f"anew; make room there, or set {CACHE_VARIABLE} to a folder of this user"
        )

    def _folder(self) -> Path:
        """Return the folder, which is this user's alone.

        Raises:
            OSError: where it cannot be.
        """
        folder = self._given or cache_folder(self._engine)
        missing = [path for path in (folder, *folder.parents) if not path.exists()]
        for path in reversed(missing):
            path.mkdir(mode=0o700, exist_ok=True)
        facts = folder.lstat()
        if not stat.S_ISDIR(facts.st_mode):
            raise NotADirectoryError(f"{folder} is no folder")
        if facts.st_uid != os.geteuid():
            raise PermissionError(
                f"{folder} belongs to another user (uid {facts.st_uid}), whose graphs are not used"
            )
        if facts.st_mode & _OTHERS:
            folder.chmod(0o700)
        return folder


def _check_limit(folder: Path, limit: int) -> None:
    """Refuse an entry that is larger than all may be.

    Raises:
        OSError: saying so.
    """
    size = _bytes_in(folder)
    if size > limit:
        raise OSError(f"it takes {size >> 20} MB, and {LIMIT_VARIABLE} allows {limit >> 20}")


@cache
def _warn_once(message: str) -> None:
    _log.warning("%s", message)


def _check(folder: Path, key: str) -> None:
    """Refuse an entry that is not as this user wrote it.

    Raises:
        OSError: naming the file.
    """
    _check_own(folder)
    _check_own(folder / _SEAL)  # of a pipe, reading has no end
    try:
        seal = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        of, named = str(seal["key"]), dict(seal["files"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OSError(f"{folder / _SEAL} is damaged") from error
    if of != key:
        raise OSError(f"{folder} is of {of[:100]!r}")
    files = _files(folder)
    for path in files:
        _check_own(path)
    found = {str(path.relative_to(folder)) for path in files if not path.is_dir()} - {_SEAL}
    if found != named.keys():
        raise OSError(f"{folder} has other files than were written")
    for name, digest in named.items():
        if sha256_of(folder / name) != digest:
            raise OSError(f"{folder / name} is damaged")


def _check_own(path: Path) -> None:
    facts = path.lstat()
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        raise OSError(f"{path} is neither a file nor a folder")
    if facts.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user (uid {facts.st_uid})")
    if facts.st_mode & _OTHERS_WRITE:
        raise PermissionError(f"{path} can be written by other users")


def _seal(folder: Path, key: str) -> None:
    """Write down which files an entry has, and mark it as used now."""
    seal = folder / _SEAL
    files = [path for path in _files(folder) if path != seal]
    names = {str(path.relative_to(folder)): path for path in files if not path.is_dir()}
    if seal.is_file():
        with suppress(OSError):  # of a file system that is read-only
            os.utime(seal)
        if names.keys() == json.loads(seal.read_text(encoding="utf-8"))["files"].keys():
            return
    for path in files:
        path.chmod(0o700 if path.is_dir() else 0o600)
    hashes = {name: sha256_of(path) for name, path in sorted(names.items())}
    new = folder.parent / f"{PART}{folder.name}.{os.getpid()}"
    new.write_text(json.dumps({"key": key, "files": hashes}, indent=1), encoding="utf-8")
    new.chmod(0o600)
    new.replace(seal)


def _files(folder: Path) -> list[Path]:
    """Return all files and folders in a folder; links are not followed."""
    return [
        Path(place, name)
        for place, folders, files in os.walk(folder)
        for name in (*folders, *files)
    ]


def _bytes_in(folder: Path) -> int:
    return sum(path.lstat().st_size for path in _files(folder))


def _limit_bytes() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    if text and not (text.isascii() and text.isdigit()):
        _warn_once(f"{LIMIT_VARIABLE} is {text[:50]!r}, no whole number: {_LIMIT_MB} is taken")
    is_number = text.isascii() and text.isdigit() and len(text) < 12
    return (int(text) if is_number else _LIMIT_MB) << 20


def _prune(folder: Path, newest: str, limit: int) -> None:
    """Remove the entries that were used last the longest ago, until all take no more than limit."""
    left = limit - _bytes_in(folder / newest)
    for _, path in sorted(_entries(folder), reverse=True):
        if path.name == newest:
            continue
        left -= _bytes_in(path)
        if left < 0:
            _log.info("%s is removed: a cache holds %d MB at most", path, limit >> 20)
            shutil.rmtree(path, ignore_errors=True)


def _entries(folder: Path) -> Iterator[tuple[float, Path]]:
    """Yield when each entry was used last; remove what killed processes left."""
    for path in folder.iterdir():
        changed = path.lstat().st_mtime
        if path.name.startswith(PART):
            if time.time() - changed > _STALE_S:
                _remove(path)
        elif _ENTRY.search(path.name) and path.is_dir() and not path.is_symlink():
            seal = path / _SEAL
            yield (seal.lstat().st_mtime if seal.is_file() else changed), path


def _remove(path: Path) -> None:
    """Remove a folder or file, as far as it can be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
