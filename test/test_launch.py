"""Launch files and the RViz configuration against the package that they start and show."""

import ast
import importlib.util
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import yaml

from depth_anything_ros.core.errors import DepthAnythingError, ParameterError
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.launch_arguments import Names, check_argument, check_file
from depth_anything_ros.nodes.obstacles_parameters import ObstaclesParameters
from depth_anything_ros.nodes.outputs import OUTPUTS
from depth_anything_ros.nodes.parameters import specs
from depth_anything_ros.nodes.player_parameters import PlayerParameters
from depth_anything_ros.nodes.range_inputs import TOPICS as RANGE_TOPICS
from depth_anything_ros.nodes.scale_anchor_node import INPUTS
from depth_anything_ros.nodes.scale_anchor_parameters import ScaleAnchorParameters
from depth_anything_ros.nodes.sim_node import CAMERA
from depth_anything_ros.nodes.sim_node import TOPICS as SIM_TOPICS
from depth_anything_ros.nodes.sim_parameters import SimParameters

NAME = "depth_anything_ros"
# With the file whose arguments each one takes, too: what it includes.
LAUNCH_FILES = {
    "anchored_depth.launch.py": "depth.launch.py",
    "demo.launch.py": "depth.launch.py",
    "depth.launch.py": None,
    "navigation.launch.py": "anchored_depth.launch.py",
}
# rclpy declares it on every node.
OF_EVERY_NODE = {"use_sim_time"}


def parse(repository, name):
    return ast.parse((repository / "launch" / name).read_text())


def constant(tree, name):
    """Return the keys of a module-level dict: its values may be calls."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return [ast.literal_eval(key) for key in node.value.keys]
    raise AssertionError(f"no {name} at module level")


def calls(tree, function):
    """Return the literal keyword arguments of each call of a function."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == function:
            literal = (k for k in node.keywords if isinstance(k.value, ast.Constant))
            found.append({k.arg: k.value.value for k in literal})
    return found


def share_paths(tree):
    """Return each path written as SHARE / "folder" / "file"."""
    inner = {id(node.left) for node in ast.walk(tree) if isinstance(node, ast.BinOp)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and id(node) not in inner:
            parts = [n.value for n in ast.walk(node) if isinstance(n, ast.Constant)]
            if any(isinstance(n, ast.Name) and n.id == "SHARE" for n in ast.walk(node)):
                found.append("/".join(reversed(parts)))
    return found


def accepted(repository, name):
    """Return the arguments that a launch file takes, with those of the file that it includes."""
    own, included = set(constant(parse(repository, name), "ARGUMENTS")), LAUNCH_FILES[name]
    return own | accepted(repository, included) if included else own


class TestWithoutLaunch:
    """What holds for the text of the launch files, on any machine."""

    def test_all_launch_files_are_looked_at(self, repository):
        assert sorted(
            path.name for path in (repository / "launch").iterdir() if path.is_file()
        ) == [*LAUNCH_FILES]

    @pytest.mark.parametrize("name", LAUNCH_FILES)
    def test_documented_commands_are_accepted(self, repository, name):
        documents = [ast.get_docstring(parse(repository, name), clean=False)]
        documents += [(repository / "README.md").read_text()]
        documents += [path.read_text() for path in (repository / "doc").rglob("*.md")]
        # A command may go on over lines that end in a backslash.
        pattern = rf"ros2 launch {NAME} {re.escape(name)}((?:[^\n]|\\\n)*)"
        commands = [found for text in documents for found in re.findall(pattern, text)]
        given = {argument for line in commands for argument in re.findall(r"(\w+):=", line)}
        assert given
        assert given <= accepted(repository, name)

    @pytest.mark.parametrize("name", LAUNCH_FILES)
    def test_executables_and_packages_exist(self, repository, name):
        setup = (repository / "setup.py").read_text()
        manifest = ET.parse(repository / "package.xml").getroot()
        keys = {element.text for element in manifest.findall("exec_depend")}
        nodes = calls(parse(repository, name), "Node")
        said = (repository / "launch" / name).read_text()
        assert nodes
        for node in nodes:
            if node["package"] == NAME:
                assert f'f"{node["executable"]} = {{NAME}}' in setup
            elif node["package"] not in keys:  # what a robot does not need: said how to get it
                package = node["package"].replace("_", "-")
                assert f"apt install ros-$ROS_DISTRO-{package}" in said

    @pytest.mark.parametrize("name", LAUNCH_FILES)
    def test_files_exist(self, repository, name):
        paths = share_paths(parse(repository, name))
        assert paths
        assert [path for path in paths if not (repository / path).is_file()] == []

    def test_parameters_exist(self, repository):
        depth = {spec.name for spec in specs(DepthParameters)} | OF_EVERY_NODE
        anchor = {spec.name for spec in specs(ScaleAnchorParameters)} | OF_EVERY_NODE
        obstacles = {spec.name for spec in specs(ObstaclesParameters)} | OF_EVERY_NODE
        player = {spec.name for spec in specs(PlayerParameters)}
        navigation = parse(repository, "navigation.launch.py")
        assert set(constant(navigation, "PARAMETERS")) <= obstacles
        anchored = parse(repository, "anchored_depth.launch.py")
        assert set(constant(anchored, "PARAMETERS")) <= anchor
        assert set(constant(parse(repository, "depth.launch.py"), "PARAMETERS")) <= depth
        sim = {spec.name for spec in specs(SimParameters)}
        assert set(constant(parse(repository, "demo.launch.py"), "PLAYER_PARAMETERS")) <= player
        assert set(constant(parse(repository, "demo.launch.py"), "SIM_PARAMETERS")) <= sim

    def test_the_end_of_a_camera_ends_the_demo(self, repository):
        tree = parse(repository, "demo.launch.py")
        nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ends_all(n)]
        ended = {k.value.value for n in nodes for k in n.keywords if k.arg == "executable"}
        assert ended == {"sim_node", "player_node"}


