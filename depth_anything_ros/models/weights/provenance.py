"""What a checkpoint says about itself: by its name, its folder, its metadata or its hash.

Relative, indoor and outdoor checkpoints of Depth Anything V2 of one size, and those of V1, hold the
same names and shapes: loading one as another cannot be seen from the weights, and answers wrong
depth with a straight face. Where anything says what the file is, this module refuses; where
nothing does, nobody can tell.
"""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from depth_anything_ros.core.errors import CheckpointError, one_line
from depth_anything_ros.core.files import MOST_BYTES, read_file
from depth_anything_ros.models.weights.releases import Release
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import CARDS
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import FAMILIES
from depth_anything_ros.models.zoo.rows_depth_anything import FAMILY, FAMILY_V1, V1_FILES

# Of the metadata of a safetensors file: the zoo name of its model, or the family of its network.
MODEL_KEY = "model"
# Under these names files of any model lie, so that the folder says more.
_ANY_MODEL = ("model.safetensors", "pytorch_model.bin")
_IN_CACHE = re.compile(r"(?:models|spaces)--([\w.-]+?)--([\w.-]+)")
# The names under which the official files are published, with those of transformers' copies.
_V2 = re.compile(r"depth_anything_v2_(?:metric_(hypersim|vkitti)_)?vit([sblg])\b")
_V2_REPO = re.compile(
    r"depth-anything-v2-(?:metric-(hypersim|indoor|vkitti|outdoor)-)?"
    r"(small|base|large|giant)(?:-hf)?"
)
_V1 = re.compile(r"depth_anything_vit([sbl])14(?![a-z0-9])")
_V1_REPO = re.compile(r"depth-anything-(small|base|large)(?:-hf)?")
_V1_METRIC = re.compile(r"depth_anything_metric_depth_(?:in|out)door\b")
_SIZES = {"s": "small", "b": "base", "l": "large", "g": "giant"}
_PLACES = {"hypersim": "indoor", "indoor": "indoor", "vkitti": "outdoor", "outdoor": "outdoor"}


@dataclass(frozen=True)
class Claim:
    """What a checkpoint says it is. None means that it does not say.

    Attributes:
        source: where that is said, for the message.
        family: the network.
        kind: ``relative``, ``affine_depth`` or ``metric``.
        max_depth_m: of a metric checkpoint.
        tapped_layers: blocks (from 0) whose tokens the decoder was trained on.
        model: its name in the zoo.
    """

    source: str
    family: str | None = None
    kind: str | None = None
    max_depth_m: float | None = None
    tapped_layers: tuple[int, ...] | None = None
    model: str | None = None

    def __str__(self) -> str:
        """Say it in words."""
        words = [title(self.family) if self.family else ""]
        words += [self.model or "", _words(self.kind, self.max_depth_m) if self.kind else ""]
        if self.tapped_layers and not self.family:
            words.append(f"trained on layers {self.tapped_layers}")
        return f"{', '.join(word for word in words if word)}, by {self.source}"

    def refusal(self, path: Path, card: ModelCard) -> str:
        """Say why a file that says so must not be used with a card; "" where it may."""
        if self.family not in (None, card.family):
            named = f" ({self.model})" if self.model else ""
            advice = "choose the model that it belongs to"
            if {self.family, card.family} == {FAMILY, FAMILY_V1}:
                advice = (
                    "the weights would load and the depth be wrong, since V1 taps other layers; "
                    "choose the model that they belong to"
                )
            return (
                f"{path} is of {title(self.family or '')}{named} by {self.source}, and {card.name} "
                f"is of {title(card.family)}; {advice}"
            )
        what, wanted = (_words(of.kind, of.max_depth_m) for of in (self, card))
        if self.kind is not None and what != wanted:
            return (
                f"{path} is {what} by {self.source}, and {card.name} is {wanted}: the weights "
                f"would load and the depth be wrong; choose the model that they belong to"
            )
        if self.model is None and self.tapped_layers not in (None, card.tapped_layers):
            return (
                f"{path} was trained on layers {self.tapped_layers} by {self.source}, and "
                f"{card.name} taps {card.tapped_layers}: these are weights of another size, or of "
                f"another model"
            )
        return ""


def title(family: str) -> str:
    """Return a family's name as people write it."""
    return FAMILIES[family].title if family in FAMILIES else family


def known_files() -> dict[str, str]:
    """Return the zoo name of each official file whose sha256 is known, by its sha256."""
    cards = CARDS.values()
    releases = {file.sha256: card.name for card in cards if (file := Release.of(card))}
    known = V1_FILES | {card.sha256: card.name for card in cards} | releases
    return {sha256: name for sha256, name in known.items() if sha256}


def check_claims(path: Path, card: ModelCard) -> None:
    """Refuse a checkpoint that says it belongs to another model than the card's.

    Raises:
        CheckpointError: (``other_model``); ``damaged`` on a malformed config.json beside it.
    """
    refusal = next(filter(None, (claim.refusal(path, card) for claim in claims_of(path))), "")
    if refusal:
        raise CheckpointError(refusal, reason="other_model")


def claims_of(path: Path) -> list[Claim]:
    """Collect what is said about a checkpoint.

    Its content is hashed only where nothing else says what it is, and it may be an official file
    under another name: those that are known by their hash are zip files.

    Raises:
        CheckpointError: (``damaged``) on a malformed config.json beside it.
    """
    claims = (
        _claim_of_label(path.name, f"its name {path.name}"),
        _claim_of_repository(path),
        _claim_of_metadata(path),
        _claim_of_config(path),
    )
    found = [claim for claim in claims if claim is not None]
    if not found and zipfile.is_zipfile(path):
        claim = _claim_of_hash(path) or _claim_of_archive(path)
        found = [claim] if claim is not None else []
    return found


