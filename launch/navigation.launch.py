"""From a camera to what stands in the way: depth_node and obstacles_node, for Nav2.

ros2 launch depth_anything_ros navigation.launch.py image:=/camera/image_raw \
    camera_info:=/camera/camera_info camera_height_m:=0.5

With scale_anchor_node between them, which gives metres by a LiDAR or by the ground:

ros2 launch depth_anything_ros navigation.launch.py image:=/camera/image_raw \
    camera_info:=/camera/camera_info anchored:=true points:=/lidar/points
"""

from pathlib import Path

import yaml
from ament_index_python.packages import (
    PackageNotFoundError,
    get_package_prefix,
    get_package_share_directory,
)
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.conditions import IfCondition, UnlessCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_anything_ros.core.errors import DepthAnythingError
from depth_anything_ros.nodes.launch_arguments import check_argument, check_file
from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("depth_anything_ros"))
ARGUMENTS = {
    "anchored": (
        "false",
        "Put scale_anchor_node between depth and obstacles; its arguments are those of "
        "anchored_depth.launch.py.",
    ),
    "obstacles_params_file": (
        str(SHARE / "config" / "obstacles.yaml"),
        "Parameters of obstacles_node.",
    ),
    "camera_height_m": (
        "",
        "Of the camera above the ground; empty takes obstacles_params_file's, whose 0 asks tf2.",
    ),
    "lifecycle_manager": (
        "",
        "Have Nav2's lifecycle manager start the nodes and watch them; empty does where it is "
        "installed.",
    ),
}
# Typed, because launch would otherwise guess. The last two are declared by depth.launch.py.
PARAMETERS = {"ground.camera_height_m": float, "use_sim_time": bool, "autostart": bool}
MANAGER = "nav2_lifecycle_manager"
# A node that has said nothing for so long is dead; Nav2's own.
BOND_TIMEOUT_S = 4.0
# What the nodes are told where a manager starts them; what the user said is the manager's.
ASKED = "autostart_asked_for"


def text(context: LaunchContext, name: str) -> str:
    """Return what an argument is."""
    return str(LaunchConfiguration(name).perform(context))


def is_installed(package: str) -> bool:
    """Say whether a package of ROS is there."""
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


def prepare(context: LaunchContext) -> None:
    """Check the arguments, and leave the start of the nodes to the manager where there is one."""
    for name in ("anchored", "lifecycle_manager", "autostart"):
        if text(context, name) or name == "anchored":
            check_argument(name, text(context, name), bool)
    wanted = text(context, "lifecycle_manager")
    if wanted and yaml.safe_load(wanted) and not is_installed(MANAGER):
        raise DepthAnythingError(
            f"{MANAGER} is not installed: apt install ros-$ROS_DISTRO-nav2-lifecycle-manager, or "
            "give lifecycle_manager:=false"
        )
    is_managed = yaml.safe_load(wanted) if wanted else is_installed(MANAGER)
    context.launch_configurations["lifecycle_manager"] = str(is_managed).lower()
    context.launch_configurations[ASKED] = text(context, "autostart") or "true"
    if is_managed:
        context.launch_configurations["autostart"] = "false"


def obstacles(context: LaunchContext) -> list[Node]:
    """Make obstacles_node behind the node that gives metres."""
    check_file("obstacles_params_file", text(context, "obstacles_params_file"))
    sources = {"ground.camera_height_m": "camera_height_m"}
    given = {
        name: kind for name, kind in PARAMETERS.items() if text(context, sources.get(name, name))
    }
    for name, kind in given.items():
        check_argument(sources.get(name, name), text(context, sources.get(name, name)), kind)
    parameters = {
        name: ParameterValue(LaunchConfiguration(sources.get(name, name)), value_type=kind)
        for name, kind in given.items()
    }
    metres = "anchored/" if yaml.safe_load(text(context, "anchored")) else ""
    return [
        Node(
            package="depth_anything_ros",
            executable="obstacles_node",
            name="obstacles_node",
            namespace=LaunchConfiguration("namespace"),
            parameters=[text(context, "obstacles_params_file"), parameters],
            remappings=[
                ("depth", f"{metres}depth/image_rect"),
                ("camera_info", f"{metres}depth/camera_info"),
                # A planar scanner has the name scan already.
                ("scan", "depth/scan"),
                ("/tf", LaunchConfiguration("tf")),
                ("/tf_static", LaunchConfiguration("tf_static")),
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]


def manager(context: LaunchContext) -> list[Node]:
    """Make the lifecycle manager, where it is to be; it notices dead nodes if they have bondpy."""
    if not yaml.safe_load(text(context, "lifecycle_manager")):
        return []
    anchor = ["anchored/scale_anchor_node"] if yaml.safe_load(text(context, "anchored")) else []
    use_sim_time = text(context, "use_sim_time") or "false"
    return [
        Node(
            package="nav2_lifecycle_manager",
            executable="lifecycle_manager",
            name="lifecycle_manager_depth",
            namespace=LaunchConfiguration("namespace"),
            parameters=[
                {
                    "node_names": ["depth_node", *anchor, "obstacles_node"],
                    "autostart": yaml.safe_load(text(context, ASKED)),
                    "bond_timeout": BOND_TIMEOUT_S if is_installed("bondpy") else 0.0,
                    "use_sim_time": yaml.safe_load(use_sim_time),
                }
            ],
            arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start the nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    shared = DeclareLaunchArgument(
        "autostart",
        default_value="",
        description="false waits for a lifecycle manager, or has the one that is started wait.",
    )
    is_anchored = LaunchConfiguration("anchored")
    depth = PythonLaunchDescriptionSource(str(SHARE / "launch" / "depth.launch.py"))
    anchored = PythonLaunchDescriptionSource(str(SHARE / "launch" / "anchored_depth.launch.py"))
    return LaunchDescription(
        [
            *declared,
            shared,
            OpaqueFunction(function=prepare),
            IncludeLaunchDescription(depth, condition=UnlessCondition(is_anchored)),
            IncludeLaunchDescription(anchored, condition=IfCondition(is_anchored)),
            # After those, which declare the arguments that these share.
            OpaqueFunction(function=obstacles),
            OpaqueFunction(function=manager),
        ]
    )
