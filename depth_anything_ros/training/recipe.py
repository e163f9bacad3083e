"""All of a training run in one frozen dataclass, read from YAML and from ``--set key=value``."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import yaml

from depth_anything_ros.core.errors import RecipeError, one_line, quoted
from depth_anything_ros.core.files import parse_yaml, read_document, user_path

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
RECIPE_FOLDER = PACKAGE_FOLDER / "recipes"
BUNDLED = "bundled"
LARGEST_SIDE = 16_384  # pixels
MOST_THREADS = 4096
LARGEST_INTEGER = 2**53  # that every number type on the way holds exactly

Section = TypeVar("Section")


def setting(
    default: Any,  # noqa: ANN401 - a value of any of the types below
    description: str,
    low: float = -math.inf,
    high: float = math.inf,
    choices: tuple[str, ...] = (),
) -> Any:  # noqa: ANN401
    """Make a dataclass field with the bounds (both allowed) or the words that it may have."""
    facts = {"description": description, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=facts)


@dataclass(frozen=True)
class Source:
    """Where pictures come from.

    A ``world`` is rendered from the seeds first_seed, first_seed + 1, ... and kept in the folder
    ``cache`` where one is given; a ``folder`` has pictures with depth, and a ``pseudo`` one those
    with a teacher's disparity.
    """

    kind: str = setting("world", "of source", choices=("world", "folder", "pseudo"))
    weight: float = setting(1.0, "share of the pictures, relative to the other sources", 0)
    augment: str = setting("weak", "perturbations", choices=("none", "weak", "strong", "rendered"))
    path: str = setting("", "of a folder or pseudo source")
    first_seed: int = setting(0, "of a world", 0)
    count: int = setting(0, "seeds of a world; 0: without end", 0)
    reuse: float = setting(1.0, "times that a view of a world without end is drawn", 1)
    first_views: int = setting(0, "views of a world without end to draw from at the start", 0)
    width: int = setting(308, "rendered width [px]", 14, LARGEST_SIDE)
    height: int = setting(210, "rendered height [px]", 14, LARGEST_SIDE)
    cache: str = setting("", "folder that keeps rendered pictures; empty: in memory")


@dataclass(frozen=True)
class Optimiser:
    """Layer-wise rates, linear warm-up, and a cosine down to a share of the rate."""

    matrices: str = setting(
        "adamw", "what steps the matrices of the encoder's blocks", choices=("adamw", "muon")
    )
    lr: float = setting(1e-3, "rate of the decoder", 0)
    encoder_lr_scale: float = setting(1.0, "rate of the last encoder block, relative to lr", 0)
    layer_decay: float = setting(1.0, "rate of each block relative to the one after it", 0, 1)
    depthwise: bool = setting(
        True, "whether depthwise convolutions are trained; on a CPU their gradients cost a sixth"
    )
    frozen: tuple[str, ...] = setting((), "beginnings of the names of what is not trained")
    weight_decay: float = setting(0.05, "of matrices; vectors and embeddings have none", 0)
    warmup_steps: int = setting(500, "of the rate's linear rise", 0)
    min_lr_share: float = setting(0.01, "of lr, at the last step", 0, 1)
    betas: tuple[float, ...] = setting((0.9, 0.999), "of AdamW", 0, 1)
    clip_norm: float = setting(1.0, "largest norm of the gradient; 0: no clipping", 0)


@dataclass(frozen=True)
class Losses:
    """Weights of the losses; one of 0 is not computed. See training/objective.py."""

    log_l1: float = setting(0.0, "metric depth", 0)
    scale_invariant_log: float = setting(0.0, "metric depth (Eigen)", 0)
    log_gradient: float = setting(0.0, "metric depth, edges", 0)
    ssi: float = setting(0.0, "disparity, affine-invariant (MiDaS)", 0)
    gradient: float = setting(0.0, "disparity, edges (MiDaS)", 0)
    sky: float = setting(0.0, "sky or not", 0)
    feature_alignment: float = setting(0.0, "with a frozen encoder (Depth Anything)", 0)
    discard: float = setting(
        0.0, "share of the largest disparity errors left out: 0.1 for V2", 0, 0.9
    )

    def weights(self) -> dict[str, float]:
        """Return the weights by name."""
        return {name: value for name, value in asdict(self).items() if name != "discard"}


@dataclass(frozen=True)
class Teacher:
    """The frozen encoder that feature_alignment keeps near to."""

    model: str = setting("", "zoo name")
    weights: str = setting("", "as weights of the node")


@dataclass(frozen=True)
class Validation:
    """Scores on pictures that are not trained on: a world of other seeds, or a folder."""

    every: int = setting(1000, "steps; 0: never", 0)
    views: int = setting(0, "pictures", 0)
    first_seed: int = setting(1_000_000_000, "of the world", 0)
    path: str = setting("", "folder; empty: the world")
    width: int = setting(308, "rendered and scored [px]", 14, LARGEST_SIDE)
    height: int = setting(210, "rendered and scored [px]", 14, LARGEST_SIDE)
    batch_size: int = setting(16, "pictures at once", 1)
    max_m: float = setting(100.0, "farthest ground truth that counts [m]", 0)


@dataclass(frozen=True)
class Recipe:
    """One training run. Every key of the YAML is a field here, and has its default."""

    model: str = setting("tiny", "zoo name of what is trained")
    init: str = setting("", "weights to start from: path, zoo name, hub id, bundled; empty: none")
    encoder_init: str = setting(
        "", "weights of the encoder to start from, where init is empty", choices=("", "imagenet")
    )
    output: str = setting("", "folder of the run; empty: out/train/ and the recipe's name")
    device: str = setting("auto", "auto, cpu, cuda, cuda:N or mps")
    seed: int = setting(0, "of initial weights and of the order of pictures", 0)
    steps: int = setting(1000, "of the optimiser", 1)
    batch_size: int = setting(16, "pictures a pass", 1)
    accumulate: int = setting(1, "passes a step in each process", 1)
    sizes: tuple[tuple[int, ...], ...] = setting(
        ((224, 168, 1),),
        "(width, height, share) of batches [px]; a fourth number is the share at the last step, "
        "reached by a straight line",
        0,
        LARGEST_SIDE,
    )
    sources: tuple[Source, ...] = field(default=(), metadata={"description": "of pictures"})
    optimiser: Optimiser = field(default_factory=Optimiser)
    losses: Losses = field(default_factory=Losses)
    teacher: Teacher = field(default_factory=Teacher)
    validate: Validation = field(default_factory=Validation)
    ema_decay: float = setting(0.999, "of the averaged weights, which are what is kept", 0, 1)
    precision: str = setting("auto", "of the network", choices=("auto", "bf16", "fp32"))
    compile: bool = setting(False, "torch.compile the network: faster after minutes of start")
    checkpoint_minutes: float = setting(3.0, "between saved states", 0)
    log_every: int = setting(50, "steps", 1)
    panel_every: int = setting(500, "steps; 0: no panels", 0)
    tensorboard: str = setting("auto", "logs", choices=("auto", "required", "never"))
    workers: int = setting(2, "threads that prepare batches", 1, MOST_THREADS)
    threads: int = setting(0, "of torch on the CPU; 0: its own choice", 0, MOST_THREADS)

    def to_yaml(self) -> str:
        """Write every setting, such that from_mapping reads the same recipe."""
        return yaml.safe_dump(asdict(self), sort_keys=False, width=90)


# Settings that do not change what a run converges to: a resumed run may have others.
FREE = frozenset(
    {"output", "device", "precision", "compile", "checkpoint_minutes", "log_every", "panel_every"}
    | {"tensorboard", "workers", "threads", "validate"}
)


def find_recipe(name: str) -> Path:
    """Find a recipe: a path, a path inside the package, or the name of a recipe in it.

    Raises:
        RecipeError: naming the recipes of the package.
    """
    for path in (
        user_path(name, RecipeError),
        PACKAGE_FOLDER / name,
        RECIPE_FOLDER / f"{name}.yaml",
    ):
        if path.is_file():
            return path
    known = sorted(path.stem for path in RECIPE_FOLDER.glob("*.yaml"))
    raise RecipeError(
        f"there is no recipe {quoted(name)}{_near(Path(name).stem, known)}; give the path of a "
        f"YAML file, or one of {', '.join(known)}"
    )


def load_recipe(
    path: Path,
    overrides: Sequence[str] = (),
    output: Path | None = None,
    device: str | None = None,
) -> Recipe:
    """Read a recipe, with ``key=value`` overrides on top of it.

    Args:
        path: of the YAML file.
        overrides: for example ``optimiser.lr=1e-4`` or ``sources.0.count=100``; the value is read
            as YAML.
        output: folder of the run; the recipe's where None, else out/train/ and the file's name.
        device: the recipe's where None.

    Raises:
        RecipeError: naming the file or the override, the key, and near keys.
    """
    values = read_document(path, "recipe", RecipeError)
    values = {} if values is None else values
    from_mapping(values, str(path))  # so that its own errors name the file, not an override
    for override in overrides:
        _override(values, override)
    where = f"{path} with --set {one_line(' '.join(overrides))}" if overrides else path
    recipe = from_mapping(values, where)
    folder = output or recipe.output or Path("out/train", path.stem)
    return replace(recipe, output=str(folder), device=device or recipe.device)


def from_mapping(values: object, where: str | Path) -> Recipe:
    """Build a recipe from what YAML holds; RecipeError names where, the key and near keys."""
    recipe = _section(Recipe, values, str(where), "")
    _check_whole(recipe, str(where))
    return recipe


def _override(values: dict[str, Any], override: str) -> None:
    """Set one dotted key in place."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(
            f"--set {quoted(override)} is not key=value, for example optimiser.lr=1e-4"
        )
    try:
        value = parse_yaml(text)
    except ValueError as error:
        raise RecipeError(
            f"--set {quoted(override)}: {quoted(text)} is not a YAML value: {error}"
        ) from error
    *parents, last = key.strip().split(".")
    inner: Any = values
    for parent in parents:
        if isinstance(inner, dict):
            inner.setdefault(parent, {})
        inner = inner[_place(inner, parent, override)]
        if not isinstance(inner, dict | list):
            raise RecipeError(
                f"--set {quoted(override)}: {parent} is {quoted(inner)}, which has no keys"
            )
    inner[_place(inner, last, override)] = value


