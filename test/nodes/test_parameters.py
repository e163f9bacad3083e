"""Parameters: one dataclass, one YAML, one page."""

import importlib.util
from dataclasses import FrozenInstanceError

import pytest
import rclpy
import yaml
from rclpy.exceptions import ParameterException
from rclpy.parameter import Parameter

from depth_anything_ros.core.errors import ParameterError
from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.obstacles_parameters import ObstaclesParameters
from depth_anything_ros.nodes.parameters import DeclaredParameters, build, specs
from depth_anything_ros.nodes.player_parameters import PlayerParameters
from depth_anything_ros.nodes.scale_anchor_parameters import ScaleAnchorParameters
from depth_anything_ros.nodes.sim_parameters import SimParameters
from depth_anything_ros.nodes.view_parameters import ViewParameters

TABLES = {
    "depth_node": DepthParameters,
    "scale_anchor_node": ScaleAnchorParameters,
    "obstacles_node": ObstaclesParameters,
    "player_node": PlayerParameters,
    "sim_node": SimParameters,
    "view_node": ViewParameters,
}


YAMLS = {
    "depth": DepthParameters,
    "scale_anchor": ScaleAnchorParameters,
    "obstacles": ObstaclesParameters,
    "view": ViewParameters,
}


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


@pytest.fixture(scope="module")
def pages(repository):
    """The script that writes the tables."""
    spec = importlib.util.spec_from_file_location("pages", repository / "doc/parameters.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_each_node_has_its_parameters(repository, pages):
    assert pages.NODES == TABLES
    readme = (repository / "README.md").read_text()
    for node, cls in TABLES.items():
        text = (repository / f"doc/{node}.md").read_text()
        assert text == pages.page(text, cls), "run: python doc/parameters.py"
        assert f"[{node}](doc/{node}.md)" in readme


def test_a_page_says_all_of_a_parameter(pages):
    rows = pages.table(DepthParameters).splitlines()
    (size,) = (row for row in rows if row.startswith("| `input_size` "))
    assert size.startswith("| `input_size` | `0` | px | Length that the")
    assert size.endswith("coarser. ◆ |")
    (encoding,) = (row for row in rows if row.startswith("| `depth.encoding` "))
    assert encoding.endswith("range). One of `32FC1`, `16UC1`. |")
    assert any(row.startswith('| `weights` | `""` |  | ') for row in rows)
    assert any(row.startswith("| `autostart` | `true` |  | ") for row in rows)
    assert "`[0.0, 0.0, 0.0, 1.0]`" in pages.table(ScaleAnchorParameters)
    assert "◆" not in pages.table(PlayerParameters)
    with pytest.raises(SystemExit, match="lacks the lines"):
        pages.page("# a page without a table", DepthParameters)


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


@pytest.fixture
def declare():
    """Declare a dataclass on a node that is started with these words."""
    made = []

    def make(cls, *arguments):
        context = rclpy.Context()
        rclpy.init(args=["--ros-args", *arguments], context=context)
        node = rclpy.create_node("given", context=context)
        made.append((node, context))
        return node, DeclaredParameters(node, cls)

    yield make
    for node, context in made:
        node.destroy_node()
        context.try_shutdown()


def set_one(node, name, *value):
    """Set one parameter, to a value or to one of a type, and return why not, if so."""
    kind, value = value if len(value) > 1 else (None, *value)
    (result,) = node.set_parameters([Parameter(name, kind, value)])
    assert result.successful is not bool(result.reason)
    return result.reason


def test_a_string_may_be_given_as_a_whole_number(declare):
    """YAML and -p output.size:=480 give an integer."""
    node, declared = declare(DepthParameters, "-p", "output.size:=480")
    assert declared.values.output.size == "480"
    for value, expected in (("network", "network"), (720, "720"), ("360", "360")):
        assert not set_one(node, "output.size", value)
        assert declared.values.output.size == expected
    for value in (True, 480.0, -1, 0, "large", ["480"]):
        assert set_one(node, "output.size", value)
    assert declared.values.output.size == "360"


def with_yaml(path, tree):
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": tree}}))
    return ("--params-file", str(path))


def test_integers_are_taken_for_floats_at_start_and_later(tmp_path, declare):
    text = with_yaml(
        tmp_path / "p.yaml",
        {"fit": {"max_age_s": 3}, "extrinsics": {"translation_m": [1, 2, 3]}},
    )
    node, declared = declare(ScaleAnchorParameters, *text, "-p", "range.max_m:=50")
    assert typed(declared.values.fit.max_age_s) == (float, 3.0)
    assert typed(declared.values.range.max_m) == (float, 50.0)
    assert typed(declared.values.extrinsics.translation_m) == typed([1.0, 2.0, 3.0])

    kinds = Parameter.Type
    changes = [
        Parameter("range.max_m", kinds.INTEGER, 60),
        Parameter("extrinsics.rotation_xyzw", kinds.INTEGER_ARRAY, [0, 0, 1, 0]),
    ]
    assert [result.reason for result in node.set_parameters(changes)] == ["", ""]
    assert typed(declared.values.range.max_m) == (float, 60.0)
    assert typed(declared.values.extrinsics.rotation_xyzw) == typed([0.0, 0.0, 1.0, 0.0])
    assert node.get_parameter("range.max_m").type_ == kinds.DOUBLE


def test_lists_are_taken_as_ros2_param_sends_them(declare):
    """Text, of a list that mixes integers and floats; booleans, of an empty one."""
    node, declared = declare(ScaleAnchorParameters)
    name, text = "extrinsics.translation_m", Parameter.Type.STRING
    for given, wanted in (("[0.5, 1, 0]", [0.5, 1.0, 0.0]), (" [-1e-3,2,.5] ", [-0.001, 2.0, 0.5])):
        assert not set_one(node, name, text, given)
        assert typed(declared.values.extrinsics.translation_m) == typed(wanted)
    wrong = ("[1, 2.5]", "[1, 2.5, x]", "[1, True, 2.5]", "[1, [2.5], 3]", "1.5", "(1, 2, 3)", "")
    for given in (*wrong, "[" * 5000, f"[1.5, 2, 1{'0' * 400}]", "[1e999, 2, 3]"):
        assert set_one(node, name, text, given)

    node, declared = declare(DepthParameters, "-p", "cameras:=[left, right]")
    for kind in ("BOOL_ARRAY", "BYTE_ARRAY", "INTEGER_ARRAY", "DOUBLE_ARRAY", "STRING_ARRAY"):
        both = Parameter("cameras", value=["left", "right"])
        none = Parameter("cameras", Parameter.Type[kind], [])
        assert [one.reason for one in node.set_parameters([both, none])] == ["", ""]
        assert declared.values.cameras == ()
    assert set_one(node, "cameras", Parameter.Type.BOOL_ARRAY, [True])


@pytest.mark.parametrize("cls", TABLES.values())
def test_every_float_takes_an_integer_and_none_takes_what_is_no_number(cls, declare):
    node, declared = declare(cls)
    kinds = Parameter.Type
    for spec in specs(cls):
        if spec.type is not float:
            continue
        whole = next(n for n in (0, 1, 60) if spec.low is None or spec.low <= n <= spec.high)
        (change,) = declared.as_declared([Parameter(spec.name, kinds.INTEGER, whole)])
        assert (change.type_, change.value) == (kinds.DOUBLE, float(whole))
        for wrong in (float("nan"), float("inf"), -float("inf"), True, "5", [5.0], 10**15):
            assert set_one(node, spec.name, wrong)
        with pytest.raises(ParameterError, match="it must be a finite number"):
            spec.check(float("nan"))


@pytest.mark.parametrize("given", ["range.max_m:=.nan", "range.max_m:=true", "range.max_m:=-5"])
def test_a_wrong_number_at_start_is_an_error_of_its_own(given, declare):
    with pytest.raises((ParameterError, ParameterException), match=r"range\.max_m"):
        declare(DepthParameters, "-p", given)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("reliability:=relible", "'relible'; it must be one of system_default, reliable, best_eff"),
        ("reliability:=1", "1; it must be one of"),
        ("durability:=latched", "'latched'; it must be one of system_default, transient_local, vo"),
        ("durability:=unknown", "'unknown'; it must be one of"),
        ("history:=all", "'all'; it must be one of system_default, keep_last, keep_all"),
        ("depth:=0", "0; it must be a whole number, 1 or more"),
        ("depth:=-1", "-1; it must be"),
        ("depth:=3000000000", "3000000000; it must be"),
        ("depth:=2.0", "2.0; it must be"),
        ("depth:=two", "'two'; it must be"),
        ("depth:=true", "True; it must be"),
    ],
)
def test_a_quality_of_service_that_is_none_is_named_with_its_topic(given, words, declare):
    name = "qos_overrides./points.publisher"
    policy = given.split(":")[0]
    with pytest.raises(ParameterError) as error:
        declare(DepthParameters, "-p", f"{name}.{given}")
    assert str(error.value).startswith(f"parameter {name}.{policy} is {words}")


def test_a_quality_of_service_may_be_in_any_case_and_any_depth(declare):
    name = "qos_overrides./points.publisher"
    for given in ("reliability:=BEST_EFFORT", "durability:=transient_local", "depth:=100"):
        declare(DepthParameters, "-p", f"{name}.{given}")
