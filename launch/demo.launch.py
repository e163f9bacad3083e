"""Drive a simulated robot, or play pictures, to depth_node, and look at the result in RViz.

ros2 launch depth_anything_ros demo.launch.py place:=warehouse
ros2 launch depth_anything_ros demo.launch.py source:=/path/to/pictures
"""

from pathlib import Path

import yaml
from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.nodes.launch_arguments import check_argument
from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("depth_anything_ros"))
ARGUMENTS = {
    "source": (
        "",
        "A picture, a folder, a sequence such as frame_%06d.png, or a video; empty drives a "
        "simulated robot.",
    ),
    "calibration": ("", "ROS YAML or JSON; empty looks for calib.json beside the source."),
    "place": ("office", "Kind of place that the robot drives through."),
    "rate_hz": ("5.0", "Pictures per second."),
    "model": ("", "Model of the zoo; empty takes config/depth.yaml's."),
    "weights": ("", "Checkpoint: path, zoo name, hub id; empty takes config/depth.yaml's."),
    "device": ("", "auto, cpu, cuda, cuda:N or mps."),
    "rviz": ("true", "Start RViz with config/depth.rviz."),
}
# Typed, because launch would otherwise read a folder "2024" or a rate "5" as an integer.
PLAYER_PARAMETERS = {"source": str, "calibration": str, "rate_hz": float}
SIM_PARAMETERS = {"place": str, "rate_hz": float}


def given(parameters: dict[str, type], context: LaunchContext) -> dict[str, ParameterValue]:
    """Return the arguments of these names as parameters."""
    for name, kind in parameters.items():
        check_argument(name, LaunchConfiguration(name).perform(context), kind)
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in parameters.items()
    }


def camera(context: LaunchContext) -> list[Node]:
    """Make the node that plays the source, or else the simulated robot; its end ends all."""
    if not LaunchConfiguration("source").perform(context):
        robot = Node(
            package="depth_anything_ros",
            executable="sim_node",
            name="sim_node",
            parameters=[given(SIM_PARAMETERS, context)],
            output="screen",
            on_exit=Shutdown(reason="the simulated robot has ended"),
        )
        return [robot]
    player = Node(
        package="depth_anything_ros",
        executable="player_node",
        name="player_node",
        parameters=[{**given(PLAYER_PARAMETERS, context), "frame_id": "camera_optical_frame"}],
        output="screen",
        on_exit=Shutdown(reason="the player has ended"),
    )
    return [player]


def rviz(context: LaunchContext) -> list[Node]:
    """Make RViz, where it is wanted."""
    wanted = str(LaunchConfiguration("rviz").perform(context))
    check_argument("rviz", wanted, bool)
    if not yaml.safe_load(wanted):
        return []
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        raise DepthAnythingError(
            "rviz2 is not installed: apt install ros-$ROS_DISTRO-rviz2, or give rviz:=false"
        ) from error
    arguments = ["-d", str(SHARE / "config" / "depth.rviz")]
    return [Node(package="rviz2", executable="rviz2", arguments=arguments)]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments, start RViz, robot or player, and depth node."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    depth = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "depth.launch.py")),
        launch_arguments=[
            (name, LaunchConfiguration(name)) for name in ("model", "weights", "device")
        ],
    )
    # RViz first: where it is not installed, launch stops here and leaves no node running.
    started = [OpaqueFunction(function=function) for function in (rviz, camera)]
    return LaunchDescription([*declared, *started, depth])
