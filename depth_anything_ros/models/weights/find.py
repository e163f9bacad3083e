"""Find the file of weights that ``weights:`` names.

In this package, in a path, in a cache, on the hub, or at an address of its own (``releases``).
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from depth_anything_ros.core.errors import CheckpointError, quoted
from depth_anything_ros.core.files import user_path
from depth_anything_ros.models.weights.download import Progress
from depth_anything_ros.models.weights.hub import HF_FILE, HubFile
from depth_anything_ros.models.weights.load import FOLDER_FILES, checkpoint_file
from depth_anything_ros.models.weights.releases import Release
from depth_anything_ros.models.weights.remote import RemoteFile
from depth_anything_ros.models.zoo import CARDS
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import family_of

_log = logging.getLogger(__name__)

RANDOM = "random"
# The weights that come with this package.
BUNDLED = Path(__file__).resolve().parents[2] / "weights"
_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?::(?P<file>[\w.-][\w./-]*))?")
_FILE_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors")
# Organisations on the hub whose files are the authors' own.
_OFFICIAL = ("depth-anything/", "LiheYoung/")


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
    if not weights and not card.hub_repo:
        weights = str(dict(card.options).get("folder", ""))  # of transformers
    named = card if not weights else CARDS.get(weights)
    if named is not None and named.bundled:
        return _bundled_file(named)
    wanted = _card_file(named) if named is not None else _hub_file(weights)
    if wanted is None:
        path = checkpoint_file(user_path(weights, CheckpointError), card)
        _log_licence(path.name, _is_official_name(path.name), card)
        return path
    found = wanted.found(download, progress)
    wanted.check(found)
    _log_licence(wanted.source, _is_official(wanted), card)
    return found


def cached_weights(card: ModelCard) -> Path | None:
    """Find a card's own file on this machine; None where it is not here, or was not released."""
    if card.bundled:
        path = BUNDLED / card.bundled
        return path if path.is_file() else None
    return next((found for place in _places(card) if (found := place.cached())), None)


def _places(card: ModelCard) -> list[RemoteFile]:
    """Return where a card's own file was released."""
    release = Release.of(card)
    beside = dict(card.options).get("beside", ())
    hub = [HubFile(card.hub_repo, card.hub_file, card.sha256, beside)] if card.hub_repo else []
    return [*hub, *([release] if release else [])]


def _is_official_name(name: str) -> bool:
    names = {card.hub_file for card in CARDS.values()}
    names |= {release.path.name for card in CARDS.values() if (release := Release.of(card))}
    return name in names and name not in FOLDER_FILES


def _is_official(file: RemoteFile) -> bool:
    """Say whether a file is the authors' own; addresses stand in rows only."""
    repos = {card.hub_repo for card in CARDS.values()}
    return not file.hub_repo or file.hub_repo.startswith(_OFFICIAL) or file.hub_repo in repos


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


def _hub_file(weights: str) -> RemoteFile | None:
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
    return HubFile(repo, file or HF_FILE)


def _card_file(card: ModelCard) -> RemoteFile:
    """Return the card's own file: the first of its places in whose cache it is, else the first."""
    places = _places(card)
    if not places:
        raise CheckpointError(
            f"no weights were released for {card.name}; set weights to the path of your own, or "
            f"to random for a test",
            reason="not_released",
        )
    return next((place for place in places if place.cached()), places[0])


def _log_licence(source: str, official: bool, card: ModelCard) -> None:
    level = logging.INFO if card.commercial else logging.WARNING
    if family_of(card).prefix:
        _log.log(level, "weights %s: licence %s by the README of the model", source, card.licence)
    elif not official:
        _log.info(
            "weights %s: their licence is not known here (%s is that of the official weights of "
            "%s)",
            source,
            card.licence,
            card.name,
        )
    else:
        ban = "" if card.commercial else ", NO COMMERCIAL USE"
        _log.log(level, "weights %s: licence %s%s", source, card.licence, ban)
