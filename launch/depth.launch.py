"""Start depth_node on a camera.

ros2 launch depth_anything_ros depth.launch.py image:=/camera/image_raw \
    camera_info:=/camera/camera_info

On several cameras, whose pictures are on /front/image_raw and so on:

ros2 launch depth_anything_ros depth.launch.py cameras:='[front, left, right]' image:=image_raw
"""

from pathlib import Path

import yaml
from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_anything_ros.nodes.launch_arguments import Names, check_argument, check_file
from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("depth_anything_ros"))
ARGUMENTS = {
    "namespace": ("", "Namespace of the node and of its topics."),
    "image": ("image", "Topic of the camera's pictures."),
    "camera_info": ("camera_info", "Topic of the camera's calibration."),
    "cameras": (
        "",
        "Names of several cameras, as [front, left]; image and camera_info are then below each "
        "name. Empty takes the params_file's.",
    ),
    "params_file": (str(SHARE / "config" / "depth.yaml"), "Parameters of the node."),
    "model": ("", "Model of the zoo; empty takes the params_file's."),
    "weights": ("", "Checkpoint: path, zoo name or hub id; empty takes the params_file's."),
    "device": ("", "auto, cpu, cuda, cuda:N or mps; empty takes the params_file's."),
    "use_sim_time": ("", "true takes time from /clock; empty takes the params_file's."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "autostart": ("", "false waits for a lifecycle manager; empty takes the params_file's."),
    "tf": ("/tf", "Topic of the transforms; tf where each robot has its own, below its namespace."),
    "tf_static": ("/tf_static", "Topic of those that do not change; tf_static likewise."),
}
# Typed, because launch would otherwise read a device "0" or a checkpoint "2024" as a number.
PARAMETERS = {
    "model": str,
    "weights": str,
    "device": str,
    "cameras": Names,
    "use_sim_time": bool,
    "autostart": bool,
}


def start(context: LaunchContext) -> list[Node]:
    """Make the node; an argument that is empty leaves the params_file's value alone."""
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    texts = {name: str(value.perform(context)) for name, value in given.items()}
    check_file("params_file", texts["params_file"])
    kinds = {name: kind for name, kind in PARAMETERS.items() if texts[name]}
    for name, kind in kinds.items():
        check_argument(name, texts[name], kind)
    parameters = {
        name: ParameterValue(given[name], value_type=kind) for name, kind in kinds.items()
    }
    cameras = yaml.safe_load(texts["cameras"] or "[]")
    prefixes = [f"{name}/" for name in cameras] or [""]
    return [
        Node(
            package="depth_anything_ros",
            executable="depth_node",
            name="depth_node",
            namespace=given["namespace"],
            parameters=[given["params_file"], parameters],
            remappings=[
                (f"{prefix}{name}", [prefix, given[name]])
                for prefix in prefixes
                for name in ("image", "camera_info")
            ]
            + [("/tf", given["tf"]), ("/tf_static", given["tf_static"])],
            arguments=["--ros-args", "--log-level", given["log_level"]],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the node."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=start)])
