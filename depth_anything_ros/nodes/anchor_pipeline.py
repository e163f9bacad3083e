"""From a prediction, its camera and points to depth in metres, one picture after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import Fit, Method, Space, fit_scale_shift
from depth_anything_ros.core.anchoring import Anchored, LocalOptions, anchored
from depth_anything_ros.core.anchors import AnchorOptions, Anchors, select_anchors
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.cloud import BackProjector, Cloud
from depth_anything_ros.core.depth import DepthMap
from depth_anything_ros.core.misalignment import Misalignment, find_misalignment
from depth_anything_ros.core.scale_filter import FilterOptions, ScaleState, Status, step
from depth_anything_ros.nodes.scale_anchor_parameters import (
    AnchoredCloudParameters,
    ScaleAnchorParameters,
)

NO_POINTS = np.empty((0, 3))
# The extrinsics are looked at once in this time, by the pictures' stamps.
_CHECK_EVERY_NS = 1_000_000_000
_CAUSES = (
    "the extrinsics are wrong, the clocks of camera and sensor differ, or the prediction is poor"
)


@dataclass(frozen=True)
class AnchorReport:
    """How a picture was anchored.

    Attributes:
        status: ``anchored``, ``degraded``, ``held`` or ``waiting``, see ``ScaleState``; nothing
            may be published of one that waits.
        reason: why it is not ``anchored``.
        seen: points that came.
        used: points that were kept to anchor.
        inliers: points that the fit rests on.
        dropped: points that were not kept, by reason.
        scale: s of the line that was used, NaN where there is none.
        shift: t of it.
        residual_median: of |depth by the line / depth of the point - 1| over the points that were
            used; NaN without points.
        residual_p95: the 95th percentile of the same.
        age_s: of the last fit that was taken, at the picture's stamp; NaN before the first.
    """

    status: Status
    reason: str
    seen: int = 0
    used: int = 0
    inliers: int = 0
    dropped: dict[str, int] | None = None
    scale: float = float("nan")
    shift: float = float("nan")
    residual_median: float = float("nan")
    residual_p95: float = float("nan")
    age_s: float = float("nan")


class AnchorPipeline:
    """Anchor the pictures of one topic; the scale goes on from picture to picture.

    Args:
        kind: what the pictures are: ``disparity``, ``affine_depth``, or ``depth`` in metres, to be
            corrected.
    """

    def __init__(self, kind: Literal["disparity", "affine_depth", "depth"]) -> None:
        self._kind = kind
        self._restart(0)
        self._projector: BackProjector | None = None

    def _restart(self, epoch: int) -> None:
        self._epoch = epoch
        self._state = ScaleState()
        self._fit: Fit | None = None
        self._checked_ns: int | None = None
        self._misaligned: Misalignment | None = None

    def anchor(
        self,
        prediction: NDArray[np.float32],
        camera: Camera,
        points_optical: NDArray[np.floating],
        stamp_ns: int,
        epoch: int,
        parameters: ScaleAnchorParameters,
    ) -> tuple[Anchored | None, AnchorReport]:
        """Return the picture in metres, or None where there is no fit, and how that went.

        Args:
            prediction: float32 (height, width), disparity or depth, NaN unknown.
            camera: of the prediction.
            points_optical: (N, 3), metres in the optical frame; of none, the last fit is held.
            stamp_ns: of the picture.
            epoch: counts the backward jumps of time; with another one, all starts anew.
            parameters: of the node.
        """
        if epoch != self._epoch:
            self._restart(epoch)
        anchors = select_anchors(points_optical, camera, prediction, self._options(parameters))
        fit = self._fit_to(prediction, anchors, stamp_ns, parameters) if len(anchors) else None
        options = FilterOptions(
            max_age_s=parameters.fit.max_age_s, late_s=parameters.sync.max_late_s
        )
        self._state = state = step(self._state, fit, stamp_ns, options)
        if fit is not None and fit.ok:
            self._fit = fit
        line = state.as_fit(self._fit) if state.ok and self._fit is not None else None
        if len(anchors) and line is not None:
            self._check(prediction, line, anchors, camera, stamp_ns)
        report = self._judge(self._report(prediction, anchors, fit, line), parameters)
        if line is None:
            return None, report
        local = LocalOptions(parameters.local.method, parameters.local.max_factor)  # type: ignore[arg-type]
        return anchored(prediction, line, anchors, local), report

    def _check(
        self,
        prediction: NDArray[np.float32],
        line: Fit,
        anchors: Anchors,
        camera: Camera,
        stamp_ns: int,
    ) -> None:
        """Look, now and then, whether the points would fit better elsewhere."""
        if self._checked_ns is not None and stamp_ns - self._checked_ns < _CHECK_EVERY_NS:
            return
        self._checked_ns = stamp_ns
        inverse = prediction
        if self._kind != "disparity":
            with np.errstate(divide="ignore"):
                inverse = np.asarray(1 / line.apply(prediction), np.float32)
        self._misaligned = find_misalignment(inverse, anchors, camera.K[0])

    def _judge(self, report: AnchorReport, parameters: ScaleAnchorParameters) -> AnchorReport:
        """Return the report, degraded where the points contradict the picture."""
        said = []
        limit, moved = parameters.diagnostics.max_residual, self._misaligned
        if report.status == "anchored" and report.residual_median > limit:
            said.append(
                f"scale and shift leave half of the points off by more than "
                f"{100 * report.residual_median:.0f} % of their depth (limit {100 * limit:g} %)"
            )
        if report.status == "anchored" and moved is not None:
            said.append(
                f"the points would fit {moved.residual / moved.residual_moved:.1f} times better "
                f"{moved.right_px:+.0f} px to the right and {moved.down_px:+.0f} px down, "
                f"{moved.angle_deg:g} deg away"
            )
        if not said:
            return report
        return replace(report, status="degraded", reason=f"{'; '.join(said)}: {_CAUSES}")

    def _options(self, parameters: ScaleAnchorParameters) -> AnchorOptions:
        p = parameters.anchors
        floor = AnchorOptions.edge_floor if self._kind == "disparity" else 0.0
        # A local correction tells hidden points by the picture; near outliers that are not there
        # would hide right ones.
        hiding = AnchorOptions.occlusion_ratio if parameters.local.method == "global" else 0.0
        return AnchorOptions(p.min_m, p.max_m, hiding, max_count=p.max_count, edge_floor=floor)

    def _fit_to(
        self,
        prediction: NDArray[np.float32],
        anchors: Anchors,
        stamp_ns: int,
        parameters: ScaleAnchorParameters,
    ) -> Fit:
        method, space = self._method(parameters)
        held = self._held_shift(space, stamp_ns, parameters.fit.max_age_s)
        return fit_scale_shift(
            prediction[anchors.indices], anchors.depth_m, None, method, space, held
        )

    def _held_shift(self, space: Space, stamp_ns: int, max_age_s: float) -> float | None:
        """Return the shift that was measured before, where it is young enough for this picture."""
        state = self._state
        if state.fitted_ns is None or state.space != space or not state.measured[1]:
            return None
        return state.shift if stamp_ns - state.fitted_ns <= max_age_s * 1e9 else None

    def _method(self, parameters: ScaleAnchorParameters) -> tuple[Method, Space]:
        method: Method = parameters.fit.method  # type: ignore[assignment]  # one of its choices
        if self._kind == "disparity":
            return method, "disparity"
        if self._kind == "affine_depth":
            return method, "depth"
        if parameters.fit.metric_correction == "affine":
            return method, "depth"
        # The factor that is right for as many points as it is wrong for, near or far.
        return "scale_only", "log_depth"

    def _report(
        self,
        prediction: NDArray[np.float32],
        anchors: Anchors,
        fit: Fit | None,
        line: Fit | None,
    ) -> AnchorReport:
        state = self._state
        residuals = _residuals(prediction, anchors, line)
        median, p95 = np.percentile(residuals, (50, 95)) if len(residuals) else (np.nan, np.nan)
        scale, shift = state.scale, state.shift
        if state.space == "log_depth":
            scale, shift = float(np.exp(shift)), 0.0
        reason = state.reason
        if anchors.seen and not len(anchors):
            reason = f"none of {anchors.seen} points may anchor: {_listed(anchors.dropped)}"
        return AnchorReport(
            state.status,
            reason,
            anchors.seen,
            len(anchors),
            fit.count if fit is not None else 0,
            anchors.dropped,
            scale,
            shift,
            float(median),
            float(p95),
            state.age_s,
        )

    def cloud(self, depth: DepthMap, camera: Camera, parameters: AnchoredCloudParameters) -> Cloud:
        """Back-project a depth map; the rays are kept until the camera changes."""
        projector = self._projector
        if projector is None or projector.camera != camera or projector.stride != parameters.stride:
            projector = self._projector = BackProjector(camera, parameters.stride)
        return projector.project(
            depth, organized=parameters.organized, edge_jump=parameters.edge_jump
        )


def report_values(report: AnchorReport) -> dict[str, str]:
    """Return the key-value pairs of a status."""
    return {
        "state": report.status,
        "reason": report.reason,
        "points in": str(report.seen),
        "points used": str(report.used),
        "inliers": str(report.inliers),
        **{f"points dropped: {reason}": str(n) for reason, n in (report.dropped or {}).items()},
        "scale": f"{report.scale:.6g}",
        "shift": f"{report.shift:.6g}",
        "residual median (%)": f"{100 * report.residual_median:.2f}",
        "residual p95 (%)": f"{100 * report.residual_p95:.2f}",
        "age of the fit (s)": f"{report.age_s:.3f}",
    }


def _residuals(
    prediction: NDArray[np.float32], anchors: Anchors, line: Fit | None
) -> NDArray[np.float32]:
    """Return |depth by the line / depth of the point - 1| of each anchor; none without a line."""
    if line is None:
        return np.empty(0, np.float32)
    fitted = line.apply(prediction[anchors.indices])
    # Beyond range by the line is off by all.
    fitted[np.isinf(fitted)] = 2 * anchors.depth_m[np.isinf(fitted)]
    return np.asarray(np.abs(fitted / anchors.depth_m - 1), np.float32)


def _listed(dropped: dict[str, int]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)
