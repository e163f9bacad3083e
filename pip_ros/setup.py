"""Install stand-ins for the four Python packages that ROS 2 from PyPI lacks.

For machines without a ROS distribution only: never install this beside one.
"""

from setuptools import find_packages, setup

setup(
    name="depth-anything-pip-ros",
    version="0.1.0",
    description="The part of cv_bridge, message_filters, sensor_msgs_py and tf2_ros that "
    "depth_anything_ros calls, for ROS 2 from PyPI",
    license="Apache-2.0",
    packages=find_packages(),
    python_requires=">=3.10",
    install_requires=[
        "ros-jazzy-rclpy[fastrtps]",
        "ros-jazzy-common-interfaces",
        "numpy>=1.26",
        "opencv-python-headless>=4.8",
        "PyYAML>=6",
    ],
)
