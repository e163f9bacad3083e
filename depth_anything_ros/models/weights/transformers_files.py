"""What ``transformers`` saved: the card of a folder or repo, and weights into a network.

What a model answers (metres, disparity, affine depth) is in its config, or known of its type.
"""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import torch
from torch import nn

from depth_anything_ros.core.errors import (
    CheckpointError,
    ModelError,
    SourceError,
    one_line,
    quoted,
)
from depth_anything_ros.core.files import MOST_BYTES, read_file, user_path
from depth_anything_ros.models.networks.marigold import card_of_folder
from depth_anything_ros.models.networks.transformers_library import (
    DEPTH_PRO,
    PROCESSOR_FILES,
    TYPES,
    load_processor,
    malformed,
    processor_sides,
    quiet,
    read_config,
    transformers_library,
)
from depth_anything_ros.models.networks.transformers_models import TransformersDepth
from depth_anything_ros.models.weights.hub import CONFIG_FILE, HubFile, hub_folder
from depth_anything_ros.models.weights.load import FOLDER_FILES, check_kinds
from depth_anything_ros.models.weights.read import few, read_state_dict
from depth_anything_ros.models.zoo.card import Kind, ModelCard
from depth_anything_ros.models.zoo.rows_diffusers import INDEX_FILE
from depth_anything_ros.models.zoo.rows_transformers import FAMILY, PREFIX

_log = logging.getLogger(__name__)

# The published forms of a licence's name in a repo's README, and SPDX's; or the name of one that
# SPDX lacks.
_SPDX = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "bsd-3-clause": "BSD-3-Clause",
    "openrail++": "OpenRAIL++-M",
}
_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# GLPN takes each picture at its own size; its card needs a number. This one is NYU's height.
_UNSIZED = 480
# The first fusion block has nothing to add, so this half of it is never run, and some official
# files (Intel/dpt-large) lack it.
_NEVER_RUN = re.compile(r"\bfusion_stage\.layers\.0\.residual_layer1\.|\bmask_token$")


def transformers_card(name: str, download: bool = False) -> ModelCard:
    """Make the card of a model that transformers saved, from its config.json; or diffusers.

    Of the fields that describe this package's own networks, ``encoder`` is the model_type and the
    others are empty. ``licence`` is what the README of the repo says, else LicenseRef-unknown.

    Args:
        name: ``hf:`` and a folder, or the name of a repo on the hub, which is looked up in the
            hub's cache.
        download: whether the hub may be asked where the cache lacks it.

    Raises:
        ModelError: ``no_transformers``; ``unknown_model`` where there is no such folder or no
            config.json in it; ``not_a_depth_model``; ``config`` where it is malformed.
        CheckpointError: ``not_cached`` or ``download``, of a repo.
    """
    place = name.removeprefix(PREFIX)
    folder = _find_folder(place, download)
    is_local = user_path(place, ModelError).is_dir()
    if (folder / INDEX_FILE).is_file():
        return card_of_folder(name, folder, "" if is_local else place, _licence(folder))
    transformers_library()
    model_type, kind, max_depth_m = read_facts(folder)
    processor = load_processor(folder, model_type)
    sides = processor_sides(processor)
    file = next((file for file in FOLDER_FILES if (folder / file).is_file()), FOLDER_FILES[0])
    return ModelCard(
        name=name,
        family=FAMILY,
        kind=kind,
        encoder=model_type,
        max_depth_m=max_depth_m,
        canonical_focal_px=_canonical_focal_px(folder, model_type, sides),
        licence=_licence(folder),
        hub_repo="" if is_local else place,
        hub_file="" if is_local else file,
        input_size=min(sides) if sides else _UNSIZED,
        multiple=int(max(1, getattr(processor, "ensure_multiple_of", None) or 1)),
        options=(("folder", str(folder)), ("model_type", model_type)),
    )


def _find_folder(place: str, download: bool) -> Path:
    path = user_path(place, ModelError)
    if path.is_dir():
        return path.resolve()
    if _REPO.fullmatch(place) is None:
        raise ModelError(
            f"{PREFIX}{place}: there is no folder {place}, and it is no name of a repo on the "
            f"hub (organisation/name)",
            reason="unknown_model",
        )
    pipeline = HubFile(place, INDEX_FILE).cached()
    if pipeline is not None:
        return pipeline.parent
    return hub_folder(place, (*PROCESSOR_FILES, "README.md", CONFIG_FILE), download)


