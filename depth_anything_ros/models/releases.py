"""Files of weights that lie at an address of their own, not on the hub: as of GitHub releases.

They are kept where ``torch.hub`` keeps its own, so that a file which it fetched is found. A
download that was cut off goes on where it stopped.
"""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.card import ModelCard
from depth_anything_ros.models.hashes import sha256_of

# Told of the bytes that are here, and of those that there are (0 where the server does not say).
Progress = Callable[[int, int], None]

_TIMEOUT_S = 30.0  # of silence
_BLOCK = 1 << 20
_OUT_OF_RANGE = 416  # HTTP: a part that is as long as the whole, or longer


def release_url(card: ModelCard) -> str:
    """Return the address of a card's file; "" where it is on the hub, or not released."""
    return str(dict(card.options).get("release", ""))


def release_sha256(card: ModelCard) -> str:
    """Return the hash of the file at that address; "" where none is known.

    It is the option ``release_sha256``, or the card's ``sha256`` where that is of no file on the
    hub.
    """
    return str(dict(card.options).get("release_sha256", "" if card.hub_repo else card.sha256))


def release_path(url: str) -> Path:
    """Return where the file of an address lies once it is fetched."""
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def fetch_release(url: str, sha256: str = "", progress: Progress | None = None) -> Path:
    """Fetch a file, unless it is here, and put it into its place once it is whole.

    Args:
        url: of the file.
        sha256: that it must have; "" where none is known.
        progress: told after each block.

    Returns:
        The path of the file.

    Raises:
        CheckpointError: ``download``, or ``sha256``.
    """
    path = release_path(url)
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(path.with_name(f"{path.name}.lock")):  # of several nodes, one fetches
            if not path.is_file():
                _fetch(url, part, progress)
                _check(part, url, sha256)
                part.replace(path)
    except (OSError, HTTPException) as error:
        raise CheckpointError(
            f"cannot fetch {url}: {' '.join(str(error).split())[:300]}; try again, which goes on "
            f"where it stopped, or set weights to the path of a copy of that file",
            reason="download",
        ) from error
    return path


def _fetch(url: str, part: Path, progress: Progress | None) -> None:
    try:
        _download(url, part, progress)
    except urllib.error.HTTPError as error:
        if error.code != _OUT_OF_RANGE or not part.is_file():
            raise
        part.unlink()
        _download(url, part, progress)


def _download(url: str, part: Path, progress: Progress | None) -> None:
    """Download what a part lacks of a file, or all of it where the file is another by now."""
    version = part.with_name(f"{part.name}.version")
    headers = {"User-Agent": "depth_anything_ros"}
    done = part.stat().st_size if part.is_file() and version.is_file() else 0
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": version.read_text()}
    request = urllib.request.Request(url, headers=headers)
    with closing(urllib.request.urlopen(request, timeout=_TIMEOUT_S)) as answer:
        if answer.status != 206:  # the whole file
            done = 0
        _note_version(version, answer.headers)
        length = int(answer.headers.get("Content-Length") or 0)
        total = done + length if length else 0
        with part.open("ab" if done else "wb") as file:
            done = _copy(answer, file, done, total, progress)
    if done < total:
        raise OSError(f"{done} of {total} bytes came")
    version.unlink(missing_ok=True)


def _copy(source: Any, file: Any, done: int, total: int, progress: Progress | None) -> int:  # noqa: ANN401
    while block := source.read(_BLOCK):
        file.write(block)
        done += len(block)
        if progress is not None:
            progress(done, total)
    return done


def _note_version(version: Path, headers: HTTPMessage) -> None:
    """Keep what tells this version of the file from others; without it nothing can go on."""
    tag = headers.get("ETag", "")
    name = tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")
    version.unlink(missing_ok=True)
    if name:
        version.write_text(name)


def _check(part: Path, url: str, sha256: str) -> None:
    found = sha256_of(part) if sha256 else ""
    if found != sha256:
        part.unlink()
        raise CheckpointError(
            f"what came from {url} has sha256 {found}, expected {sha256}: it was damaged on its "
            f"way, or it was changed there; try again, or set weights to the path of a copy",
            reason="sha256",
        )
