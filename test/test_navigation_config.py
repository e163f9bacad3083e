"""The files for Nav2: what they name exists there, and in this package."""

import nav2_parameters as nav2
import numpy as np
import pytest
import yaml

from depth_anything_ros.nodes.outputs import OUTPUTS

# What navigation.launch.py calls them: the test of the launch file holds it.
TOPICS = {"/obstacles": "obstacles", "/depth/scan": "scan"}


@pytest.fixture
def costmap(repository):
    tree = yaml.safe_load((repository / "config/nav2_costmap.yaml").read_text())
    return tree["local_costmap"]["local_costmap"]["ros__parameters"]


@pytest.fixture
def monitor(repository):
    tree = yaml.safe_load((repository / "config/nav2_collision_monitor.yaml").read_text())
    return tree["collision_monitor"]["ros__parameters"]


def check(group, known, *below):
    """Hold that a group has known names alone, and those of what is listed in it."""
    assert set(group) - set(below) <= nav2.names(*known)
    assert set(below) <= set(group)


def test_every_parameter_of_the_costmap_is_nav2s(costmap):
    check(costmap, [nav2.COSTMAP], *costmap["plugins"])
    for name in costmap["plugins"]:
        layer = costmap[name]
        sources = layer.get("observation_sources", "").split()
        check(layer, [nav2.PLUGIN, nav2.LAYERS[layer["plugin"]]], *sources)
        for source in sources:
            check(layer[source], [nav2.LAYER_SOURCE])


def test_every_parameter_of_the_collision_monitor_is_nav2s(monitor):
    check(monitor, [nav2.COLLISION_MONITOR], *monitor["polygons"], *monitor["observation_sources"])
    for name in monitor["polygons"]:
        check(monitor[name], [nav2.POLYGON])
    for name in monitor["observation_sources"]:
        check(monitor[name], [nav2.POINTCLOUD_SOURCE])


def test_the_launch_file_gives_the_lifecycle_manager_what_it_knows(repository):
    text = (repository / "launch/navigation.launch.py").read_text()
    begin = text.index('"node_names"')
    lines = text[begin : text.index("}", begin)].splitlines()
    given = [line.split('"')[1] for line in lines if ":" in line]
    assert set(given) - {"use_sim_time"} <= nav2.names(nav2.LIFECYCLE_MANAGER)
    assert {"node_names", "autostart", "bond_timeout"} <= set(given)


def test_topics_are_outputs_of_the_type_that_is_expected(costmap, monitor):
    layer = costmap["depth_layer"]
    for source in layer["observation_sources"].split():
        output = OUTPUTS[TOPICS[layer[source]["topic"]]]
        assert output.type.__name__ == layer[source]["data_type"]
    for source in monitor["observation_sources"]:
        assert OUTPUTS[TOPICS[monitor[source]["topic"]]].type.__name__ == "PointCloud2"
        assert monitor[source]["type"] == "pointcloud"


def test_what_obstacles_node_sends_passes_the_bounds_of_height(costmap, monitor):
    """Depth 30 % short or long, of the tallest and the lowest obstacle of a camera up to 1 m up."""
    layer = costmap["depth_layer"]
    bounds = [layer, *(layer[source] for source in layer["observation_sources"].split())]
    lows = [one["min_obstacle_height"] for one in bounds]
    highs = [one["max_obstacle_height"] for one in bounds]
    lows += [monitor[source]["min_height"] for source in monitor["observation_sources"]]
    highs += [monitor[source]["max_height"] for source in monitor["observation_sources"]]
    heights = [h + s * (up - h) for h in (0.2, 1.0) for s in (0.7, 1.3) for up in (0.1, 2.0)]
    assert max(lows) < min(heights) and max(heights) < min(highs)


def test_polygons_reach_beyond_what_the_picture_does_not_show(monitor):
    """A camera 0.5 m up, level, of 640x480 pixels and 75 deg across: what config/ is made for."""
    half = np.arctan(480 / 640 * np.tan(np.radians(75 / 2)))
    blind = 0.5 / np.tan(half)
    for name in monitor["polygons"]:
        reach = max(x for x, _ in yaml.safe_load(monitor[name]["points"]))
        assert reach > blind + 0.3