def _claim_of_card(card: ModelCard, source: str) -> Claim:
    """Claim all that a card says, but for a file of which several cards are answers."""
    if card.bundled:
        return Claim(source, card.family)
    return Claim(
        source, card.family, card.kind, card.max_depth_m, card.tapped_layers, model=card.name
    )


def _claim_of_label(label: str, source: str) -> Claim | None:
    """Recognise a zoo name, or one under which Depth Anything V1 or V2 was published."""
    label = label.lower()
    named = CARDS.get(label.partition(".")[0])
    if named is not None and not named.bundled:  # "tiny" may be called what is of anybody
        return _claim_of_card(named, source)
    if _V1_METRIC.search(label):
        return Claim(source, "Depth Anything V1 with the metric head of ZoeDepth")
    v1 = _V1.search(label) or _V1_REPO.fullmatch(label)
    if v1 is not None:
        return Claim(source, FAMILY_V1, model=f"{FAMILY_V1}_{_SIZES.get(v1[1], v1[1])}")
    v2 = _V2.search(label) or _V2_REPO.fullmatch(label)
    if v2 is None:
        return None
    metric = f"metric_{_PLACES[v2[1]]}_" if v2[1] else ""
    name = f"{FAMILY}_{metric}{_SIZES.get(v2[2], v2[2])}"
    return _claim_of_card(CARDS[name], source) if name in CARDS else Claim(source, FAMILY)


def _claim_of_repository(path: Path) -> Claim | None:
    """Recognise the repository whose folder of the hub's cache, or whose copy, the file lies in."""
    for part in path.absolute().parts[:-1]:
        cached = _IN_CACHE.fullmatch(part)
        if cached:
            return _claim_of_repo(f"{cached[1]}/{cached[2]}", path, f"its repository {part}")
    if path.name not in _ANY_MODEL:
        return None
    folder = path.absolute().parent
    return _claim_of_repo(folder.name, path, f"its folder {folder.name}")


def _claim_of_repo(repo: str, path: Path, source: str) -> Claim | None:
    """Recognise ``org/name``, or ``name`` alone."""
    cards = [
        card
        for card in CARDS.values()
        if f"/{card.hub_repo}".endswith(f"/{repo}") and path.name in (card.hub_file, *_ANY_MODEL)
    ]
    if len({(card.family, card.kind, card.max_depth_m) for card in cards}) == 1:
        return _claim_of_card(cards[0], source)
    return _claim_of_label(repo.split("/")[-1], source)


def _claim_of_metadata(path: Path) -> Claim | None:
    """Read the model that this package writes into its own safetensors files."""
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError):
        return None  # another format; or not readable, which is said where the tensors are read
    model, source = metadata.get(MODEL_KEY, ""), "its metadata"
    if model in FAMILIES:
        return Claim(source, model)
    return _claim_of_card(CARDS[model], source) if model in CARDS else None


def _claim_of_config(path: Path) -> Claim | None:
    config_path = path.parent / "config.json"
    try:
        config = json.loads(read_file(config_path, "the description", CheckpointError, MOST_BYTES))
    except (CheckpointError, ValueError, RecursionError):
        return None  # not there, or not ours: it may be anything that lies beside the weights
    if not isinstance(config, dict):
        return None
    for card in CARDS.values():  # Depth Anything 3's own form; 1.0 and 1.1 have one name
        published = card.hub_repo.rpartition("/")[2].removesuffix("-1.1").lower()
        if card.family == "depth_anything_3" and config.get("model_name") == published:
            return _claim_of_card(card, str(config_path))
    if config.get("model_type") != "depth_anything":
        return None
    # Both fields have defaults in transformers' DepthAnythingConfig.
    kind = str(config.get("depth_estimation_type") or "relative")
    try:
        max_depth_m = float(config.get("max_depth") or 1) if kind == "metric" else None
        indices = (config.get("backbone_config") or {}).get("out_indices")
        tapped = tuple(int(i) - 1 for i in indices) if indices else None  # 0: patch embedding
    except (TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{config_path} says that it describes depth_anything, and it is malformed: "
            f"{one_line(error)}; "
            f"mend it, or remove it",
            reason="damaged",
        ) from error
    return Claim(str(config_path), _family_of_layers(tapped), kind, max_depth_m, tapped)


def _family_of_layers(tapped: tuple[int, ...] | None) -> str | None:
    """Tell V1 from V2, which transformers has under one model type, by the layers."""
    found = {
        card.family
        for card in CARDS.values()
        if card.family in (FAMILY, FAMILY_V1) and card.tapped_layers == tapped
    }
    return found.pop() if len(found) == 1 else None


def _claim_of_hash(path: Path) -> Claim | None:
    name = known_files().get(sha256_of(path), "")
    return _claim_of_card(CARDS[name], "its sha256") if name else None


def _claim_of_archive(path: Path) -> Claim | None:
    """Read under which name torch.save wrote a file that may have been renamed since.

    The folder inside of the zip file is called so. In the official files of V2 it is: the sizes of
    the metric ones differ by as many bytes as their names give.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            label = archive.namelist()[0].split("/")[0]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, IndexError):
        return None  # damaged: said where the tensors are read
    return _claim_of_label(label, f"the name {one_line(label, 60)}, under which it was saved")


def _words(kind: str | None, max_depth_m: float | None) -> str:
    return (
        f"metric up to {max_depth_m:g} m"
        if max_depth_m is not None
        else f"{kind}".replace("_", " ")
    )
