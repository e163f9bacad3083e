"""Transitions that are prepared in a thread, of a node in the test's own process."""

import itertools
import threading
import time
from types import SimpleNamespace

import pytest
import rclpy
from depth_with_truth import DepthNodeWithTruth
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.parameter import Parameter
from ros_harness import PATIENCE_S, Camera, wait_until

from depth_anything_ros.nodes.guarded_services import guard_services
from depth_anything_ros.nodes.transitions import Transitions
from depth_anything_ros.nodes.workers import Background

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)
# A service of the test before, of the same name, may be found for a while.
NAMESPACES = (f"/transitions_{number}" for number in itertools.count())


class Slow(LifecycleNode):
    """Its configuration waits for the test, and ends as the test says."""

    def __init__(self, context, namespace):
        super().__init__("slow", namespace=namespace, context=context)
        self.go_on = threading.Event()
        self.threads = []
        self.outcome = SUCCESS
        guard_services(self, list)
        self.transitions = Transitions(self, self.before)

    def before(self, state_id):
        return self.wait if state_id == State.TRANSITION_STATE_CONFIGURING else None

    def wait(self):
        self.threads.append(threading.current_thread())
        assert self.go_on.wait(PATIENCE_S)

    def on_configure(self, state):
        self.threads.append(threading.current_thread())
        if self.outcome is None:
            raise RuntimeError("on purpose")
        return self.outcome


@pytest.fixture
def slow(logs):
    context = rclpy.Context()
    rclpy.init(context=context)
    namespace = next(NAMESPACES)
    node = Slow(context, namespace)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    ended = threading.Event()

    def spin():
        while not ended.is_set():
            executor.spin_once(0.05)

    thread = threading.Thread(target=spin)
    thread.start()
    client = Camera(namespace, outputs=())
    name = f"{namespace}/slow"
    yield SimpleNamespace(node=node, name=name, client=client, executor=thread)
    node.go_on.set()
    client.close()
    ended.set()
    thread.join()
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def configure(slow):
    """Ask for it, and return the future of the answer and a function that gives the client back."""
    client = slow.client.node.create_client(ChangeState, f"{slow.name}/change_state")
    assert client.wait_for_service(timeout_sec=PATIENCE_S)
    request = ChangeState.Request()
    request.transition.id = Transition.TRANSITION_CONFIGURE
    future = client.call_async(request)
    wait_until(lambda: slow.node.threads, what="the work")
    return future


@pytest.mark.parametrize(
    ("outcome", "succeeds", "state"),
    [
        (SUCCESS, True, "inactive"),
        (FAILURE, False, "unconfigured"),
        (ERROR, False, "finalized"),  # rclpy's own on_error of a node without entities: see below
        (None, False, "finalized"),
    ],
)
def test_services_answer_while_a_transition_is_prepared(slow, outcome, succeeds, state):
    slow.node.outcome = outcome
    future = configure(slow)

    assert slow.client.state(slow.name) == "configuring"
    assert slow.client.get_parameter(slow.name, "use_sim_time").bool_value is False
    assert "configuring for " in slow.node.transitions.under_way
    for number in (*range(9), 10, 11, 12):  # 10 to 12 are rcl's own: success, failure, error
        assert not slow.client.change_state(slow.name, number)
    assert slow.client.state(slow.name) == "configuring" and not future.done()

    slow.node.go_on.set()
    wait_until(future.done, what="the answer")
    assert future.result().success is succeeds
    assert slow.client.state(slow.name) in (state, "unconfigured")
    assert slow.node.transitions.under_way == ""
    prepared, called = slow.node.threads
    assert prepared not in (slow.executor, threading.main_thread()) and called is slow.executor


def test_a_preparation_that_cannot_begin_leaves_no_state_in_between(slow):
    def fail(state_id):
        raise RuntimeError("can't start new thread")

    slow.node.transitions._prepare = fail
    slow.node.go_on.set()
    assert not slow.client.change_state(slow.name, Transition.TRANSITION_CONFIGURE)
    assert slow.client.state(slow.name) in ("finalized", "unconfigured")
    assert slow.node.transitions.under_way == ""


def test_a_caller_in_process_gets_success_or_failure(logs):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = DepthNodeWithTruth(context=context, namespace="/in_process")
    node.set_parameters([Parameter("model", value="truth")])
    assert (node.trigger_configure(), node.trigger_activate()) == (SUCCESS, SUCCESS)
    assert (node.trigger_deactivate(), node.trigger_cleanup()) == (SUCCESS, SUCCESS)
    node.set_parameters([Parameter("model", value="no_such")])
    assert node.trigger_configure() == FAILURE
    node.set_parameters([Parameter("model", value="truth")])
    assert node.trigger_configure() == SUCCESS
    node.destroy_node()
    context.try_shutdown()


def test_a_thread_is_ended_as_by_ctrl_c_and_says_nothing_more():
    done, begun, caught = [], threading.Event(), []

    def work():
        begun.set()
        try:
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt as error:
            caught.append(error)
            raise

    background = Background("work", work, lambda: done.append(True))
    assert begun.wait(PATIENCE_S)
    background.stop()
    wait_until(lambda: caught, what="the end")
    wait_until(lambda: not background.is_alive, what="the thread's end")
    background.stop()  # once more does nothing
    assert not done


def test_work_that_has_ended_is_told():
    told = threading.Event()
    background = Background("work", lambda: None, told.set)
    assert told.wait(PATIENCE_S)
    background.stop()