def _place(inner: dict[str, Any] | list[Any], name: str, override: str) -> Any:  # noqa: ANN401
    """Return the key of a mapping, or the index in a list, that a part of a dotted key names."""
    if isinstance(inner, dict):
        return name
    if not name.isdecimal() or len(name) > 9 or int(name) >= len(inner):
        raise RecipeError(
            f"--set {quoted(override)}: {quoted(name)} must be 0 to {len(inner) - 1}, the place in "
            f"a list"
        )
    return int(name)


def _section(cls: type[Section], values: object, where: str, prefix: str) -> Section:
    """Build a dataclass from a mapping, checking each key, type and bound."""
    if not isinstance(values, Mapping):
        raise RecipeError(
            f"{where}: {prefix or 'the recipe'} must be keys and values, got {quoted(values)}"
        )
    known = {entry.name: entry for entry in fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise RecipeError(
                f"{where}: unknown key {prefix}{'.' if prefix else ''}{one_line(key, 60)}"
                f"{_near(str(key), list(known))}; known: {', '.join(known)}"
            )
    hints = get_type_hints(cls)
    arguments = {}
    for key, value in values.items():
        name = f"{prefix}.{key}" if prefix else str(key)
        arguments[key] = _value(hints[key], value, known[key].metadata, where, name)
    return cls(**arguments)


def _value(
    hint: Any,  # noqa: ANN401 - a type or a generic alias
    value: object,
    facts: Mapping[str, Any],
    where: str,
    name: str,
) -> Any:  # noqa: ANN401
    """Check one value against its type hint and bounds."""
    if is_dataclass(hint):
        return _section(hint, value, where, name)  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where}: {name} must be a list, got {quoted(value)}")
        inner = get_args(hint)[0]
        return tuple(_value(inner, v, facts, where, f"{name}.{i}") for i, v in enumerate(value))
    scalar = _scalar(hint, value)
    if scalar is None:
        raise RecipeError(f"{where}: {name} must be of type {hint.__name__}, got {quoted(value)}")
    if facts["choices"] and scalar not in facts["choices"]:
        raise RecipeError(
            f"{where}: {name} is {quoted(scalar)}{_near(str(scalar), facts['choices'])}; it must "
            f"be one of {', '.join(facts['choices'])}"
        )
    low, high = facts["low"], facts["high"]
    if type(scalar) is int and scalar > LARGEST_INTEGER:
        high = min(high, LARGEST_INTEGER)
    if not isinstance(scalar, str) and not low <= scalar <= high:
        raise RecipeError(
            f"{where}: {name} is {quoted(scalar)}; it must be from {low:g} to {high:g}"
        )
    return scalar


