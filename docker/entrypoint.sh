#!/bin/bash
# Source ROS and the workspace, then run what was asked for.
set -e
source "/opt/ros/${ROS_DISTRO}/setup.bash"
source /ws/install/setup.bash
exec "$@"
