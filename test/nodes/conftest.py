"""The large-message transport, and one depth_node for many tests."""

import logging
import os
from pathlib import Path

import pytest
from ros_harness import SMALL, Camera, NodeProcess

from depth_anything_ros.nodes.depth_parameters import DepthParameters
from depth_anything_ros.nodes.parameters import specs

CONFIG = Path(__file__).resolve().parents[2] / "config"
PROFILE = CONFIG / "fastdds_large_messages.xml"
os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] = str(PROFILE)
os.environ["FASTRTPS_DEFAULT_PROFILES_FILE"] = str(PROFILE)


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    os.environ["ROS_LOG_DIR"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def package_logger():
    """A node in the test's own process takes the package's logger: the next test has it back."""
    logger = logging.getLogger("depth_anything_ros")
    before = logger.level, logger.propagate, logger.handlers
    yield
    logger.setLevel(before[0])
    logger.propagate, logger.handlers = before[1:]


@pytest.fixture(scope="module")
def shared_camera(logs):
    """A depth_node and the camera that asks it."""
    config = ("--params-file", str(CONFIG / "depth.yaml"))
    with NodeProcess("depth_node", SMALL, config, log=logs / "depth_node.log") as process:
        process.wait_for_log("waiting for pictures on /image")
        camera = Camera(process=process).connected()
        yield camera
        camera.close()
    assert process.stop() == 0


@pytest.fixture
def camera(shared_camera):
    """The camera; the node has the parameters of its start again afterwards."""
    yield shared_camera
    defaults = {spec.name: spec.default for spec in specs(DepthParameters)}
    shared_camera.restore("/depth_node", defaults | SMALL)