def _scalar(kind: type, value: object) -> Any:  # noqa: ANN401
    """Return the value as its type, None where it is of another."""
    if kind is float and isinstance(value, str):  # YAML 1.1 reads 1e-4, with no dot, as text
        try:
            value = float(value)
        except ValueError:
            return None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) <= LARGEST_INTEGER else math.inf
    if kind is str and value is None:
        return ""
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def _check_whole(recipe: Recipe, where: str) -> None:
    """Refuse what each setting allows by itself and not together."""
    sources, losses, betas = recipe.sources, recipe.losses, recipe.optimiser.betas
    wrong = [
        f"sources.{index} is a {source.kind} and needs a path"
        for index, source in enumerate(sources)
        if source.kind != "world" and not source.path
    ]
    if not sources:
        wrong.append("sources is empty; give at least one, for example kind: world")
    elif not any(source.weight for source in sources):
        wrong.append("every source has weight 0")
    if not recipe.sizes or any(len(size) not in (3, 4) or 0 in size[:2] for size in recipe.sizes):
        wrong.append(
            "sizes must be a list of [width, height, share] or [width, height, share, share at the "
            "end]"
        )
    if len(betas) != 2 or max(betas) >= 1:
        wrong.append("optimiser.betas must be two numbers below 1")
    if not any(losses.weights().values()):
        wrong.append("every loss has weight 0; set for example losses.log_l1: 1")
    if recipe.init and recipe.encoder_init:
        wrong.append(
            f"init {recipe.init!r} has the weights of the encoder too, so that encoder_init would "
            f"be overwritten; leave one of them empty"
        )
    if losses.feature_alignment and not recipe.teacher.model:
        wrong.append("losses.feature_alignment needs teacher.model")
    if wrong:
        raise RecipeError(f"{where}: {wrong[0]}")


def differences(one: Recipe, other: Recipe) -> list[str]:
    """Name the settings that differ and that change the result of a run."""
    first, second = _flat(asdict(one)), _flat(asdict(other))
    keys = [key for key in {**first, **second} if key.split(".")[0] not in FREE]
    return [
        f"{key} was {quoted(first.get(key))} and is {quoted(second.get(key))}"
        for key in keys
        if first.get(key) != second.get(key)
    ]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    """Flatten nested sections and lists to dotted keys."""
    if isinstance(values, tuple):
        values = dict(enumerate(values))
    if not isinstance(values, dict):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name[:100], known, n=2, cutoff=0.5)
    return f" (did you mean {' or '.join(near)}?)" if near else ""
