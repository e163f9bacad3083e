"""The library ``transformers`` (the extra ``hf``): types of depth models, configs, processors."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from depth_anything_ros.core.errors import ModelError, one_line
from depth_anything_ros.core.programs import how_to_install
from depth_anything_ros.models.networks import torchvision_schemas  # noqa: F401 - before transformers
from depth_anything_ros.models.zoo.card import Kind
from depth_anything_ros.models.zoo.rows_transformers import PREFIX

_log = logging.getLogger(__name__)

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
PROMPTED = "prompt_depth_anything"
DEPTH_PRO = "depth_pro"
# Depth Pro clamps inverse depth to 1e-4 / m and more (depth_pro.py of apple/ml-depth-pro).
_DEPTH_PRO_MAX_M = 1e4


def _bounded(config: Any) -> tuple[Kind, float | None]:  # noqa: ANN401 - of any transformers
    return "metric", float(config.max_depth)


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
        lambda c: _bounded(c) if c.depth_estimation_type == "metric" else ("relative", None),
        "DPTImageProcessor",
        {"size": {"height": 518, "width": 518}, **_ON_14},
    ),
    DEPTH_PRO: _Type(lambda _: ("metric", _DEPTH_PRO_MAX_M), "DepthProImageProcessor", {}),
    # MiDaS's DPT, or DINOv2's depth heads, which answer metres. Only the latter have the
    # projection: convert_dinov2_depth_to_hf.py of transformers.
    "dpt": _Type(
        lambda c: ("metric" if c.add_projection else "relative", None), "DPTImageProcessor", {}
    ),
    "glpn": _Type(_bounded, "GLPNImageProcessor", {}),
    # With no prompt, it answers (depth - nearest) / (farthest - nearest) of the scene.
    PROMPTED: _Type(
        lambda _: ("affine_depth", None),
        "PromptDepthAnythingImageProcessor",
        {"size": {"height": 756, "width": 756}, **_ON_14},
    ),
    "tipsv2_dpt": _Type(_bounded, "Tipsv2DptImageProcessor", {}),
    "zoedepth": _Type(
        lambda _: ("metric", None), "ZoeDepthImageProcessor", {"ensure_multiple_of": 32}
    ),
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
        raise malformed(folder / "config.json", error) from error
    for part in (config, getattr(config, "backbone_config", None)):
        if part is not None and getattr(part, "use_pretrained_backbone", False):
            part.use_pretrained_backbone = False  # they are in this checkpoint: ask no hub
    return config


@lru_cache(maxsize=4)
def load_processor(folder: Path, model_type: str) -> Any:  # noqa: ANN401 - of any transformers
    """Load the image processor of a folder, or make the one that its type is published with."""
    transformers = transformers_library()
    if any((folder / name).is_file() for name in PROCESSOR_FILES):
        try:
            return transformers.AutoImageProcessor.from_pretrained(
                str(folder), local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # as of a config
            raise malformed(folder / PROCESSOR_FILES[0], error) from error
    _log.warning(
        "%s has no %s: pictures are prepared as for the published models of %s",
        folder,
        PROCESSOR_FILES[0],
        model_type,
    )
    published = TYPES[model_type]
    try:
        options = {**published.options, **_own_size(read_config(folder))}
        return getattr(transformers, published.processor)(**options)
    except AttributeError as error:
        raise malformed(folder / "config.json", error) from error


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


@contextmanager
def quiet(library: Any = None) -> Iterator[None]:  # noqa: ANN401 - a module
    """Keep the bars and reports of transformers, or of diffusers, off the console."""
    logs = (library or transformers_library()).utils.logging
    verbosity, has_bar = logs.get_verbosity(), logs.is_progress_bar_enabled()
    logs.set_verbosity(logging.CRITICAL)
    logs.disable_progress_bar()
    try:
        yield
    finally:
        logs.set_verbosity(verbosity)
        if has_bar:
            logs.enable_progress_bar()
