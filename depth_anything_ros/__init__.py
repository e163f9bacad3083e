"""Metric depth and clouds from one camera, for ROS 2, with the Depth Anything models."""

from depth_anything_ros.interrupts import end_quietly_while_importing

__version__ = "0.1.0"

end_quietly_while_importing()  # nothing, where the process is no executable of this package