def ends_all(call):
    return any(k.arg == "on_exit" and k.value.func.id == "Shutdown" for k in call.keywords)


class TestArguments:
    """What the launch files check, without launch."""

    @pytest.mark.parametrize(
        ("text", "kind"),
        [
            *(("True", bool), ("false", bool), ("5", float), ("0.5", float), ("1e1", str)),
            *(("[front, left]", Names), ("[]", Names), ("12", str), ("", str)),
        ],
    )
    def test_good_ones(self, text, kind):
        check_argument("name", text, kind)

    @pytest.mark.parametrize(
        ("text", "kind", "expected"),
        [
            *((text, bool, "true or false") for text in ("maybe", "1", "[true]", "{", "tru")),
            *((text, float, "a number") for text in ("fast", "true", "0", "-1", ".inf", ".nan")),
            *((text, Names, "a list of names") for text in ("front", "[1]", "[a, [b]]", "[a", "5")),
        ],
    )
    def test_bad_ones_are_named(self, text, kind, expected):
        with pytest.raises(ParameterError) as raised:
            check_argument("cameras", text, kind)
        assert f"the launch argument cameras is {text!r}; expected {expected}" in str(raised.value)

    @pytest.mark.parametrize("name", ["", "missing.yaml", "."])
    def test_a_parameter_file_that_is_none_is_an_error(self, tmp_path, name):
        path = str(tmp_path / name) if name else ""
        with pytest.raises(ParameterError, match=r"the launch argument params_file is .* no file"):
            check_file("params_file", path)

    def test_one_that_is_there(self, repository):
        check_file("params_file", str(repository / "config" / "depth.yaml"))


