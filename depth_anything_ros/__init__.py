"""Metric depth and clouds from one camera, for ROS 2, with the Depth Anything models."""

__version__ = "0.1.0"
