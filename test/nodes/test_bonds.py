"""Bonds with a lifecycle manager, of a node in a process of its own."""

from pathlib import Path

import pytest
from lifecycle_msgs.msg import Transition
from ros_harness import Camera, NodeProcess

from depth_anything_ros.nodes.bonds import form_bond

NAMESPACE = "/robot/anchored"
NODE = f"{NAMESPACE}/obstacles_node"


@pytest.fixture
def with_bondpy(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "with_bondpy"), prepend=":")


def started(logs, name, autostart):
    # As anchored_depth.launch.py remaps it: the manager is in the namespace /robot.
    arguments = ("-r", "bond:=/robot/bond")
    parameters = {"autostart": autostart, "ground.camera_height_m": 0.5}
    return NodeProcess("obstacles_node", parameters, arguments, NAMESPACE, logs / name)


def test_a_managed_node_bonds_while_it_is_active(logs, with_bondpy):
    with started(logs, "managed.log", False) as process:
        manager = Camera(NAMESPACE, image_topic="depth", outputs=())
        try:
            for _ in range(2):
                assert manager.change_state(NODE, Transition.TRANSITION_CONFIGURE)
                assert "bond" not in process.log
                assert manager.change_state(NODE, Transition.TRANSITION_ACTIVATE)
                process.wait_for_log("bond anchored/obstacles_node on /robot/bond")
                assert "anchored/obstacles_node ends" not in process.log
                assert manager.change_state(NODE, Transition.TRANSITION_DEACTIVATE)
                process.wait_for_log("bond anchored/obstacles_node ends")
                assert manager.change_state(NODE, Transition.TRANSITION_CLEANUP)
                process.forget_log()
        finally:
            manager.close()
    assert "Traceback" not in process.log_path.read_text()


def test_one_that_starts_itself_does_not(logs, with_bondpy):
    with started(logs, "alone.log", True) as process:
        process.wait_for_log("waiting for pictures")
    assert "bond" not in process.log and "Traceback" not in process.log


def test_without_bondpy_there_is_none():
    assert form_bond(None) is None