@pytest.fixture
def launch_file(repository, tmp_path, monkeypatch):
    """Load a launch file as a module, with the repository's folders as the package's share."""
    reason = "launch and launch_ros are not on PyPI; they come with a ROS 2 distribution"
    # Not `launch`: the repository's own folder of that name would answer.
    pytest.importorskip("launch.actions", reason=reason)
    pytest.importorskip("launch_ros.actions", reason=reason)
    index = tmp_path / "share/ament_index/resource_index/packages"
    index.mkdir(parents=True)
    (index / NAME).touch()
    (tmp_path / "share" / NAME).mkdir()
    for folder in ("launch", "config"):
        (tmp_path / "share" / NAME / folder).symlink_to(repository / folder)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))

    def load(name):
        path = tmp_path / "share" / NAME / "launch" / name
        spec = importlib.util.spec_from_file_location(name.replace(".", "_"), path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


class TestWithLaunch:
    """What launch itself makes of them, where there is one."""

    @pytest.mark.parametrize("name", LAUNCH_FILES)
    def test_arguments(self, repository, launch_file, name):
        description = launch_file(name).generate_launch_description()
        arguments = {argument.name: argument for argument in description.get_launch_arguments()}
        assert set(arguments) == accepted(repository, name)
        required = [n for n, argument in arguments.items() if argument.default_value is None]
        assert required == []
        assert all(argument.description for argument in arguments.values())

    @pytest.mark.parametrize(
        ("source", "executable"), [("", "sim_node"), ("/some/pictures", "player_node")]
    )
    def test_demo_nodes(self, launch_file, source, executable):
        from launch.actions import DeclareLaunchArgument

        from launch import LaunchContext

        entities = launch_file("demo.launch.py").generate_launch_description().entities
        rviz, camera, _depth = [e for e in entities if not isinstance(e, DeclareLaunchArgument)]
        context = LaunchContext()
        context.launch_configurations.update({"source": source, "rviz": "true"})
        for argument in entities[:-3]:
            argument.visit(context)
        # rviz2 first, so that nothing runs yet where it is missing.
        with pytest.raises(DepthAnythingError, match="rviz2 is not installed: apt install"):
            rviz.execute(context)
        (node,) = camera.execute(context)
        assert (node.node_package, node.node_executable) == (NAME, executable)

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ({}, {}),
            ({"model": "123", "device": "0"}, {"model": "123", "device": "0"}),
            ({"use_sim_time": "True"}, {"use_sim_time": True}),
            ({"autostart": "false", "weights": "a.pth"}, {"autostart": False, "weights": "a.pth"}),
            ({"cameras": "[front, left]"}, {"cameras": ["front", "left"]}),
        ],
    )
    def test_depth_parameters(self, launch_file, given, expected, monkeypatch):
        """Only what is given overrides the params_file, and text stays text."""
        from launch import LaunchContext

        module, made = launch_file("depth.launch.py"), []
        monkeypatch.setattr(module, "Node", lambda **arguments: made.append(arguments))
        context = LaunchContext()
        *declared, function = module.generate_launch_description().entities
        for name, value in given.items():
            context.launch_configurations[name] = value
        for argument in declared:
            argument.visit(context)
        function.visit(context)
        ((_, overrides),) = [arguments["parameters"] for arguments in made]
        assert {name: value.evaluate(context) for name, value in overrides.items()} == expected

    @pytest.mark.parametrize(
        ("name", "file", "text"),
        [
            ("autostart", "depth.launch.py", "maybe"),
            ("cameras", "depth.launch.py", "front"),
            ("params_file", "depth.launch.py", "/no/such.yaml"),
            ("autostart", "anchored_depth.launch.py", "1"),
            ("anchor_params_file", "anchored_depth.launch.py", "/no/such.yaml"),
            ("rate_hz", "demo.launch.py", "fast"),
            ("rviz", "demo.launch.py", "maybe"),
            ("anchored", "navigation.launch.py", "perhaps"),
            ("autostart", "navigation.launch.py", "perhaps"),
            ("camera_height_m", "navigation.launch.py", "high"),
            ("lifecycle_manager", "navigation.launch.py", "some"),
            ("obstacles_params_file", "navigation.launch.py", "/no/such.yaml"),
        ],
    )
    def test_a_wrong_argument_is_named(self, launch_file, name, file, text):
        from launch.actions import DeclareLaunchArgument, OpaqueFunction

        from launch import LaunchContext

        context = LaunchContext()
        shared = launch_file("depth.launch.py").generate_launch_description().entities
        own = launch_file(file).generate_launch_description().entities
        context.launch_configurations[name] = text
        for entity in (*shared, *own):
            if isinstance(entity, DeclareLaunchArgument):
                entity.visit(context)
        if file == "demo.launch.py" and name != "rviz":
            context.launch_configurations["rviz"] = "false"
        with pytest.raises(ParameterError, match=f"the launch argument {name} is '{text}'"):
            for entity in own:
                if isinstance(entity, OpaqueFunction):
                    entity.execute(context)

    @pytest.mark.parametrize(
        ("cameras", "expected"),
        [
            ("", {"image": "image_raw", "camera_info": "camera_info"}),
            (
                "[front, left]",
                {
                    "front/image": "front/image_raw",
                    "front/camera_info": "front/camera_info",
                    "left/image": "left/image_raw",
                    "left/camera_info": "left/camera_info",
                },
            ),
        ],
    )
    def test_topics_are_remapped_below_each_cameras_name(
        self, launch_file, cameras, expected, monkeypatch
    ):
        from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions

        from launch import LaunchContext

        module, made = launch_file("depth.launch.py"), []
        monkeypatch.setattr(module, "Node", lambda **arguments: made.append(arguments))
        context = LaunchContext()
        *declared, _ = module.generate_launch_description().entities
        given = {"cameras": cameras, "image": "image_raw", "tf": "tf"}
        context.launch_configurations.update(given)
        for argument in declared:
            argument.visit(context)
        module.start(context)
        resolved = {
            name: perform_substitutions(context, normalize_to_list_of_substitutions(topic))
            for name, topic in made[0]["remappings"]
        }
        tf = {"/tf": "tf", "/tf_static": "/tf_static"}
        assert resolved == expected | tf

    def test_the_anchor_node_hears_depth_node_from_a_namespace_of_its_own(
        self, launch_file, monkeypatch
    ):
        from launch import LaunchContext

        module, made = launch_file("anchored_depth.launch.py"), []
        monkeypatch.setattr(module, "Node", lambda **arguments: made.append(arguments))
        context = LaunchContext()
        given = {
            "namespace": "front/",
            "points": "/velodyne_points",
            "scan": "scan",
            "anchor_input": "depth",
            "autostart": "false",
        }
        defaults = {name: default for name, (default, _) in module.ARGUMENTS.items()}
        # Declared by depth.launch.py.
        rest = {"use_sim_time": "", "log_level": "info", "tf": "tf", "tf_static": "/tf_static"}
        for name, value in {**defaults, **rest, **given}.items():
            context.launch_configurations[name] = value
        module.anchor(context)
        (node,) = made
        assert node["namespace"] == "/front/anchored"
        remapped = dict(node["remappings"])
        transforms = {"/tf": "/front/tf", "/tf_static": "/tf_static"}
        topics = {*(one.topic for one in INPUTS.values()), *RANGE_TOPICS, "camera_info"}
        assert set(remapped) == topics | set(transforms) | {"bond"}
        assert remapped["bond"] == "/front/bond"
        assert transforms.items() <= remapped.items()
        assert remapped["disparity/image_rect"] == "/front/disparity/image_rect"
        assert remapped["camera_info"] == "/front/depth/camera_info"
        assert remapped["lidar/points"] == "/velodyne_points"
        assert remapped["scan"] == "/front/scan"
        overrides = node["parameters"][1]
        values = {name: value.evaluate(context) for name, value in overrides.items()}
        assert values == {"input": "depth", "autostart": False}


