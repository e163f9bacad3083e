"""Compose, invert and interpolate rigid transforms."""

import math
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Transform
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Rigid:
    """A rigid transform p -> q p q* + t: unit quaternion q (x, y, z, w), (4,), and t, (3,) in m."""

    rotation: Vector
    translation: Vector

    @staticmethod
    def identity() -> "Rigid":
        """Return the transform that moves nothing."""
        return Rigid(np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(3))

    @staticmethod
    def from_msg(msg: Transform) -> "Rigid":
        """Return the transform of a message, its quaternion normalized."""
        q, t = msg.rotation, msg.translation
        rotation = np.array([q.x, q.y, q.z, q.w])
        norm = np.linalg.norm(rotation)
        return Rigid(rotation / norm, np.array([t.x, t.y, t.z]))

    def to_msg(self) -> Transform:
        """Return the message, with the sign of the quaternion that tf2 gives it."""
        # tf2 goes through a rotation matrix, which leaves w, or else the largest of x, y and z,
        # positive.
        q = self.rotation / np.linalg.norm(self.rotation)
        leading = 3 if 4.0 * q[3] ** 2 > 1.0 else int(np.argmax(np.abs(q[:3])))
        q = -q if q[leading] < 0.0 else q
        msg = Transform()
        msg.rotation.x, msg.rotation.y, msg.rotation.z, msg.rotation.w = map(float, q)
        t = msg.translation
        t.x, t.y, t.z = map(float, self.translation)
        return msg

    def __matmul__(self, other: "Rigid") -> "Rigid":
        """Return the transform that applies `other` first, then this one."""
        return Rigid(
            _multiply(self.rotation, other.rotation),
            _rotate(self.rotation, other.translation) + self.translation,
        )

    def inverse(self) -> "Rigid":
        """Return the transform back."""
        conjugate = self.rotation * np.array([-1.0, -1.0, -1.0, 1.0])
        return Rigid(conjugate, _rotate(conjugate, -self.translation))

    def towards(self, other: "Rigid", ratio: float) -> "Rigid":
        """Return this transform for ratio 0, `other` for 1, and between them by lerp and slerp."""
        translation = self.translation + ratio * (other.translation - self.translation)
        return Rigid(_slerp(self.rotation, other.rotation, ratio), translation)


def _multiply(a: Vector, b: Vector) -> Vector:
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return np.array(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ]
    )


def _rotate(q: Vector, v: Vector) -> Vector:
    twice_cross = 2.0 * np.cross(q[:3], v)
    return np.asarray(v + q[3] * twice_cross + np.cross(q[:3], twice_cross))


def _slerp(a: Vector, b: Vector, ratio: float) -> Vector:
    """Interpolate on the shorter arc (Shoemake, SIGGRAPH 1985)."""
    if a @ b < 0.0:
        b = -b
    # By atan2, because acos loses small angles.
    angle = 2.0 * math.atan2(np.linalg.norm(a - b), np.linalg.norm(a + b))
    if angle == 0.0:
        return a
    return np.asarray(
        (math.sin((1.0 - ratio) * angle) * a + math.sin(ratio * angle) * b) / math.sin(angle)
    )
