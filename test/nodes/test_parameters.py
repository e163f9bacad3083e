"""Parameters: one dataclass, one YAML, one table in the README."""

import re
from dataclasses import FrozenInstanceError

import pytest
import rclpy
import yaml
from rclpy.node import Node
from rclpy.parameter import Parameter

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.parameters import DeclaredParameters, build, specs
from depth_anything_ros.nodes.player_parameters import PlayerParameters
from depth_anything_ros.nodes.scale_anchor_parameters import ScaleAnchorParameters
from depth_anything_ros.nodes.sim_parameters import SimParameters

TABLES = {
    "depth_node": DepthParameters,
    "scale_anchor_node": ScaleAnchorParameters,
    "player_node": PlayerParameters,
    "sim_node": SimParameters,
}


YAMLS = {"depth": DepthParameters, "scale_anchor": ScaleAnchorParameters}


def flattened(tree, prefix=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def typed(value):
    """The value with its type, and those of its numbers: ROS is strict, an integer is no double."""
    if isinstance(value, (list, tuple)):
        return [typed(v) for v in value]
    return type(value), value


@pytest.mark.parametrize("name", YAMLS)
def test_the_yaml_holds_every_parameter_at_its_default(repository, name):
    text = (repository / "config" / f"{name}.yaml").read_text()
    given = dict(flattened(yaml.safe_load(text)["/**"]["ros__parameters"]))
    expected = {spec.name: spec.default for spec in specs(YAMLS[name])}
    assert {k: typed(v) for k, v in given.items()} == {k: typed(v) for k, v in expected.items()}


@pytest.mark.parametrize("node", TABLES)
def test_the_readme_table_holds_every_parameter_with_its_default(repository, node):
    readme = (repository / "README.md").read_text()
    (section,) = re.findall(rf"^### {node}$(.*?)(?=^##|\Z)", readme, re.M | re.S)
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `([^`]*)` \|", section, re.M))
    expected = {}
    for spec in specs(TABLES[node]):
        value = list(spec.default) if spec.type is tuple else spec.default
        expected[spec.name] = str(value).lower() if isinstance(value, bool) else str(value)
    expected = {name: value or '""' for name, value in expected.items()}
    assert rows == expected


@pytest.mark.parametrize("cls", TABLES.values())
def test_every_parameter_is_described(cls):
    for spec in specs(cls):
        assert spec.description.endswith("."), spec.name
        assert spec.type in (bool, int, float, str, tuple)
        assert isinstance(spec.default, spec.type), spec.name
        assert (spec.low is None) == (spec.high is None)
        if spec.type in (int, float):
            assert spec.low <= spec.default <= spec.high, spec.name
        spec.check(spec.default)


def test_values_become_the_nested_dataclass_and_wrong_ones_are_refused():
    values = {spec.name: spec.default for spec in specs(DepthParameters)}
    parameters = build(DepthParameters, {**values, "cloud.stride": 4, "rectify": "never"})
    assert (parameters.cloud.stride, parameters.rectify) == (4, "never")
    with pytest.raises(FrozenInstanceError):
        parameters.rectify = "auto"
    with pytest.raises(ParameterError, match=r"depth\.encoding is '8UC1'; it must be one of"):
        build(DepthParameters, {**values, "depth.encoding": "8UC1"})
    with pytest.raises(
        ParameterError, match=r"range\.min_m \(5\) must be below range\.max_m \(5\)"
    ):
        build(DepthParameters, {**values, "range.min_m": 5.0, "range.max_m": 5.0})


def test_a_tuple_takes_as_many_finite_numbers_as_its_default():
    values = {spec.name: spec.default for spec in specs(ScaleAnchorParameters)}
    name = "extrinsics.translation_m"
    parameters = build(ScaleAnchorParameters, {**values, name: (0.1, -2.0, 3.0)})
    assert parameters.extrinsics.translation_m == (0.1, -2.0, 3.0)
    for wrong in ((0.1, -2.0), (0.0, 0.0, float("nan")), ()):
        with pytest.raises(ParameterError, match=r"extrinsics\.translation_m .* 3 numbers"):
            build(ScaleAnchorParameters, {**values, name: wrong})
    with pytest.raises(ParameterError, match=r"rotation_xyzw has length 2"):
        build(ScaleAnchorParameters, {**values, "extrinsics.rotation_xyzw": (0.0, 0.0, 0.0, 2.0)})


def test_a_tuple_of_strings_may_have_any_length():
    values = {spec.name: spec.default for spec in specs(DepthParameters)}
    for names in ((), ("front",), ("front", "left", "right", "rear_2", "_5")):
        assert build(DepthParameters, {**values, "cameras": names}).cameras == names
    with pytest.raises(ParameterError, match="'front' 2 times"):
        build(DepthParameters, {**values, "cameras": ("front", "front")})


def test_a_string_may_be_given_as_a_whole_number():
    """YAML and -p output.size:=480 give an integer."""
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        given = [Parameter("output.size", value=480)]
        node = Node("sized", context=context, parameter_overrides=given)
        declared = DeclaredParameters(node, DepthParameters)
        assert declared.values.output.size == "480"
        for value, expected in (("network", "network"), (720, "720"), ("360", "360")):
            (result,) = node.set_parameters([Parameter("output.size", value=value)])
            assert result.successful and declared.values.output.size == expected
        for value in (True, 480.0, -1, 0, "large", ["480"]):
            (result,) = node.set_parameters([Parameter("output.size", value=value)])
            assert not result.successful and "output.size is" in result.reason
        assert declared.values.output.size == "360"
        node.destroy_node()
    finally:
        context.try_shutdown()
