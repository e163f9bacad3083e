"""Cards of models that the ``transformers`` library saved, made from their config.json.

What a model answers (metres, disparity, affine depth) is in its config, or known of its type.
"""

from __future__ import annotations

import importlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from depth_anything_ros.core.errors import ModelError, SourceError, one_line, quoted
from depth_anything_ros.core.files import MOST_BYTES, read_file, user_path
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before transformers
from depth_anything_ros.models.zoo.card import Kind, ModelCard

_log = logging.getLogger(__name__)

PREFIX = "hf:"
FAMILY = "transformers"
# The published forms of a licence's name in a repo's README, and SPDX's.
_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "bsd-3-clause": "BSD-3-Clause"}
CONFIG_FILE = "config.json"
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
_REPO = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
PROMPTED = "prompt_depth_anything"
DEPTH_PRO = "depth_pro"
# Depth Pro clamps inverse depth to 1e-4 / m and more (depth_pro.py of apple/ml-depth-pro).
_DEPTH_PRO_MAX_M = 1e4
# GLPN takes each picture at its own size; its card needs a number. This one is NYU's height.
_UNSIZED = 480


def _metric(config: Any) -> tuple[Kind, float | None]:  # noqa: ANN401 - of any transformers
    return "metric", None


def _bounded(config: Any) -> tuple[Kind, float | None]:  # noqa: ANN401
    return "metric", float(config.max_depth)


def _depth_anything(config: Any) -> tuple[Kind, float | None]:  # noqa: ANN401
    return _bounded(config) if config.depth_estimation_type == "metric" else ("relative", None)


def _depth_pro(config: Any) -> tuple[Kind, float | None]:  # noqa: ANN401
    return "metric", _DEPTH_PRO_MAX_M


def _dpt(config: Any) -> tuple[Kind, float | None]:  # noqa: ANN401
    """Tell MiDaS's DPT from DINOv2's depth heads, which answer metres.

    Only the latter have the projection: convert_dinov2_depth_to_hf.py of transformers.
    """
    return ("metric", None) if config.add_projection else ("relative", None)


def _prompted(config: Any) -> tuple[Kind, float | None]:  # noqa: ANN401
    """With no prompt, the network answers (depth - nearest) / (farthest - nearest) of the scene."""
    return "affine_depth", None


class _Type(NamedTuple):
    """A kind of model in transformers.

    Attributes:
        kind: what a config's model answers, and its max_depth_m.
        processor: the class of its image processor.
        options: of the processor, as the official repos have them; for a folder that says none.
    """

    kind: Callable[[Any], tuple[Kind, float | None]]
    processor: str
    options: Mapping[str, Any]


_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_ON_14 = {"keep_aspect_ratio": True, "ensure_multiple_of": 14, **_IMAGENET}

# By the model_type of config.json. Not here: chmv2, whose answer is the height of trees.
TYPES: dict[str, _Type] = {
    "depth_anything": _Type(
        _depth_anything, "DPTImageProcessor", {"size": {"height": 518, "width": 518}, **_ON_14}
    ),
    DEPTH_PRO: _Type(_depth_pro, "DepthProImageProcessor", {}),
    "dpt": _Type(_dpt, "DPTImageProcessor", {}),
    "glpn": _Type(_bounded, "GLPNImageProcessor", {}),
    PROMPTED: _Type(
        _prompted,
        "PromptDepthAnythingImageProcessor",
        {"size": {"height": 756, "width": 756}, **_ON_14},
    ),
    "tipsv2_dpt": _Type(_bounded, "Tipsv2DptImageProcessor", {}),
    "zoedepth": _Type(_metric, "ZoeDepthImageProcessor", {"ensure_multiple_of": 32}),
}


