"""A ROS domain of its own for each run of the tests, and the large-message transport."""

import logging
import os
from pathlib import Path

import pytest

PROFILE = Path(__file__).resolve().parents[2] / "config" / "fastdds_large_messages.xml"
os.environ["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
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
