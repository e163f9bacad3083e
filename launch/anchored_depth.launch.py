"""Start depth_node with a relative model, and scale_anchor_node, which gives it metres by a LiDAR.

ros2 launch depth_anything_ros anchored_depth.launch.py image:=/camera/image_raw \
    camera_info:=/camera/camera_info points:=/lidar/points
"""

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_anything_ros.nodes.launch_arguments import check_argument, check_file
from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("depth_anything_ros"))
ARGUMENTS = {
    "model": (
        "tiny_relative",
        "Model of the zoo: a relative one, or with anchor_input:=depth a metric one.",
    ),
    "anchor_input": ("", "disparity, affine_depth or depth; empty takes anchor_params_file's."),
    "anchor_params_file": (
        str(SHARE / "config" / "scale_anchor.yaml"),
        "Parameters of scale_anchor_node.",
    ),
    "points": ("lidar/points", "Topic of a LiDAR's clouds, or of a SLAM's points."),
    "landmarks": ("landmarks", "Topic of a SLAM's points as the older message PointCloud."),
    "scan": ("scan", "Topic of a planar scanner."),
    "range": ("range", "Topic of a range sensor."),
    "sparse_depth": ("sparse_depth", "Topic of depth images of few pixels."),
}
# Typed, because launch would otherwise guess. The last two, tf and tf_static are declared by
# depth.launch.py.
PARAMETERS = {"input": str, "use_sim_time": bool, "autostart": bool}
# The outputs have depth_node's names, so they need a namespace of their own.
OWN_NAMESPACE = "anchored"


def anchor(context: LaunchContext) -> list[Node]:
    """Make scale_anchor_node beside depth_node; an empty argument leaves its params_file alone."""

    def text(name: str) -> str:
        return str(LaunchConfiguration(name).perform(context))

    outer = f"/{text('namespace').strip('/')}".rstrip("/")

    def absolute(topic: str) -> str:
        return topic if topic.startswith("/") else f"{outer}/{topic}"

    remapped = {
        "disparity/image_rect": absolute("disparity/image_rect"),
        "affine_depth/image_rect": absolute("affine_depth/image_rect"),
        "depth": absolute("depth/image_rect"),
        "camera_info": absolute("depth/camera_info"),
        "lidar/points": absolute(text("points")),
        **{n: absolute(text(n)) for n in ("landmarks", "scan", "range", "sparse_depth")},
        # Of the manager of both nodes, if any; a namespace without one costs nothing.
        "bond": absolute("bond"),
        # One tree for both nodes.
        **{f"/{name}": absolute(text(name)) for name in ("tf", "tf_static")},
    }
    check_file("anchor_params_file", text("anchor_params_file"))
    sources = {name: "anchor_input" if name == "input" else name for name in PARAMETERS}
    given = {name: kind for name, kind in PARAMETERS.items() if text(sources[name])}
    for name, kind in given.items():
        check_argument(sources[name], text(sources[name]), kind)
    parameters = {
        name: ParameterValue(LaunchConfiguration(sources[name]), value_type=kind)
        for name, kind in given.items()
    }
    return [
        Node(
            package="depth_anything_ros",
            executable="scale_anchor_node",
            name="scale_anchor_node",
            namespace=f"{outer}/{OWN_NAMESPACE}",
            parameters=[text("anchor_params_file"), parameters],
            remappings=list(remapped.items()),
            arguments=["--ros-args", "--log-level", text("log_level")],
            output="screen",
        )
    ]


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and start both nodes."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    # First, because it declares the arguments that the other node shares.
    depth = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "depth.launch.py")),
        launch_arguments=[("model", LaunchConfiguration("model"))],
    )
    return LaunchDescription([*declared, depth, OpaqueFunction(function=anchor)])
