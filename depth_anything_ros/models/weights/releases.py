"""Files of weights that lie at an address of their own, not on the hub: as of GitHub releases.

They are kept where ``torch.hub`` keeps its own, so that a file which it fetched is found. A
download that was cut off goes on where it stopped.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

from depth_anything_ros.core.errors import CheckpointError, one_line
from depth_anything_ros.models.weights.download import DownloadError, Progress, download
from depth_anything_ros.models.weights.remote import RemoteFile, sha256_of
from depth_anything_ros.models.zoo.card import ModelCard

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release(RemoteFile):
    """A file at an address of its own."""

    url: str
    sha256: str = ""

    @classmethod
    def of(cls, card: ModelCard) -> Release | None:
        """Return a card's file; None where it is on the hub only, or not released.

        Its hash is the option ``release_sha256``, or the card's ``sha256`` where that is of no
        file on the hub.
        """
        options = dict(card.options)
        if "release" not in options:
            return None
        sha256 = options.get("release_sha256", "" if card.hub_repo else card.sha256)
        return cls(options["release"], sha256)

    def __str__(self) -> str:
        return self.url

    @property
    def path(self) -> Path:
        """Where it lies once it is fetched."""
        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rsplit("/", 1)[-1]

    @property
    def cache(self) -> Path:
        """The folder of torch.hub."""
        return self.path.parent

    @property
    def command(self) -> str:
        """The command curl."""
        return f"curl -LO {self.url}"

    @property
    def source(self) -> str:
        """Its address."""
        return self.url

    def cached(self) -> Path | None:
        """Look into the cache only."""
        return self.path if self.path.is_file() else None

    def fetch(self, progress: Progress | None = None) -> Path:
        """Fetch it, unless it is here, and put it into its place once it is whole."""
        _log.info("fetching %s", self)
        path = self.path
        part = path.with_name(f"{path.name}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(path.with_name(f"{path.name}.lock")):  # of several nodes, one fetches
                if not path.is_file():
                    download({"url": self.url, "part": str(part)}, lambda: _size(part), progress)
                    self._check_part(part)
                    part.replace(path)
        except (OSError, DownloadError) as error:
            raise CheckpointError(
                f"cannot fetch {self}: {one_line(error, 300)}; try again, which goes on "
                f"where it stopped, or set weights to the path of a copy of that file",
                reason="download",
            ) from error
        return path

    def _check_part(self, part: Path) -> None:
        found = sha256_of(part) if self.sha256 else ""
        if found != self.sha256:
            part.unlink()
            raise CheckpointError(
                f"what came from {self} has sha256 {found}, expected {self.sha256}: it was damaged "
                f"on its way, or it was changed there; try again, or set weights to the path of a "
                f"copy",
                reason="sha256",
            )


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0
