"""From a prediction, its camera and points to depth in metres, one picture after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_anything_ros.core.alignment import Fit, Method, Space, fit_scale_shift
from depth_anything_ros.core.anchoring import Anchored, LocalOptions, anchored
from depth_anything_ros.core.anchors import AnchorOptions, Anchors, select_anchors
from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.depth import DepthMap, Estimate
from depth_anything_ros.core.errors import CameraError
from depth_anything_ros.core.misalignment import Misalignment, find_misalignment
from depth_anything_ros.core.scale_filter import FilterOptions, ScaleState, Status, step
from depth_anything_ros.pipeline.answer import Answer, CloudMaker
from depth_anything_ros.pipeline.ground import CameraMount, GroundSearch, anchor_points
from depth_anything_ros.pipeline.options import AnchoringOptions
from depth_anything_ros.pipeline.steadying import Moment, Steadier

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
        ground: what the ground is like, and whether it was used; "" where it was not looked for.
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
    ground: str = ""

    def values(self) -> dict[str, str]:
        """Return the key-value pairs of a status."""
        return {
            "state": self.status,
            "reason": self.reason,
            "points in": str(self.seen),
            "points used": str(self.used),
            "inliers": str(self.inliers),
            **{f"points dropped: {reason}": str(n) for reason, n in (self.dropped or {}).items()},
            "scale": f"{self.scale:.6g}",
            "shift": f"{self.shift:.6g}",
            "residual median (%)": f"{100 * self.residual_median:.2f}",
            "residual p95 (%)": f"{100 * self.residual_p95:.2f}",
            "age of the fit (s)": f"{self.age_s:.3f}",
            "ground": self.ground or "not looked for",
        }


class AnchorPipeline:
    """Anchor the predictions of one camera; the scale goes on from image to image.

    Args:
        options: what is asked of it.

    Attributes:
        options: what is asked of predictions to come; may be replaced at any time.
        steadier: of the depth over time.
    """

    def __init__(self, options: AnchoringOptions | None = None) -> None:
        self.options = options or AnchoringOptions()
        self.steadier = Steadier()
        self._clouds = CloudMaker()
        self._search = GroundSearch()
        self._restart(0)

    def _restart(self, epoch: int) -> None:
        self._epoch = epoch
        self._state = ScaleState()
        self._fit: Fit | None = None
        self._checked_ns: int | None = None
        self._misaligned: Misalignment | None = None

    def memory(self) -> dict[str, Any]:
        """Return what goes on from image to image, as values that JSON holds exactly.

        What the steadier remembers, which are maps, is not among them.
        """
        state = asdict(self._state)
        state["covariance"] = self._state.covariance.tolist()
        kept = ("asked", "used", "space", "condition", "reason")
        fit = None if self._fit is None else {name: getattr(self._fit, name) for name in kept}
        return {"epoch": self._epoch, "state": state, "fit": fit}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on where another pipeline was when it returned its ``memory``."""
        self._restart(memory["epoch"])
        state, fit = memory["state"], memory["fit"]
        covariance = np.array(state["covariance"], np.float64)
        measured = (bool(state["measured"][0]), bool(state["measured"][1]))
        self._state = ScaleState(**{**state, "covariance": covariance, "measured": measured})
        if fit is not None:  # of which the filter's line takes the place
            none, nan = np.empty(0), float("nan")
            self._fit = Fit(
                **fit,
                scale=nan,
                shift=nan,
                covariance=np.full((2, 2), nan),
                inliers=none.astype(bool),
                residuals=none,
            )

    def anchor(
        self,
        prediction: Estimate,
        points: NDArray[np.floating],
        moment: Moment,
        mount: CameraMount | None = None,
        rgb: NDArray[np.uint8] | None = None,
    ) -> tuple[Answer | None, AnchorReport]:
        """Return the depth in metres, or None where there is no fit, and how that went.

        Args:
            prediction: with its camera; of metric depth, it is corrected.
            points: (N, 3), metres in the optical frame; of none, the last fit is held.
            moment: when the image was taken, and where, if depth is to be steadied by that; with
                another epoch, all starts anew.
            mount: of the camera on the robot, by which the ground anchors; None where it is not
                known.
            rgb: uint8 (height, width, 3), the image in any size, for steadying by optical flow;
                None takes the flow of the depth itself.

        Raises:
            CameraError: (``uncalibrated``) on a prediction without a camera.
        """
        stamp_ns = moment.stamp_ns
        if moment.epoch != self._epoch:
            self._restart(moment.epoch)
        options, camera = self.options, prediction.camera
        if camera is None:
            raise CameraError(
                "a prediction without its camera cannot be anchored: points have no pixels in it",
                reason="uncalibrated",
            )
        ranges, both, ground = self._anchors(prediction, camera, points, mount)
        anchors = ranges if both is None else both
        fit = self._fit_to(prediction, anchors, stamp_ns) if len(anchors) else None
        limits = FilterOptions(max_age_s=options.fit.max_age_s, late_s=options.sync.max_late_s)
        self._state = state = step(self._state, fit, stamp_ns, limits)
        if fit is not None and fit.ok:
            self._fit = fit
        line = state.as_fit(self._fit) if state.ok and self._fit is not None else None
        if len(ranges) and line is not None:
            self._find_misalignment(prediction, line, ranges, stamp_ns)
        report = self._doubted(self._report(prediction.values, anchors, fit, line))
        report = replace(report, ground=ground)
        if line is None:
            return None, report
        method = options.local.method if len(ranges) else "global"
        local = LocalOptions(method, options.local.max_factor)  # type: ignore[arg-type]
        result = anchored(prediction.values, line, ranges if len(ranges) else anchors, local)
        is_sure = state.status == "anchored" and len(ranges) > 0
        return self._answer(result, camera, moment, rgb, is_sure), report

    def _anchors(
        self,
        prediction: Estimate,
        camera: Camera,
        points: NDArray[np.floating],
        mount: CameraMount | None,
    ) -> tuple[Anchors, Anchors | None, str]:
        """Choose what anchors: ranges, both, None where there is no ground, and what that is like.

        The ground gives scale and shift alone: what a local correction makes of it ends where it
        does.
        """
        select = partial(
            select_anchors,
            camera=camera,
            prediction=prediction.values,
            options=self._anchor_options(prediction),
        )
        ranges, use = select(points), self.options.ground.use
        if mount is None or use == "off" or (use == "fallback" and len(ranges)):
            return ranges, None, ""
        found = self._search.find(prediction, mount, self.options.ground)
        ground, said = anchor_points(found, mount, self.options.ground)
        both = select(np.concatenate((points, ground))) if len(ground) else None
        return ranges, both, said

    def _answer(
        self,
        result: Anchored,
        camera: Camera,
        moment: Moment,
        rgb: NDArray[np.uint8] | None,
        scale_is_sure: bool,
    ) -> Answer:
        """Return the depth, steadied where that is asked for, and within the range.

        Its confidence is that of the less sure of the two: where the anchors are, and over time.
        """
        options, steadying = self.options, None
        depth, confidence = DepthMap(result.depth_m, camera), result.confidence
        if options.steady.method != "off":
            self.steadier.options = options.steady
            steadied = self.steadier.steady(depth, moment, rgb, scale_is_sure)
            metres, steadying = steadied.estimate.metric, steadied.report
            assert metres is not None  # of the type that it was given
            depth = metres
            if steadying.status == "steady":  # else nothing over time is known yet
                confidence = np.minimum(confidence, steadied.confidence)
        limited = depth.limited(options.range.min_m, options.range.max_m)
        back_project = partial(self._clouds.cloud, options.cloud, options.range.far_m, None)
        size = (camera.width, camera.height)
        return Answer(size, camera, limited, confidence, back_project, steadying=steadying)

    def _find_misalignment(
        self, prediction: Estimate, line: Fit, anchors: Anchors, stamp_ns: int
    ) -> None:
        """Look, now and then, whether the points would fit better elsewhere."""
        assert prediction.camera is not None
        if self._checked_ns is not None and stamp_ns - self._checked_ns < _CHECK_EVERY_NS:
            return
        self._checked_ns = stamp_ns
        inverse = prediction.values
        if prediction.space != "disparity":
            with np.errstate(divide="ignore"):
                inverse = np.asarray(1 / line.apply(inverse), np.float32)
        self._misaligned = find_misalignment(inverse, anchors, prediction.camera.K[0])

    def _doubted(self, report: AnchorReport) -> AnchorReport:
        """Return the report, degraded where the points contradict the picture."""
        said = []
        limit, moved = self.options.diagnostics.max_residual, self._misaligned
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

    def _anchor_options(self, prediction: Estimate) -> AnchorOptions:
        p = self.options.anchors
        floor = AnchorOptions.edge_floor if prediction.space == "disparity" else 0.0
        # A local correction tells hidden points by the picture; near outliers that are not there
        # would hide right ones.
        hiding = AnchorOptions.occlusion_ratio if self.options.local.method == "global" else 0.0
        return AnchorOptions(p.min_m, p.max_m, hiding, max_count=p.max_count, edge_floor=floor)

    def _fit_to(self, prediction: Estimate, anchors: Anchors, stamp_ns: int) -> Fit:
        method, space = self._method(prediction)
        held = self._held_shift(space, stamp_ns)
        values = prediction.values[anchors.indices]
        return fit_scale_shift(values, anchors.depth_m, None, method, space, held)

    def _held_shift(self, space: Space, stamp_ns: int) -> float | None:
        """Return the shift that was measured before, where it is young enough for this picture."""
        state = self._state
        if state.fitted_ns is None or state.space != space or not state.measured[1]:
            return None
        is_young = stamp_ns - state.fitted_ns <= self.options.fit.max_age_s * 1e9
        return state.shift if is_young else None

    def _method(self, prediction: Estimate) -> tuple[Method, Space]:
        options = self.options.fit
        method: Method = options.method  # type: ignore[assignment]  # one of its choices
        if prediction.metric is None or options.metric_correction == "affine":
            return method, prediction.space
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
