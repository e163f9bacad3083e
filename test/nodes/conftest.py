"""A ROS domain of its own for each run of the tests, and the large-message transport."""

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
