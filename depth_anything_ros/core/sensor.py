"""The cameras of the pictures that may come with a CameraInfo, of which only one is its own.

By its word, a picture is the ROI, binned. But drivers fill the ROI and send the whole sensor, or
do not bin what they say is binned, and what stands between resizes pictures as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from depth_anything_ros.core.camera import Camera
from depth_anything_ros.core.errors import CameraError

Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class Shown:
    """Which part of a sensor a picture shows, and how finely.

    Attributes:
        camera: of the picture, at its size.
        remark: what of it contradicts the CameraInfo, and what to do; "" where nothing does.
        is_sure: whether no other part can be meant.
    """

    camera: Camera
    remark: str = ""
    is_sure: bool = True


@dataclass(frozen=True)
class Sensor:
    """What a CameraInfo says of a camera.

    Attributes:
        full: the camera of all of its pixels.
        window: columns and rows left out at the left and the top, width and height of the ROI;
            None where there is none, or it is all of the sensor.
        binning: pixels a block, in x and y.

    Raises:
        CameraError: (``camera_size``) where the window leaves the sensor, or a block is larger.
    """

    full: Camera
    window: Window | None = None
    binning: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        if self.window == (0, 0, self.full.width, self.full.height):
            object.__setattr__(self, "window", None)
        try:
            own = self._cropped().binned(*self.binning)
        except CameraError as error:
            raise CameraError(
                f"{self._said()}, and {error}; mend that in the driver", error.reason
            ) from error
        object.__setattr__(self, "_own", own)

    @classmethod
    def from_info(
        cls,
        info: Any,  # noqa: ANN401 - any object with CameraInfo's fields
        has_lens: bool = True,
    ) -> Sensor:
        """Read a sensor_msgs/CameraInfo, or any object with its fields.

        Args:
            info: that is read.
            has_lens: False leaves D and its model unread, for pictures that come rectified.
        """
        roi = info.roi
        window = (roi.x_offset, roi.y_offset, roi.width, roi.height)
        binning = (max(info.binning_x, 1), max(info.binning_y, 1))
        is_cropped = roi.width and roi.height
        return cls(Camera.of_sensor(info, has_lens), window if is_cropped else None, binning)

    @property
    def own(self) -> Camera:
        """The camera of the picture that the CameraInfo means: the ROI, binned."""
        own: Camera = self._own  # type: ignore[attr-defined]  # made above, once
        return own

    def camera_of(self, width: int, height: int) -> Shown | None:
        """Find which picture of this sensor has a size; None where none can have it.

        In this order: the CameraInfo's own picture; one of exactly the sensor's size, which nobody
        cropped or binned; one of exactly that size binned, or of exactly the ROI's; then the own
        picture resized as a whole, and last the sensor's.

        Args:
            width: of the picture, in pixels.
            height: of the picture, in pixels.
        """
        size = (width, height)
        for shown in self._exact():
            if (shown.camera.width, shown.camera.height) == size:
                return shown
        if self.own.fits(width, height):
            camera = self.own.scaled(width, height)
            if self.window is None or width <= self.own.width:
                return Shown(camera)
            return Shown(camera, self._enlarged(size), is_sure=False)
        if self.full.fits(width, height):
            camera = self.full.scaled(width, height)
            return Shown(camera, self._not_applied("of the whole sensor, resized"), is_sure=False)
        return None

    def _exact(self) -> Iterator[Shown]:
        """Yield the pictures that come as the sensor makes them, the own one first."""
        yield Shown(self.own)
        if self.window is None:
            # What is not binned after all is the binned picture enlarged, but for odd columns.
            yield Shown(self.full)
            return
        yield Shown(self.full, self._not_applied("of the whole sensor"))
        binned, cropped = self.full.binned(*self.binning), self._cropped()
        is_sure = (binned.width, binned.height) != (cropped.width, cropped.height)
        what = "ROI" if is_sure else "ROI, or else the binning,"
        yield Shown(binned, self._not_applied("of the whole sensor, binned", what), is_sure)
        yield Shown(cropped, self._not_applied("of the ROI and not binned", "binning"))

    def _cropped(self) -> Camera:
        return self.full if self.window is None else self.full.cropped(*self.window)

    def _said(self) -> str:
        said = f"CameraInfo is for {self.full.width}x{self.full.height}"
        if self.window is not None:
            x, y, width, height = self.window
            said += f" with a ROI of {width}x{height} at ({x}, {y})"
        if self.binning != (1, 1):
            said += f" and binning {self.binning[0]}x{self.binning[1]}"
        return said

    def _not_applied(self, taken: str, what: str = "ROI") -> str:
        what = what if self.window is not None else "binning"
        return (
            f"{self._said()}, which the picture does not show: it is taken to be {taken}; clear "
            f"the {what} in the driver where nothing applies it"
        )

    def _enlarged(self, size: tuple[int, int]) -> str:
        return (
            f"{self._said()} and the picture is {size[0]}x{size[1]}, larger than that: it is "
            "taken for the ROI, enlarged; clear the ROI in the driver where nothing applies it"
        )
