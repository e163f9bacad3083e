"""Look up transforms between frames: a stand-in for the Python tf2_ros of ROS 2 Jazzy.

For machines without a ROS distribution; never installed beside one. It covers `Buffer`
(`lookup_transform`, `can_transform`, `set_transform`, `set_transform_static`, `clear`),
`TransformListener`, `TransformBroadcaster`, `StaticTransformBroadcaster` and the exceptions.

PyPI has no tf2_msgs, so nothing here reaches /tf or /tf_static: a buffer holds only transforms
given to it IN THIS PROCESS, by `set_transform` and `set_transform_static`, or, if it has a
`TransformListener`, by any `StaticTransformBroadcaster` of the process, before or after, and by any
`TransformBroadcaster` after. Such a transform arrives within `sendTransform`, on the sender's
thread, with no node spinning. Transforms of other processes need a ROS distribution.
"""

from tf2_ros._exceptions import (
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TimeoutException,
    TransformException,
)
from tf2_ros.buffer import Buffer
from tf2_ros.static_transform_broadcaster import StaticTransformBroadcaster
from tf2_ros.transform_broadcaster import TransformBroadcaster
from tf2_ros.transform_listener import TransformListener

__all__ = [
    "Buffer",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "StaticTransformBroadcaster",
    "TimeoutException",
    "TransformBroadcaster",
    "TransformException",
    "TransformListener",
]
