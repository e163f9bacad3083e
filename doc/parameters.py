"""Write the table of parameters in each node's page from its dataclass: python doc/parameters.py.

``test/nodes/test_parameters.py`` holds that it was run.
"""

from __future__ import annotations

from pathlib import Path

from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.obstacles_parameters import ObstaclesParameters
from depth_anything_ros.nodes.parameters import Spec, specs
from depth_anything_ros.nodes.player_parameters import PlayerParameters
from depth_anything_ros.nodes.scale_anchor_parameters import ScaleAnchorParameters
from depth_anything_ros.nodes.sim_parameters import SimParameters
from depth_anything_ros.nodes.view_parameters import ViewParameters

NODES: dict[str, type] = {
    "depth_node": DepthParameters,
    "scale_anchor_node": ScaleAnchorParameters,
    "obstacles_node": ObstaclesParameters,
    "player_node": PlayerParameters,
    "sim_node": SimParameters,
    "view_node": ViewParameters,
}
BEGIN, END = "<!-- Written by doc/parameters.py. -->\n", "<!-- End. -->\n"
HEAD = "| Parameter | Default | Unit | What it does |\n|---|---|---|---|\n"
FIXED = "An integer does for a float. None changes while the node runs: start it anew.\n"
CHANGING = (
    "An integer does for a float (`range.max_m:=10`). ◆ cannot change while the node is active; "
    "deactivate it first,\nor start it anew. All others take effect with the next picture.\n"
)


def table(cls: type) -> str:
    """Return the Markdown table of a node's parameters, the static ones first."""
    found = sorted(specs(cls), key=lambda spec: not spec.static)
    is_fixed = all(spec.static for spec in found)
    rows = [_row(spec, "" if is_fixed or not spec.static else " ◆") for spec in found]
    return f"{HEAD}{''.join(rows)}\n{FIXED if is_fixed else CHANGING}"


def _row(spec: Spec, mark: str) -> str:
    value = list(spec.default) if spec.type is tuple else spec.default
    shown = str(value).lower() if isinstance(value, bool) else str(value) or '""'
    choices = ", ".join(f"`{choice}`" for choice in spec.choices)
    text = f"{spec.description} One of {choices}." if choices else spec.description
    return f"| `{spec.name}` | `{shown}` | {spec.unit} | {text}{mark} |\n"


def page(text: str, cls: type) -> str:
    """Return the text of a node's page with its table as the dataclass has it."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"a page lacks the lines {BEGIN}{END}")
    return f"{before}{begin}\n{table(cls)}\n{end}{after}"


def main() -> None:
    """Write the tables of all pages."""
    for node, cls in NODES.items():
        path = Path(__file__).with_name(f"{node}.md")
        path.write_text(page(path.read_text(encoding="utf-8"), cls), encoding="utf-8")


if __name__ == "__main__":
    main()
