"""Convert between ROS images and numpy arrays: a stand-in for ROS 2 Jazzy's cv_bridge.

For machines without a ROS distribution; never installed beside one. It covers `CvBridge` with
`imgmsg_to_cv2` and `cv2_to_imgmsg`, and `CvBridgeError`.
"""

from cv_bridge.core import CvBridge, CvBridgeError

__all__ = ["CvBridge", "CvBridgeError"]