def read_facts(folder: Path) -> tuple[str, Kind, float | None]:
    """Return the model_type, the kind and the maximum depth that a folder's config.json says."""
    path = folder / CONFIG_FILE
    if not path.exists():
        raise ModelError(
            f"{PREFIX}{folder} has no {CONFIG_FILE}, which says what model it is; give a folder "
            f"that save_pretrained of transformers wrote, or a repo on the hub",
            reason="unknown_model",
        )
    try:
        written = json.loads(read_file(path, "the description", ModelError, MOST_BYTES))
        model_type = str(written["model_type"])
        architectures = [str(name) for name in written.get("architectures") or ()]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise malformed(path, error) from error
    others = [name for name in architectures if name.endswith(("Segmentation", "Classification"))]
    if model_type not in TYPES or others:
        what = one_line(" and ".join(others)) or quoted(model_type)
        raise ModelError(
            f"{path} is of {what}, which is no depth model; known: {', '.join(TYPES)}",
            reason="not_a_depth_model",
        )
    if written.get("backbone") and not written.get("backbone_config"):
        raise malformed(path, ValueError("it names a backbone elsewhere and does not describe it"))
    try:
        kind, max_depth_m = TYPES[model_type].kind(read_config(folder))
    except (AttributeError, TypeError, ValueError) as error:
        raise malformed(path, error) from error
    return model_type, kind, max_depth_m


def _canonical_focal_px(
    folder: Path, model_type: str, sides: tuple[int, int] | None
) -> float | None:
    """Say that a Depth Pro without its field-of-view network needs a camera.

    metres = focal length / (width * inverse depth), so it is right where both are equal.
    """
    if model_type != DEPTH_PRO or sides is None or read_config(folder).use_fov_model:
        return None
    return float(sides[1])


def _licence(folder: Path) -> str:
    """Read the licence in the head of the repo's README; SPDX's word for others is LicenseRef."""
    try:
        text = read_file(folder / "README.md", "the licence").decode(errors="replace")
    except SourceError:
        text = ""
    head = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    found = (
        re.search(r"^license:[ \t]*['\"]?([\w.+-]{1,64})", head[1], re.MULTILINE) if head else None
    )
    if found is None:
        return "LicenseRef-unknown"
    licence = found[1].lower()
    if licence.startswith("cc-"):
        return licence.upper()
    return _SPDX.get(licence, f"LicenseRef-{licence}")


def fill(network: nn.Module, file: Path, card: ModelCard) -> None:
    """Put a published state dict into a network, under the names of any version of transformers.

    The network gives up its memory first, so it is empty where this raises.

    Raises:
        CheckpointError: ``other_model`` where the config.json beside the file says so,
            ``missing_keys``, ``wrong_shapes`` or ``wrong_kinds``.
    """
    assert isinstance(network, TransformersDepth)
    state = read_state_dict(file, integers=True)
    check_kinds(state, network.model.state_dict(), card, file)
    _check_neighbour(file, card)
    kind, config = type(network.model), network.model.config
    network.model.to("meta")
    with quiet():
        model, found = kind.from_pretrained(  # type: ignore[attr-defined]
            None,
            config=config,
            state_dict=state,
            torch_dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    missing = [name for name in sorted(found["missing_keys"]) if not _NEVER_RUN.search(name)]
    for reason, what, names in (
        ("wrong_shapes", "other shapes of", sorted(map(str, found["mismatched_keys"]))),
        ("missing_keys", "none of", missing),
    ):
        if names:
            raise CheckpointError(
                f"{file} does not fit {card.name} ({kind.__name__}): it has {what} {len(names)} "
                f"of {len(model.state_dict())} tensors: {few(names)}",
                reason=reason,
            )
    if found["unexpected_keys"]:
        names = sorted(found["unexpected_keys"])
        _log.info("%s holds %d tensors that are not used, as %s", file, len(names), few(names[:1]))
    network.model = model.float()
    _log.info("loaded %d tensors of %s from %s", len(state), card.name, file)


def _check_neighbour(file: Path, card: ModelCard) -> None:
    """Refuse weights with a config.json beside them of another type, kind or maximum depth."""
    folder = file.parent
    if not (folder / CONFIG_FILE).is_file() or folder.resolve() == Path(card.option("folder")):
        return
    wanted = (card.option("model_type"), card.kind, card.max_depth_m)
    said = read_facts(folder)
    if said != wanted:
        raise CheckpointError(
            f"{file} is of {_words(*said)} by its {CONFIG_FILE}, and {card.name} is of "
            f"{_words(*wanted)}; choose the model that the weights belong to",
            reason="other_model",
        )


def _words(model_type: str, kind: str, max_depth_m: float | None) -> str:
    limit = f" up to {max_depth_m:g} m" if max_depth_m is not None else ""
    return f"{model_type} ({kind}{limit})"
