"""``depth_anything weights``: fetch a model's weights, convert a file, or say what a file is."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from depth_anything_ros.core.errors import CheckpointError, ModelError, ParameterError
from depth_anything_ros.core.files import atomically
from depth_anything_ros.models.weights.find import resolve_weights
from depth_anything_ros.models.weights.identify import Identity, identify, network_on_meta
from depth_anything_ros.models.weights.load import matching_state, write_weights
from depth_anything_ros.models.weights.provenance import known_files
from depth_anything_ros.models.weights.remote import sha256_of
from depth_anything_ros.models.zoo import find_card
from depth_anything_ros.models.zoo.card import ModelCard
from depth_anything_ros.models.zoo.families import FAMILIES, family_of
from depth_anything_ros.tools.models import gives
from depth_anything_ros.tools.options import check_output
from depth_anything_ros.tools.progress import MB, Progress, megabytes, say

# Under these names files of any model are published.
_ANY_MODEL = ("model.safetensors", "pytorch_model.bin")


def run(options: argparse.Namespace) -> int:
    """Do the task; return the exit status."""
    tasks = {"fetch": _fetch, "convert": _convert, "check": _check}
    for line in tasks[options.task](options):
        say(line)
    return 0


def _fetch(options: argparse.Namespace) -> list[str]:
    card = find_card(options.name, download=True)
    said = Progress(0, "MB")

    def progress(done: int, total: int) -> None:
        said.total = total // MB
        said.add(done // MB - said.done)

    path = resolve_weights("", card, download=True, progress=progress)
    assert path is not None  # not random
    lines = [f"{card.name}: {path} ({megabytes(path)})", _hash_line(path)]
    if options.output is not None:
        lines.append(f"copied to {_copy(path, options.output, card)}")
    if card.commercial:  # of others the library warns
        lines.append(f"licence {card.licence}")
    return lines


def _copy(path: Path, output: Path, card: ModelCard) -> Path:
    """Copy a file under a name that says what it is, or a folder of those that need each other."""
    beside = dict(card.options).get("beside", ())
    if beside:
        folder = path.parents[card.hub_file.count("/")]
        for name in (*beside, card.hub_file):
            _copy_file(folder / name, output / name)
        return output
    if output.is_dir():
        own = f"{card.name}{path.suffix}"
        output = output / (own if path.name in _ANY_MODEL else path.name)
    return _copy_file(path, output)


def _copy_file(path: Path, output: Path) -> Path:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with atomically(output) as partial:
            shutil.copyfile(path, partial)
    except OSError as error:
        raise ParameterError(f"cannot write {output}: {error.strerror or error}") from error
    return output


def _convert(options: argparse.Namespace) -> list[str]:
    output: Path = options.output
    check_output(output, ".safetensors")
    card = _card(options.model) if options.model else _only_card(options.file)
    state = matching_state(options.file, card, network_on_meta(card).state_dict())
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_weights(state, card, output)
    except OSError as error:
        raise ParameterError(f"cannot write {output}: {error.strerror or error}") from error
    return [f"{output}: {len(state)} tensors of {card.name} ({megabytes(output)})"]


def _card(name: str) -> ModelCard:
    card = find_card(name)
    if family_of(card).fill:
        raise ModelError(
            f"{name} is read by {family_of(card).title} itself; give the name of another row",
            reason="unknown_model",
        )
    return card


def _only_card(path: Path) -> ModelCard:
    """Return the card of a file that is of one model only."""
    found = _identified(path)
    if len(found.cards) > 1:
        raise CheckpointError(
            f"{path} may be of {' or '.join(found.cards)}, and nothing in it says of which; give "
            f"--model",
            reason="other_model",
        )
    return find_card(found.cards[0])


def _check(options: argparse.Namespace) -> list[str]:
    if options.model:
        card = _card(options.model)
        state = matching_state(options.file, card, network_on_meta(card).state_dict())
        fits = f"{options.file} fits {card.name}: {len(state)} tensors"
        return [fits, _hash_line(options.file)]
    return _identity_lines(_identified(options.file))


def _identified(path: Path) -> Identity:
    found = identify(path)
    if found.reason:
        raise CheckpointError(found.reason, reason="other_model")
    return found


def _identity_lines(found: Identity) -> list[str]:
    """Say what a file is, one fact a line."""
    cards = [find_card(name) for name in found.cards]
    families = dict.fromkeys(FAMILIES[card.family].title for card in cards)
    answers = dict.fromkeys(gives(card).replace("*", "") for card in cards)
    sizes = dict.fromkeys(card.encoder for card in cards)
    facts = [
        ("fits", found.cards[0]),
        *(("  or", name) for name in found.cards[1:]),
        ("family", " or ".join(families)),
        ("gives", " or ".join(answers)),
        (
            "size",
            f"{' or '.join(sizes)}: {found.parameters / 1e6:.1f} M numbers in {found.tensors} "
            f"tensors, {', '.join(found.dtypes)}",
        ),
        ("names", "of this package" if found.layout == "own" else "as published"),
        *(("it says", claim) for claim in found.claims),
    ]
    lines = [str(found.path), *(f"  {name:<9}{value}" for name, value in facts)]
    lines.append(f"  {_hash_line(found.path)}")
    if len(cards) > 1 and len({card.bundled for card in cards} - {""}) == 1:
        lines.append("One file answers as each of these.")
    elif len(cards) > 1:
        lines.append("These have the same names and shapes; nothing says of which the file is.")
    return lines


def _hash_line(path: Path) -> str:
    found = sha256_of(path)
    name = known_files().get(found)
    return f"sha256   {found}, " + (f"that of {name}" if name else "which is not a pinned one")
