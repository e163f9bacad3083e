"""Files on the Hugging Face hub, and its cache on this machine."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from depth_anything_ros.core.errors import CheckpointError, one_line, quoted
from depth_anything_ros.core.programs import how_to_run
from depth_anything_ros.models.weights.download import DownloadError, Progress, download
from depth_anything_ros.models.weights.remote import RemoteFile

_log = logging.getLogger(__name__)

# Since its version 2, the hub's library asks the hub which program runs it, also where only the
# cache is looked into; nothing is asked of a network that nobody asked for.
constants.HF_HUB_DISABLE_TELEMETRY = True

CONFIG_FILE = "config.json"
HF_FILE = "model.safetensors"


@dataclass(frozen=True)
class HubFile(RemoteFile):
    """A file on the hub.

    Attributes:
        repo: ``organisation/name``.
        name: of the file in it.
        sha256: "" where none is known.
        beside: names of other files of the repo, without which it is of no use.
    """

    repo: str
    name: str
    sha256: str = ""
    beside: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} of {self.repo}"

    @property
    def cache(self) -> Path:
        """The hub's cache."""
        return Path(constants.HF_HUB_CACHE)

    @property
    def command(self) -> str:
        """The hub's own command; config.json says which model a file of transformers is of."""
        files = {CONFIG_FILE: "", HF_FILE: f" {HF_FILE} {CONFIG_FILE}"}
        named = files.get(self.name, "".join(f" {name}" for name in (self.name, *self.beside)))
        return how_to_run("hf", f"download {self.repo}{named}")

    @property
    def how_to_get(self) -> str:
        """What to do where it cannot be fetched; a config alone is no file of weights."""
        if self.name == CONFIG_FILE:
            return f"where there is a network, run: {self.command}"
        return super().how_to_get

    @property
    def hub_repo(self) -> str:
        """Its repository."""
        return self.repo

    @property
    def source(self) -> str:
        """Repository and file."""
        return f"{self.repo}:{self.name}"

    def cached(self) -> Path | None:
        """Look into the cache only.

        Raises:
            CheckpointError: (``not_found``) on what no repository can be called, and a damaged
                cache.
        """
        try:
            for name in (*self.beside, self.name):
                path = hf_hub_download(self.repo, name, local_files_only=True)
            return Path(path)
        except LocalEntryNotFoundError:
            return None
        except (ValueError, OSError) as error:  # no hub id; or a cache that somebody wrote into
            raise CheckpointError(
                f"{quoted(self.repo)} is no path here and no hub id, or the hub's cache "
                f"{self.cache} is damaged there: {one_line(error)}",
                reason="not_found",
            ) from error

    def fetch(self, progress: Progress | None = None) -> Path:
        """Fetch it, and see to it that it lies in the cache."""
        _log.info("fetching %s from %s", self, constants.ENDPOINT)
        if self.name == HF_FILE and _found_if_there(HubFile(self.repo, CONFIG_FILE), True) is None:
            _log.info(
                "%s has no config.json: nothing says which model its weights are of", self.repo
            )
        for name in self.beside:
            HubFile(self.repo, name).found(True)
        path = self._downloaded(constants.ENDPOINT, progress)
        if not path.resolve().is_relative_to(self.cache.resolve()):
            raise CheckpointError(
                f"what came for {self} from {constants.ENDPOINT} lies in {path.resolve()}, outside "
                f"of the cache {self.cache}: the answer is not one of the hub; look at that file, "
                f"and remove it",
                reason="unsafe",
            )
        return path

    def _downloaded(self, endpoint: str, progress: Progress | None) -> Path:
        folder = self.cache / f"models--{self.repo.replace('/', '--')}"
        before = _bytes_in(folder)
        task = {
            "repo": self.repo,
            "name": self.name,
            "cache": str(self.cache),
            "endpoint": endpoint,
        }
        try:
            return download(task, lambda: max(_bytes_in(folder) - before, 0), progress)
        except (DownloadError, OSError) as error:
            is_refused = isinstance(error, DownloadError) and error.kind == "refused"
            raise CheckpointError(
                f"cannot fetch {self} from {endpoint}: {one_line(error, 300).rstrip('.')}; "
                f"{self.how_to_get}",
                reason="unsafe" if is_refused else "download",
            ) from error


def _bytes_in(folder: Path) -> int:
    """Count what a repo has in the cache; files come and go while it is filled."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:
            continue
    return total


def _found_if_there(file: HubFile, download: bool) -> Path | None:
    """Return the path of a file; None where the hub says that there is none."""
    try:
        return file.found(download)
    except CheckpointError as error:
        cause = error.__cause__
        if not isinstance(cause, DownloadError) or cause.kind != "absent":
            raise
    return None


def hub_folder(repo: str, names: Sequence[str], download: bool) -> Path:
    """Find the folder of the hub's cache that holds a repo's small files.

    Args:
        repo: ``organisation/name``.
        names: of the files; the last one must exist, and the others may. It is fetched last: where
            the cache has it, the hub was asked about all.
        download: whether the hub may be asked.

    Raises:
        CheckpointError: ``not_found``, ``not_cached`` or ``download``.
    """
    needed = HubFile(repo, names[-1])
    if needed.cached() is None and download and not constants.HF_HUB_OFFLINE:
        for name in names[:-1]:
            _found_if_there(HubFile(repo, name), download)
    return needed.found(download).parent
