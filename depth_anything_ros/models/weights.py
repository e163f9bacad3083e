"""Find the file of weights that ``weights:`` names.

In this package, in a path, in the hub's cache, or on the hub.
"""

from __future__ import annotations

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
)

from depth_anything_ros.core.errors import CheckpointError
from depth_anything_ros.models.card import ModelCard
from depth_anything_ros.models.checkpoint import checkpoint_file
from depth_anything_ros.models.zoo import CARDS

_log = logging.getLogger(__name__)

RANDOM = "random"
# The weights that come with this package.
BUNDLED = Path(__file__).resolve().parents[1] / "weights"
_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?::(?P<file>[\w.-][\w./-]*))?")
_FILE_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
_HF_FILE = "model.safetensors"
# The bases of the hub's HTTP error are OSError and the root of all errors of the HTTP library in
# use, which is another one from version to version.
_NETWORK_ERRORS: tuple[type[BaseException], ...] = (EntryNotFoundError, *HfHubHTTPError.__bases__)
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _HubFile:
    """A file on the hub, and the hash that it must have ("" where none is known)."""

    repo: str
    name: str
    sha256: str = ""


def resolve_weights(weights: str, card: ModelCard, download: bool = False) -> Path | None:
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

    Returns:
        The path of the file; None for random weights.

    Raises:
        CheckpointError: ``not_found``, ``not_released``, ``not_cached``, ``download`` or
            ``sha256``.
    """
    if weights == RANDOM:
        return None
    named = card if not weights else CARDS.get(weights)
    if named is not None and named.bundled:
        return _bundled_file(named)
    wanted = _card_file(named) if named is not None else _hub_file(weights)
    if wanted is None:
        path = checkpoint_file(Path(weights).expanduser(), card)
        _log_licence(path.name, path.name in {c.hub_file for c in CARDS.values()}, card)
        return path
    path = _cached(wanted) or _fetched(wanted, download)
    _check_sha256(path, wanted)
    _log_licence(f"{wanted.repo}:{wanted.name}", wanted.repo.startswith("depth-anything/"), card)
    return path


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


def _hub_file(weights: str) -> _HubFile | None:
    """Return the file on the hub that weights names; None where it names a path."""
    hub_id = _HUB_ID.fullmatch(weights)
    is_path = Path(weights).expanduser().exists() or weights.endswith(_FILE_SUFFIXES)
    if hub_id is None or (is_path and hub_id["file"] is None):
        return None
    repo, file = hub_id["repo"], hub_id["file"]
    for known in CARDS.values():
        if known.hub_repo == repo and file in (None, known.hub_file):
            return _card_file(known)
    return _HubFile(repo, file or _HF_FILE)


def _card_file(card: ModelCard) -> _HubFile:
    if not card.hub_repo:
        raise CheckpointError(
            f"no weights were released for {card.name}; set weights to the path of your own, or "
            f"to random for a test",
            reason="not_released",
        )
    return _HubFile(card.hub_repo, card.hub_file, card.sha256)


def _cached(wanted: _HubFile) -> Path | None:
    """Look into the cache only; no connection is tried."""
    try:
        path = Path(hf_hub_download(wanted.repo, wanted.name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise CheckpointError(
            f"{wanted.repo!r} is no path here and no hub id: {error}", reason="not_found"
        ) from error
    return path


def _fetched(wanted: _HubFile, download: bool) -> Path:
    if not download or constants.HF_HUB_OFFLINE:
        why = "HF_HUB_OFFLINE is set" if download else "downloading is off"
        raise CheckpointError(
            f"{wanted.name} of {wanted.repo} is not in the cache {constants.HF_HUB_CACHE}, and "
            f"{why}; {_how_to_get(wanted)}",
            reason="not_cached",
        )
    _log.info("fetching %s of %s from %s", wanted.name, wanted.repo, constants.ENDPOINT)
    try:
        if wanted.name == _HF_FILE:  # config.json says which model these weights are of
            _fetch_config(wanted.repo)
        return Path(hf_hub_download(wanted.repo, wanted.name))
    except _NETWORK_ERRORS as error:
        raise CheckpointError(
            f"cannot fetch {wanted.name} of {wanted.repo} from {constants.ENDPOINT}: "
            f"{' '.join(str(error).split())[:300]}; {_how_to_get(wanted)}",
            reason="download",
        ) from error


def _fetch_config(repo: str) -> None:
    try:
        hf_hub_download(repo, "config.json")
    except LocalEntryNotFoundError:
        raise  # the hub was not reached: no use to ask it for more
    except EntryNotFoundError:
        _log.info("%s has no config.json: nothing says which model its weights are of", repo)


def _how_to_get(wanted: _HubFile) -> str:
    files = f"{wanted.name} config.json" if wanted.name == _HF_FILE else wanted.name
    return (
        f"where there is a network, run: hf download {wanted.repo} {files}; or set weights to the "
        f"path of a copy of that file"
    )


def _check_sha256(path: Path, wanted: _HubFile) -> None:
    """Compare with the pinned hash, else with the hash under which the hub's cache stores it.

    A large file of the hub is stored in the cache under its own sha256, which the hub announced
    before the download: that guards against damage, though not against a change on the hub.
    """
    stored_as = path.resolve().name
    expected = wanted.sha256 or (stored_as if _SHA256.fullmatch(stored_as) else "")
    if not wanted.sha256:
        _log.info("%s of %s: its sha256 is not pinned", wanted.name, wanted.repo)
    if not expected:
        return
    found = sha256_of(path)
    if found != expected:
        raise CheckpointError(
            f"{path} has sha256 {found}, expected {expected}: it is damaged, or it was changed on "
            f"the hub; remove it and fetch it again, or set weights to its path if you trust it",
            reason="sha256",
        )


def sha256_of(path: Path) -> str:
    """Hash a file of any size in little memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _log_licence(source: str, official: bool, card: ModelCard) -> None:
    if not official:
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
