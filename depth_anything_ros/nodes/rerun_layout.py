"""What Rerun's window looks like: pictures, space and diagnostics at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import rerun.blueprint as rrb

from depth_anything_ros.nodes.view_topics import ShownTopic

# From behind the camera and somewhat above, in an optical frame and in one with z up.
_OPTICAL_EYE = rrb.EyeControls3D(
    position=(1.2, -2.2, -3.8), look_target=(0.0, 0.1, 3.0), eye_up=(0.0, -1.0, 0.0)
)
_UPRIGHT_EYE = rrb.EyeControls3D(
    position=(-3.0, 1.0, 2.5), look_target=(3.0, 0.0, 0.5), eye_up=(0.0, 0.0, 1.0)
)
_TITLES = {
    "picture": "",
    "depth": "",
    "disparity": " (relative: no metres)",
    "affine_depth": " (relative: no metres)",
}
# Two columns of pictures where there are more.
_MOST_IN_COLUMN = 3
Size = tuple[int, int]
# Below the entity of diagnostics, each with those of every status.
STATUS, RATE, LATENCY = "status", "rate", "latency"


def layout(
    shown: Mapping[str, ShownTopic],
    sizes: Mapping[str, Size],
    frame: str,
    is_upright: bool,
    timeline: str,
) -> rrb.Blueprint:
    """Return the layout for what is shown.

    Args:
        shown: by entity.
        sizes: width and height of the pictures that have come, by entity.
        frame: that stands still in space; "" where none is known yet.
        is_upright: whether its z is up; otherwise it is an optical frame.
        timeline: to follow.
    """
    by_how: dict[str, list[str]] = {}
    for entity, one in shown.items():
        by_how.setdefault(one.how, []).append(entity)
    ranges = by_how.get("ranges", [])
    views = [
        rrb.Spatial2DView(
            origin=entity,
            contents=[entity, *(ranges if one.how == "picture" else ())],
            name=entity + _TITLES[one.how],
            visual_bounds=_bounds(sizes.get(entity)),
        )
        for entity, one in shown.items()
        if one.how in _TITLES
    ]
    columns = rrb.Grid(*views, grid_columns=1 if len(views) <= _MOST_IN_COLUMN else 2)
    right: list[rrb.View | rrb.Container] = [_space(shown, by_how, frame, is_upright)]
    if "diagnostics" in by_how:
        right.append(_diagnostics(by_how["diagnostics"]))
    parts = ([columns] if views else []) + [rrb.Vertical(*right, row_shares=[5, 2][: len(right)])]
    return rrb.Blueprint(
        rrb.Horizontal(*parts, column_shares=[1, 3][-len(parts) :]),
        rrb.TimePanel(state="collapsed", timeline=timeline, play_state="following"),
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        auto_views=False,
    )


def _bounds(size: Size | None) -> rrb.VisualBounds2D | None:
    """Return bounds of the picture alone: points in view reach far beyond it."""
    return None if size is None else rrb.VisualBounds2D(x_range=(0, size[0]), y_range=(0, size[1]))


def _space(
    shown: Mapping[str, ShownTopic],
    by_how: Mapping[str, Collection[str]],
    frame: str,
    is_upright: bool,
) -> rrb.Spatial3DView:
    clouds = by_how.get("cloud", ())
    # The same points twice are no help: the anchored ones where they are there.
    best = [entity for entity in clouds if shown[entity].name.startswith("anchored/")] or clouds
    pictures = by_how.get("picture", ())
    return rrb.Spatial3DView(
        name="space",
        contents=[*best, *by_how.get("ranges", ()), *pictures],
        eye_controls=_UPRIGHT_EYE if is_upright else _OPTICAL_EYE,
        spatial_information=rrb.SpatialInformation(target_frame=frame) if frame else None,
        line_grid=is_upright,
    )


def _diagnostics(entities: Collection[str]) -> rrb.Horizontal:
    (entity,) = entities
    return rrb.Horizontal(
        rrb.TextLogView(name="diagnostics", contents=f"{entity}/{STATUS}/**"),
        rrb.TimeSeriesView(name="rate, Hz", contents=f"{entity}/{RATE}/**"),
        rrb.TimeSeriesView(name="latency, ms", contents=f"{entity}/{LATENCY}/**"),
        column_shares=[2, 1, 1],
    )
