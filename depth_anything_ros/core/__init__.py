"""Cameras, depth types, clouds and scores: pure functions on numpy arrays, no torch and no ROS."""