def transformers_library() -> Any:  # noqa: ANN401 - a module, of many versions
    """Import the library.

    Raises:
        ModelError: (``no_transformers``) where it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ImportError as error:
        raise ModelError(
            f"models named {PREFIX}... need the library transformers ({error}); run: "
            f"{how_to_install('hf')}",
            reason="no_transformers",
        ) from error


# The card


def transformers_card(name: str, download: bool = False) -> ModelCard:
    """Make the card of a model that transformers saved, from its config.json.

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
    transformers_library()
    place = name.removeprefix(PREFIX)
    folder = _find_folder(place, download)
    model_type, kind, max_depth_m = read_facts(folder)
    processor = load_processor(folder, model_type)
    sides = processor_sides(processor)
    is_local = user_path(place, ModelError).is_dir()
    file = next((file for file in _WEIGHTS_FILES if (folder / file).is_file()), _WEIGHTS_FILES[0])
    return ModelCard(
        name=name,
        family=FAMILY,
        kind=kind,
        encoder=model_type,
        width=0,
        timm_id="",
        tapped_layers=(0, 0, 0, 0),
        features=0,
        out_channels=(0, 0, 0, 0),
        output="relu",
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
    from depth_anything_ros.models.weights.find import (
        hub_folder,  # it imports the zoo, and that this
    )

    return hub_folder(place, (*_PROCESSOR_FILES, "README.md", CONFIG_FILE), download)


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


def malformed(path: Path, error: BaseException) -> ModelError:
    """Say in one line that transformers cannot use a file, and why (``config``)."""
    what = f"{type(error).__name__}: {one_line(error, 300)}"
    version = getattr(transformers_library(), "__version__", "?")
    return ModelError(
        f"transformers {version} cannot make a model of {path} ({what}); mend that file, or "
        f"update transformers",
        reason="config",
    )


def read_config(folder: Path) -> Any:  # noqa: ANN401 - of any transformers
    """Read a config with transformers' own defaults for what it leaves out."""
    try:
        config = transformers_library().AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # of what a file holds, transformers raises errors of any class
        raise malformed(folder / CONFIG_FILE, error) from error
    for part in (config, getattr(config, "backbone_config", None)):
        if part is not None and getattr(part, "use_pretrained_backbone", False):
            part.use_pretrained_backbone = False  # they are in this checkpoint: ask no hub
    return config


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


@lru_cache(maxsize=4)
def load_processor(folder: Path, model_type: str) -> Any:  # noqa: ANN401 - of any transformers
    """Load the image processor of a folder, or make the one that its type is published with."""
    transformers = transformers_library()
    if any((folder / name).is_file() for name in _PROCESSOR_FILES):
        try:
            return transformers.AutoImageProcessor.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # as of a config
            raise malformed(folder / _PROCESSOR_FILES[0], error) from error
    _log.warning(
        "%s has no %s: pictures are prepared as for the published models of %s",
        folder,
        _PROCESSOR_FILES[0],
        model_type,
    )
    published = TYPES[model_type]
    try:
        options = {**published.options, **_own_size(read_config(folder))}
        return getattr(transformers, published.processor)(**options)
    except AttributeError as error:
        raise malformed(folder / CONFIG_FILE, error) from error


def _own_size(config: Any) -> dict[str, dict[str, int]]:  # noqa: ANN401
    """Return the size of picture that a type's networks differ in, from a config."""
    if config.model_type == DEPTH_PRO:
        side = round(config.patch_size / min(config.scaled_images_ratios))
    elif config.model_type == "dpt":
        side = getattr(config.backbone_config, "image_size", None) or config.image_size
    else:
        return {}
    return {"size": {"height": side, "width": side}}


def processor_sides(processor: Any) -> tuple[int, int] | None:  # noqa: ANN401
    """Return the height and width that a processor resizes to, or None where it has none."""
    size = dict(processor.size) if getattr(processor, "size", None) else {}
    if not getattr(processor, "do_resize", True) or not {"height", "width"} <= size.keys():
        return None
    return int(size["height"]), int(size["width"])
