"""Find the file of weights that ``weights:`` names.

In this package, in a path, in a cache, on the hub, or at an address of its own (``releases``).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import LocalEntryNotFoundError

from depth_anything_ros.core.errors import CheckpointError, one_line, quoted
from depth_anything_ros.core.files import user_path
from depth_anything_ros.core.programs import how_to_run
from depth_anything_ros.models.weights.download import DownloadError, Progress
from depth_anything_ros.models.weights.download import download as download_file
from depth_anything_ros.models.weights.hashes import sha256_of as sha256_of
from depth_anything_ros.models.weights.load import checkpoint_file
from depth_anything_ros.models.weights.releases import (
    fetch_release,
    release_path,
    release_sha256,
    release_url,
)
from depth_anything_ros.models.zoo import CARDS
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.transformers_cards import CONFIG_FILE
from depth_anything_ros.models.zoo.transformers_cards import FAMILY as _TRANSFORMERS

_log = logging.getLogger(__name__)

RANDOM = "random"
# The weights that come with this package.
BUNDLED = Path(__file__).resolve().parents[2] / "weights"
_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?::(?P<file>[\w.-][\w./-]*))?")
_FILE_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
_HF_FILE = "model.safetensors"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Names that files of any model have.
_ANY_MODEL = (_HF_FILE, "pytorch_model.bin")
# Organisations on the hub whose files are the authors' own.
_OFFICIAL = ("depth-anything/", "LiheYoung/")


@dataclass(frozen=True)
class _HubFile:
    """A file on the hub, and the hash that it must have ("" where none is known)."""

    repo: str
    name: str
    sha256: str = ""

    def __str__(self) -> str:
        return f"{self.name} of {self.repo}"


@dataclass(frozen=True)
class _Release:
    """A file at an address of its own, and its hash."""

    url: str
    sha256: str = ""

    def __str__(self) -> str:
        return self.url


def resolve_weights(
    weights: str, card: ModelCard, download: bool = False, progress: Progress | None = None
) -> Path | None:
    """Find the file of weights, and log whose licence it is under.

    Args:
        weights: one of
            ``""``: the card's own file, from this package or from the hub;
            ``random``: none;
            a path: of a file, or of a folder in the hub's layout;
            a zoo name: the file of that card, from there as well;
            a hub id: ``org/name`` or ``org/name:file``.
        card: of the model that they are for.
        download: whether the hub may be asked where its cache on this machine lacks the file.
            HF_HUB_OFFLINE=1 forbids it whatever is given here.
        progress: told of a download; None: the log is.

    Returns:
        The path of the file; None for random weights.

    Raises:
        CheckpointError: ``not_found``, ``not_released``, ``not_cached``, ``download`` or
            ``sha256``.
    """
    if weights == RANDOM:
        return None
    if not weights and card.family == _TRANSFORMERS and not card.hub_repo:
        weights = card.option("folder")
    named = card if not weights else CARDS.get(weights)
    if named is not None and named.bundled:
        return _bundled_file(named)
    wanted = _card_file(named) if named is not None else _hub_file(weights)
    if wanted is None:
        path = checkpoint_file(user_path(weights, CheckpointError), card)
        _log_licence(path.name, _is_official_name(path.name), card)
        return path
    path = _cached(wanted) or _fetched(wanted, download, progress)
    _check_sha256(path, wanted)
    if isinstance(wanted, _Release):
        _log_licence(wanted.url, True, card)
    else:
        _log_licence(f"{wanted.repo}:{wanted.name}", _is_official_repo(wanted.repo), card)
    return path


def cached_weights(card: ModelCard) -> Path | None:
    """Find a card's own file on this machine; None where it is not here, or was not released."""
    if card.bundled:
        path = BUNDLED / card.bundled
        return path if path.is_file() else None
    return _cached(_card_file(card)) if card.hub_repo or release_url(card) else None


def _is_official_name(name: str) -> bool:
    official = {name for card in CARDS.values() for name in (card.hub_file, _release_name(card))}
    return name in official and name not in _ANY_MODEL


def _release_name(card: ModelCard) -> str:
    url = release_url(card)
    return release_path(url).name if url else ""


