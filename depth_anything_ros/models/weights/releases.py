"""Files of weights that lie at an address of their own, not on the hub: as of GitHub releases.

They are kept where ``torch.hub`` keeps its own, so that a file which it fetched is found. A
download that was cut off goes on where it stopped.
"""

from __future__ import annotations

from pathlib import Path

import torch
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

from depth_anything_ros.core.errors import CheckpointError, one_line
from depth_anything_ros.models.weights.download import DownloadError, Progress, download
from depth_anything_ros.models.weights.hashes import sha256_of
from depth_anything_ros.models.zoo.card import ModelCard


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
        progress: told of what is here, now and then.

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
                download({"url": url, "part": str(part)}, lambda: _size(part), progress)
                _check(part, url, sha256)
                part.replace(path)
    except (OSError, DownloadError) as error:
        raise CheckpointError(
            f"cannot fetch {url}: {one_line(error, 300)}; try again, which goes on "
            f"where it stopped, or set weights to the path of a copy of that file",
            reason="download",
        ) from error
    return path


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _check(part: Path, url: str, sha256: str) -> None:
    found = sha256_of(part) if sha256 else ""
    if found != sha256:
        part.unlink()
        raise CheckpointError(
            f"what came from {url} has sha256 {found}, expected {sha256}: it was damaged on its "
            f"way, or it was changed there; try again, or set weights to the path of a copy",
            reason="sha256",
        )