class TestNavigation:
    """navigation.launch.py as launch runs it: which nodes, with what, and by whom started."""

    @pytest.fixture
    def started(self, launch_file, tmp_path, monkeypatch):
        """Run the file with arguments, where some packages are installed."""
        from launch.utilities import normalize_to_list_of_substitutions, perform_substitutions
        from launch_ros.actions import Node

        from launch import LaunchContext

        def run(installed, **given):
            for package in installed:
                (tmp_path / "share/ament_index/resource_index/packages" / package).touch()
            made, context = [], LaunchContext()
            monkeypatch.setattr(Node, "execute", lambda node, context: made.append(node))
            context.launch_configurations.update(given)
            waiting = [launch_file("navigation.launch.py").generate_launch_description()]
            while waiting:
                entity = waiting.pop(0)
                waiting = [*(entity.visit(context) or []), *waiting]
            found = {}
            for node in made:
                name = "/".join(
                    filter(None, (text(context, node, "namespace"), node.node_executable))
                )
                found[name] = parameters(context, node), remappings(context, node)
            return found

        def text(context, node, name):
            value = getattr(node, f"_Node__node_{name}")
            parts = normalize_to_list_of_substitutions(value or "")
            return perform_substitutions(context, parts)

        def parameters(context, node):
            from launch_ros.utilities import evaluate_parameters

            sets = evaluate_parameters(context, node._Node__parameters)
            return {k: v for one in sets if isinstance(one, dict) for k, v in one.items()}

        def remappings(context, node):
            return {
                perform_substitutions(context, list(a)): perform_substitutions(context, list(b))
                for a, b in node._Node__remappings
            }

        return run

    def test_without_a_manager_the_nodes_start_themselves(self, started):
        nodes = started((), camera_height_m="1", namespace="robot")
        assert list(nodes) == ["robot/depth_node", "robot/obstacles_node"]
        assert nodes["robot/depth_node"][0] == {}
        given, remapped = nodes["robot/obstacles_node"]
        assert given == {"ground.camera_height_m": 1.0}
        assert remapped["depth"] == "depth/image_rect"
        assert remapped["camera_info"] == "depth/camera_info"
        assert remapped["scan"] == "depth/scan"  # not that of a scanner

    def test_a_manager_that_is_installed_starts_them(self, started):
        nodes = started(("nav2_lifecycle_manager", "bondpy"), anchored="true", use_sim_time="true")
        anchor = "/anchored/scale_anchor_node"
        assert list(nodes) == ["depth_node", anchor, "obstacles_node", "lifecycle_manager"]
        for name in ("depth_node", anchor, "obstacles_node"):
            assert nodes[name][0]["autostart"] is False
        assert nodes["lifecycle_manager"][0] == {
            "node_names": ("depth_node", "anchored/scale_anchor_node", "obstacles_node"),
            "autostart": True,
            "bond_timeout": 4.0,
            "use_sim_time": True,
        }
        assert nodes[anchor][1]["bond"] == "/bond"
        assert nodes["obstacles_node"][1]["depth"] == "anchored/depth/image_rect"
        assert nodes["obstacles_node"][1]["camera_info"] == "anchored/depth/camera_info"

    def test_without_bondpy_it_expects_no_bond_and_autostart_is_its_own(self, started):
        nodes = started(("nav2_lifecycle_manager",), autostart="false")
        manager = nodes["lifecycle_manager"][0]
        assert manager["bond_timeout"] == 0.0 and manager["autostart"] is False
        assert nodes["depth_node"][0]["autostart"] is False

    def test_a_manager_that_is_not_wanted(self, started):
        nodes = started(("nav2_lifecycle_manager",), lifecycle_manager="false")
        assert list(nodes) == ["depth_node", "obstacles_node"]
        assert "autostart" not in nodes["depth_node"][0]

    def test_one_that_is_wanted_and_missing_stops_all(self, started):
        with pytest.raises(DepthAnythingError, match=r"apt install ros-.*-nav2-lifecycle-manager"):
            started((), lifecycle_manager="true")