def _is_official_repo(repo: str) -> bool:
    return repo.startswith(_OFFICIAL) or repo in {card.hub_repo for card in CARDS.values()}


def _bundled_file(card: ModelCard) -> Path:
    path = BUNDLED / card.bundled
    if not path.is_file():
        raise CheckpointError(
            f"the weights of {card.name} are missing from this installation: there is no {path}; "
            f"install the package again, or set weights to the path of a copy",
            reason="not_found",
        )
    _log_licence(f"{card.bundled} of this package", True, card)
    return path


def _hub_file(weights: str) -> _HubFile | _Release | None:
    """Return the file on the hub that weights names; None where it names a path."""
    hub_id = _HUB_ID.fullmatch(weights)
    is_path = user_path(weights, CheckpointError).exists() or weights.endswith(_FILE_SUFFIXES)
    if hub_id is None or (is_path and hub_id["file"] is None):
        return None
    repo, file = hub_id["repo"], hub_id["file"]
    if file is not None and not {"", ".", ".."}.isdisjoint(file.split("/")):
        raise CheckpointError(
            f"{quoted(file)} of {repo} is no name of a file on the hub; give org/name:file",
            reason="not_found",
        )
    for known in CARDS.values():
        if known.hub_repo == repo and file in (None, known.hub_file):
            return _card_file(known)
    return _HubFile(repo, file or _HF_FILE)


def _card_file(card: ModelCard) -> _HubFile | _Release:
    """Return the card's own file: the first of its places in whose cache it is, else the first."""
    places: list[_HubFile | _Release] = []
    if card.hub_repo:
        places.append(_HubFile(card.hub_repo, card.hub_file, card.sha256))
    if release_url(card):
        places.append(_Release(release_url(card), release_sha256(card)))
    if not places:
        raise CheckpointError(
            f"no weights were released for {card.name}; set weights to the path of your own, or "
            f"to random for a test",
            reason="not_released",
        )
    return next((place for place in places if _cached(place)), places[0])


