"""The transitions of a lifecycle node, made while its other services go on answering."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

from depth_anything_ros.core.errors import DepthAnythingError, printable, quoted
from depth_anything_ros.nodes.threads import Background

SUCCESS, ERROR = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.ERROR

Work = Callable[[], None]
# Takes the state in between (configuring, activating …, of lifecycle_msgs/State).
Prepare = Callable[[int], "Work | None"]


class TransitionError(DepthAnythingError):
    """A transition that is not possible in the state that the node is in."""

    reason = "transition"


class Transitions:
    """Make the transitions of a node that are asked for, one at a time.

    rclpy's own service holds the executor while a callback runs, and raises where a transition is
    not possible, which ends the node. Here a callback's long part runs before it in a thread, with
    the node in the state between (configuring), and what is not possible is refused.

    Args:
        node: whose service change_state is answered by this from now on.
        prepare: returns what is to be done in a thread before the callback of the state in between;
            None where nothing takes long. It is called by the executor.
    """

    def __init__(self, node: LifecycleNode, prepare: Prepare) -> None:
        self._node, self._prepare = node, prepare
        self._machine = node._state_machine  # there is no public name
        self._callbacks: dict[int, Callable[[LifecycleState], TransitionCallbackReturn]] = {
            State.TRANSITION_STATE_CONFIGURING: node.on_configure,
            State.TRANSITION_STATE_CLEANINGUP: node.on_cleanup,
            State.TRANSITION_STATE_ACTIVATING: node.on_activate,
            State.TRANSITION_STATE_DEACTIVATING: node.on_deactivate,
            State.TRANSITION_STATE_SHUTTINGDOWN: node.on_shutdown,
            State.TRANSITION_STATE_ERRORPROCESSING: node.on_error,
        }
        self._since: float | None = None
        self._background: Background | None = None
        service = node._service_change_state
        service.callback = self._on_change_state
        # Of its own: a request that comes while another is being answered is to be refused at once.
        service.callback_group = ReentrantCallbackGroup()
        service.callback_group.add_entity(service)

    @property
    def under_way(self) -> str:
        """What is being done and for how long; "" where nothing is."""
        if self._since is None:
            return ""
        return f"{self._state().label} for {time.monotonic() - self._since:.0f} s"

    async def change(self, transition_id: int, label: str = "") -> TransitionCallbackReturn:
        """Make a transition.

        Args:
            transition_id: of lifecycle_msgs/Transition.
            label: of one that is possible now, instead, unless it is empty.

        Returns:
            What its callback does.

        Raises:
            TransitionError: where it is not possible now; nothing has changed then.
        """
        transition_id = self._possible(transition_id, label)
        start = self._state()
        self._since = time.monotonic()
        try:
            self._machine.trigger_transition_by_id(transition_id, True)
            code = await self._made(start)
            self._machine.trigger_transition_by_label(code.to_label(), True)
            if code == ERROR:  # the state is now errorprocessing
                self._machine.trigger_transition_by_label(self._call(start).to_label(), True)
            return code
        finally:
            self._since = None

    def stop(self) -> None:
        """End what is being prepared, if anything."""
        if self._background is not None:
            self._background.stop()

    def _state(self) -> LifecycleState:
        state_id, label = self._machine.current_state
        return LifecycleState(state_id=state_id, label=label)

    def _possible(self, transition_id: int, label: str) -> int:
        wanted = quoted(label) if label else str(transition_id)
        if self.under_way:
            raise TransitionError(
                f"transition {wanted} is not possible: the node is {self.under_way}; ask again "
                "when that is done"
            )
        possible = {one[0]: one[1] for one in self._machine.available_transitions}
        for number, name in possible.items():
            if name == label if label else number == transition_id:
                return int(number)
        listed = ", ".join(f"{name} ({number})" for number, name in possible.items())
        raise TransitionError(
            f"transition {wanted} is not possible in the state {self._state().label}, but "
            f"{listed or 'none'}"
        )

    async def _made(self, start: LifecycleState) -> TransitionCallbackReturn:
        try:
            work = self._prepare(self._state().state_id)
            if work is not None:
                # The executor looks at it when it next wakes, run_node's ten times a second.
                future = Future(executor=self._node.executor)
                done = partial(future.set_result, None)
                self._background = Background("model_loading", work, done)
                await future
                self._background = None
        except Exception as error:  # no thread to be had, say: no state in between is to last
            self._node.get_logger().error(f"{self._state().label} failed: {printable(error)}")
            return ERROR
        return self._call(start)

    def _call(self, start: LifecycleState) -> TransitionCallbackReturn:
        try:
            return self._callbacks[self._state().state_id](start)
        except Exception:  # logged where it was raised; the state machine has a state for it
            return ERROR

    async def _on_change_state(
        self, request: ChangeState.Request, response: ChangeState.Response
    ) -> ChangeState.Response:
        try:
            asked = request.transition
            response.success = await self.change(asked.id, asked.label) == SUCCESS
        except TransitionError as error:
            self._node.get_logger().warning(f"change_state refused: {error}")
            response.success = False
        except Exception as error:  # of rcl's state machine: no request is to end the node
            self._node.get_logger().error(f"change_state failed: {error}")
            response.success = False
        return response