class TestRviz:
    @pytest.fixture
    def config(self, repository):
        text = (repository / "config" / "depth.rviz").read_text()
        return yaml.safe_load(text)["Visualization Manager"]

    def test_topics_are_those_of_the_node(self, config):
        topics = {d["Topic"]["Value"]: d["Class"] for d in config["Displays"] if "Topic" in d}
        types = {"image": "Image", "camera_info": "CameraInfo"}
        outputs = {name: output.type for name, output in OUTPUTS.items()} | SIM_TOPICS
        types |= {name: kind.__name__ for name, kind in outputs.items()}
        assert {"/image", "/depth/image_color", "/points"} <= set(topics)
        for topic, shown_as in topics.items():
            # The names are relative; without a namespace they are resolved at the root.
            assert shown_as == f"rviz_default_plugins/{types[topic.removeprefix('/')]}"

    def test_the_cloud_is_shown_in_its_colours(self, config):
        (cloud,) = (d for d in config["Displays"] if d["Name"] == "Points")
        assert cloud["Color Transformer"] == "RGB8"
        assert cloud["Topic"]["Reliability Policy"] == "Reliable"

    def test_the_frame_is_the_demos(self, repository, config):
        frame = config["Global Options"]["Fixed Frame"]
        assert f'"frame_id": "{frame}"' in (repository / "launch" / "demo.launch.py").read_text()
        assert frame == CAMERA

    def test_the_view_is_upright_along_the_optical_axis(self, config):
        """Check the eye of OrbitViewController::updateCamera of rviz_default_plugins."""
        view = config["Views"]["Current"]
        assert view["Class"] == "rviz_default_plugins/Orbit"
        yaw, pitch = view["Yaw"], view["Pitch"]
        offset = view["Distance"] * np.array(
            [math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), math.sin(pitch)]
        )
        eye = np.array([view["Focal Point"][axis] for axis in "XYZ"]) + offset
        forward = -offset / np.linalg.norm(offset)
        right = np.cross(forward, [0.0, 0.0, 1.0])  # Orbit keeps z up
        right /= np.linalg.norm(right)
        down = np.cross(forward, right)
        assert eye[2] < 0 and eye[1] < 0, "the eye is behind the camera and above it"
        # REP 103, optical frames: x right, y down, z forward.
        np.testing.assert_allclose(right, [1, 0, 0], atol=1e-5)
        assert down[1] > 0.9
        assert forward[2] > 0.9
