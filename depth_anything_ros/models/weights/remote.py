"""A file of weights that lies elsewhere: taken from its cache on this machine, or fetched."""

from __future__ import annotations

import hashlib
import logging
import re
from abc import ABC, abstractmethod
from pathlib import Path

from huggingface_hub import constants

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.weights.download import Progress

_log = logging.getLogger(__name__)

_SHA256 = re.compile(r"[0-9a-f]{64}")


def sha256_of(path: Path) -> str:
    """Hash a file of any size in little memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class RemoteFile(ABC):
    """A file at a place on the net, and the hash that it must have ("" where none is known)."""

    sha256: str

    @property
    def hub_repo(self) -> str:
        """The repository on the hub that it is of; "" where it has an address of its own."""
        return ""

    @property
    @abstractmethod
    def cache(self) -> Path:
        """The folder on this machine that it is kept in."""

    @property
    @abstractmethod
    def command(self) -> str:
        """What to run to fetch it by hand."""

    @property
    @abstractmethod
    def source(self) -> str:
        """The name of it in what is said about its licence."""

    @abstractmethod
    def cached(self) -> Path | None:
        """Look into the cache only; no connection is tried."""

    @abstractmethod
    def fetch(self, progress: Progress | None = None) -> Path:
        """Fetch it into the cache.

        Raises:
            CheckpointError: ``download``; ``sha256``, or ``unsafe`` where the answer would lead
                out of the cache.
        """

    @property
    def how_to_get(self) -> str:
        """What to do where it cannot be fetched."""
        return (
            f"where there is a network, run: {self.command}; or set weights to the path of a copy "
            f"of that file"
        )

    def found(self, download: bool, progress: Progress | None = None) -> Path:
        """Return its path in the cache; fetch it where it is not there and may be fetched.

        Raises:
            CheckpointError: ``not_cached``, and as ``fetch``.
        """
        path = self.cached()
        if path is not None:
            return path
        if not download or constants.HF_HUB_OFFLINE:
            why = "HF_HUB_OFFLINE is set" if download else "downloading is off"
            raise CheckpointError(
                f"{self} is not in the cache {self.cache}, and {why}; {self.how_to_get}",
                reason="not_cached",
            )
        return self.fetch(progress)

    def check(self, path: Path) -> None:
        """Compare with the pinned hash, else with the hash under which the hub's cache stores it.

        A large file of the hub is stored in the cache under its own sha256, which the hub
        announced before the download: that guards against damage, though not against a change on
        the hub.

        Raises:
            CheckpointError: (``sha256``).
        """
        stored_as = path.resolve().name
        expected = self.sha256 or (stored_as if _SHA256.fullmatch(stored_as) else "")
        if not self.sha256:
            _log.info("%s: its sha256 is not pinned", self)
        found = sha256_of(path) if expected else ""
        if found != expected:
            raise CheckpointError(
                f"{path} has sha256 {found}, expected {expected}: it is damaged, or it was changed "
                f"where it came from; remove it and fetch it again, or set weights to its path if "
                f"you trust it",
                reason="sha256",
            )