def _cached(wanted: _HubFile | _Release) -> Path | None:
    """Look into the cache only; no connection is tried."""
    if isinstance(wanted, _Release):
        place = release_path(wanted.url)
        return place if place.is_file() else None
    try:
        path = Path(hf_hub_download(wanted.repo, wanted.name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except (ValueError, OSError) as error:  # no hub id; or a cache that somebody wrote into
        raise CheckpointError(
            f"{quoted(wanted.repo)} is no path here and no hub id, or the hub's cache "
            f"{constants.HF_HUB_CACHE} is damaged there: {one_line(error)}",
            reason="not_found",
        ) from error
    return path


def _fetched(wanted: _HubFile | _Release, download: bool, progress: Progress | None = None) -> Path:
    if not download or constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set" if download else "downloading is off"
        raise CheckpointError(
            f"{wanted} is not in the cache {_cache(wanted)}, and {why}; {_how_to_get(wanted)}",
            reason="not_cached",
        )
    if isinstance(wanted, _Release):
        _log.info("fetching %s", wanted)
        return fetch_release(wanted.url, wanted.sha256, progress)
    _log.info("fetching %s from %s", wanted, constants.ENDPOINT)
    if wanted.name == _HF_FILE:  # config.json says which model these weights are of
        _fetch_config(wanted.repo)
    return _from_hub(wanted, progress)


def _from_hub(wanted: _HubFile, progress: Progress | None) -> Path:
    """Fetch a file into the hub's cache, and see to it that it lies there.

    Raises:
        CheckpointError: ``download``, or ``unsafe`` where the answer would lead out of the cache.
    """
    cache, endpoint = Path(constants.HF_HUB_CACHE), constants.ENDPOINT
    folder = cache / f"models--{wanted.repo.replace('/', '--')}"
    before = _bytes_in(folder)
    task = {"repo": wanted.repo, "name": wanted.name, "cache": str(cache), "endpoint": endpoint}
    try:
        path = download_file(task, lambda: max(_bytes_in(folder) - before, 0), progress)
    except (DownloadError, OSError) as error:
        is_refused = isinstance(error, DownloadError) and error.kind == "refused"
        raise CheckpointError(
            f"cannot fetch {wanted} from {endpoint}: {one_line(error, 300).rstrip('.')}; "
            f"{_how_to_get(wanted)}",
            reason="unsafe" if is_refused else "download",
        ) from error
    if not path.resolve().is_relative_to(cache.resolve()):
        raise CheckpointError(
            f"what came for {wanted} from {endpoint} lies in {path.resolve()}, outside of the "
            f"cache {cache}: the answer is not one of the hub; look at that file, and remove it",
            reason="unsafe",
        )
    return path


def _bytes_in(folder: Path) -> int:
    """Count what a repo has in the cache; files come and go while it is filled."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:
            continue
    return total


def _cache(wanted: _HubFile | _Release) -> str:
    if isinstance(wanted, _Release):
        return str(release_path(wanted.url).parent)
    return constants.HF_HUB_CACHE


def _fetch_config(repo: str) -> None:
    if _fetched_if_there(_HubFile(repo, CONFIG_FILE), True, needed=False) is None:
        _log.info("%s has no config.json: nothing says which model its weights are of", repo)


def hub_folder(repo: str, names: Sequence[str], download: bool) -> Path:
    """Find the folder of the hub's cache that holds a repo's small files.

    Args:
        repo: ``organisation/name``.
        names: of the files; the last one must exist, and the others may. It is fetched last: where
            the cache has it, the hub was asked about all.
        download: as of resolve_weights.

    Raises:
        CheckpointError: ``not_found``, ``not_cached`` or ``download``.
    """
    path = _cached(_HubFile(repo, names[-1]))
    if path is None:
        for name in names if download and not constants.HF_HUB_OFFLINE else names[-1:]:
            path = _fetched_if_there(_HubFile(repo, name), download, needed=name == names[-1])
    assert path is not None
    return path.parent


def _fetched_if_there(wanted: _HubFile, download: bool, needed: bool) -> Path | None:
    try:
        return _fetched(wanted, download)
    except CheckpointError as error:
        cause = error.__cause__
        if needed or not isinstance(cause, DownloadError) or cause.kind != "absent":
            raise
    return None


def _how_to_get(wanted: _HubFile | _Release) -> str:
    if isinstance(wanted, _HubFile) and wanted.name == CONFIG_FILE:
        return f"where there is a network, run: {how_to_run('hf', f'download {wanted.repo}')}"
    command = f"curl -LO {wanted}"
    if isinstance(wanted, _HubFile):
        files = f"{wanted.name} config.json" if wanted.name == _HF_FILE else wanted.name
        command = how_to_run("hf", f"download {wanted.repo} {files}")
    return (
        f"where there is a network, run: {command}; or set weights to the path of a copy of that "
        f"file"
    )


def _check_sha256(path: Path, wanted: _HubFile | _Release) -> None:
    """Compare with the pinned hash, else with the hash under which the hub's cache stores it.

    A large file of the hub is stored in the cache under its own sha256, which the hub announced
    before the download: that guards against damage, though not against a change on the hub.
    """
    stored_as = path.resolve().name
    expected = wanted.sha256 or (stored_as if _SHA256.fullmatch(stored_as) else "")
    if not wanted.sha256:
        _log.info("%s: its sha256 is not pinned", wanted)
    if not expected:
        return
    found = sha256_of(path)
    if found != expected:
        raise CheckpointError(
            f"{path} has sha256 {found}, expected {expected}: it is damaged, or it was changed "
            f"where it came from; remove it and fetch it again, or set weights to its path if you "
            f"trust it",
            reason="sha256",
        )


def _log_licence(source: str, official: bool, card: ModelCard) -> None:
    if card.family == _TRANSFORMERS:
        level = logging.INFO if card.commercial else logging.WARNING
        _log.log(level, "weights %s: licence %s by the README of the model", source, card.licence)
    elif not official:
        _log.info(
            "weights %s: their licence is not known here (%s is that of the official weights of "
            "%s)",
            source,
            card.licence,
            card.name,
        )
    elif card.commercial:
        _log.info("weights %s: licence %s", source, card.licence)
    else:
        _log.warning("weights %s: licence %s, NO COMMERCIAL USE", source, card.licence)
