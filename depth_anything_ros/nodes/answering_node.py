"""The life cycle of nodes that answer the images of one camera or several."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from lifecycle_msgs.msg import State, Transition
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from depth_anything_ros.nodes.bonds import Bond, form_bond
from depth_anything_ros.nodes.camera_stream import CameraStream, Frame, drop, newest_ns
from depth_anything_ros.nodes.depth_parameters import AnsweringParameters
from depth_anything_ros.nodes.extrinsics import TransformExtrinsics
from depth_anything_ros.nodes.guarded_services import guard_services
from depth_anything_ros.nodes.health import Health
from depth_anything_ros.nodes.intake import Intake, OneByOne
from depth_anything_ros.nodes.parameters import DeclaredParameters
from depth_anything_ros.nodes.qos import warn_of_idle_overrides
from depth_anything_ros.nodes.running import forward_logs
from depth_anything_ros.nodes.status import ERROR, OK, STALE, WARN, Said, dropped_for
from depth_anything_ros.nodes.steady_time import steady_timer
from depth_anything_ros.nodes.transitions import TransitionError, Transitions, Work
from depth_anything_ros.nodes.workers import Worker

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# How often a node looks who publishes images, and who wants its answers.
FOLLOW_S = 0.5

Parameters = TypeVar("Parameters", bound=AnsweringParameters)


@dataclass(frozen=True)
class Answering:
    """How a node answers while it is active.

    Attributes:
        answer: called in the worker with images that wait, each of another camera; it publishes by
            ``deliver``, and counts what it drops.
        image_type: the type of the images.
        image_topic: returns the resolved name of a camera's images.
        strategy: which images are answered, and with which others.
        overlaps: whether answers are published while the worker goes on to the next images.
    """

    answer: Callable[[Sequence[Frame]], None]
    image_type: type
    image_topic: Callable[[CameraStream], str]
    strategy: OneByOne = field(default_factory=OneByOne)
    overlaps: bool = False


class AnsweringNode(LifecycleNode, Generic[Parameters]):
    """A life cycle for cameras, whose images go by an ``Intake`` to a ``Worker``.

    A child says what is loaded, and how images are answered while the node is active.

    Args:
        name: the node's name.
        parameters: the dataclass of its parameters.
        task: what the node does, in a word, for the names of its threads.

    Attributes:
        streams: the cameras.
        intake: takes their images, and notices jumps of time.
        transitions: makes the transitions while the executor is free.
    """

    def __init__(
        self,
        name: str,
        parameters: type[Parameters],
        task: str,
        **kwargs: Any,  # noqa: ANN401 - rclpy's own arguments
    ) -> None:
        super().__init__(name, **kwargs)
        forward_logs(self)
        self._task = task
        self._active = self._was_active = False
        self._bond: Bond | None = None
        self._transforms: TransformExtrinsics | None = None
        self._declared = DeclaredParameters(self, parameters, lambda: self._active)
        guard_services(self, self._declared.as_declared)
        self.transitions = Transitions(self, self._before)
        self.streams = [CameraStream(self, name) for name in self._camera_names()]
        self._served: set[str] = set()
        self._answer_anew(OneByOne())
        self._timer = steady_timer(self, FOLLOW_S, self._follow)
        backwards = JumpThreshold(
            min_forward=None, min_backward=Duration(nanoseconds=-1), on_clock_change=False
        )
        self._jump_handle = self.get_clock().create_jump_callback(
            backwards, post_callback=self._on_clock_jump
        )

    @property
    def parameters(self) -> Parameters:
        """The parameters as they are now."""
        return self._declared.values

    # A child's part of the life cycle -------------------------------------------------------

    def _camera_names(self) -> Sequence[str]:
        """Return the names of the cameras; "" for the only one of a node."""
        return ("",)

    def _slow_part(self) -> Work | None:
        """Return what of ``_load`` takes long and leaves ROS alone, to be done before it."""
        return None

    def _load(self) -> Sequence[str] | None:
        """Make what answering takes, and return the names of the outputs; None on failure."""
        raise NotImplementedError

    def _is_current(self) -> bool:
        """Say whether what was loaded is still what the parameters ask for."""
        return True

    def _unload(self) -> None:
        """Give back what was loaded."""

    def _needs_transforms(self) -> bool:
        """Say whether tf2 is to be heard, by ``_transforms``; asked again while it is active."""
        return False

    def _start(self) -> Answering:
        """Make what is needed while the node is active, and say how images are answered."""
        raise NotImplementedError

    def _stop(self) -> None:
        """Undo ``_start``, were it half; the worker has ended."""

    def _restart(self, streams: Sequence[CameraStream] | None) -> None:
        """Drop what was kept of a time that has jumped away: of these cameras, or of all."""
        if self._transforms is not None:
            self._transforms.clear()

    # Lifecycle ------------------------------------------------------------------------------

    def _before(self, state_id: int) -> Work | None:
        """Return what is to be done in a thread before the callback of a transition."""
        activating = state_id == State.TRANSITION_STATE_ACTIVATING
        loads = state_id == State.TRANSITION_STATE_CONFIGURING
        if not loads and not (activating and not self._is_current()):
            return None
        self._give_back()  # two models at once may be more than there is memory for
        return self._slow_part()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load what answering takes and make the publishers."""
        return self._make()

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe; load anew what was changed while inactive."""
        if not self._is_current() and self._make() != SUCCESS:
            return FAILURE
        super().on_activate(state)
        self._served = set()
        self._hear_transforms()
        how = self._start()
        self._answer_anew(how.strategy)
        # Not once ROS is shut down: the last publisher may be gone.
        self._worker.start(partial(_answer_all, how.answer), how.overlaps, self.context.ok)
        for stream in self.streams:
            stream.subscribe(how.image_type, how.image_topic(stream), self.intake.receive)
        self._active = True
        if not self._was_active:
            self._was_active = True
            warn_of_idle_overrides(self)
        if not self.parameters.autostart:  # else nobody is there to bond with
            self._bond = form_bond(self)
        topics = ", ".join(stream.image_topic for stream in self.streams)
        self.get_logger().info(f"waiting for pictures on {topics}")
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and join the worker once its images are out, and unsubscribe."""
        self._end()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back what was loaded, and the publishers."""
        self._give_back()
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs."""
        self._end()
        self._give_back()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured, so that the node can be configured again."""
        self._end()
        self._give_back()
        return SUCCESS

    def destroy_node(self) -> None:
        """Stop loading, and the worker, before the node goes."""
        self.transitions.stop()
        self._end()
        super().destroy_node()

    def _make(self) -> TransitionCallbackReturn:
        outputs = self._load()
        if outputs is None:
            return FAILURE
        names = list(self._camera_names())
        for stream in self.streams:
            stream.outputs.destroy()
        if [stream.name for stream in self.streams] != names:
            self.streams = [CameraStream(self, name) for name in names]
            self._answer_anew(OneByOne())
        for stream in self.streams:
            stream.outputs.make(outputs)
        return SUCCESS

    def _give_back(self) -> None:
        for stream in self.streams:
            stream.outputs.destroy()
        self._unload()

    def _end(self) -> None:
        self._active = False
        if self._bond is not None:
            self._bond.end()
            self._bond = None
        for stream in self.streams:
            stream.unsubscribe()
        for frames in self._worker.stop():
            drop(frames, "deactivated")
        self.intake.strategy.clear(self.streams, "deactivated")
        self._stop()
        if self._transforms is not None:
            self._transforms.destroy()
            self._transforms = None
        for stream in self.streams:
            stream.lookup.clear()

    def _answer_anew(self, strategy: OneByOne) -> None:
        """Make what images go to; a worker is started once."""
        self._worker: Worker[Sequence[Frame]] = Worker(self._task, newest_ns)
        self.intake = Intake(
            self.streams,
            strategy,
            self._worker,
            lambda: self.parameters.sync.max_late_s,
            self._restart,
        )

    # While it is active ---------------------------------------------------------------------

    def deliver(self, publish: Callable[[], None]) -> None:
        """Publish what the worker has found, here or beside what it does next."""
        self._worker.deliver(publish)

    def _on_clock_jump(self, jump: TimeJump) -> None:
        if self.intake.is_jump(-jump.delta.nanoseconds):
            self.intake.restart_time("the clock")

    def _hear_transforms(self) -> None:
        """Hear tf2 from when it is needed on: each transform that comes takes time."""
        if self._transforms is None and self._needs_transforms():
            self._transforms = TransformExtrinsics(self)

    def _follow(self) -> None:
        """Follow what publishers offer, and say who wants answers where that has changed."""
        if not self._active:
            return
        self._hear_transforms()
        wanted = set()
        for stream in self.streams:
            stream.adapt()
            wanted |= {f"{stream.outputs.prefix}{name}" for name in stream.outputs.wanted()}
        if wanted != self._served:
            self._served = wanted
            names = ", ".join(sorted(wanted))
            self.get_logger().info(
                f"publishing {names}" if names else "idle: nobody subscribes to an output"
            )

    def state_of(self, stream: CameraStream, health: Health, ask: str) -> Said:
        """Return the level and the sentence where nothing can be answered, else OK and "".

        Args:
            stream: the camera.
            health: how it does now.
            ask: what to ask oneself where no image has come at all.
        """
        if not self._active:
            resting = "inactive" if stream.outputs.publishers else "not configured"
            return OK, self.transitions.under_way or resting
        if not self._worker.is_alive:
            return ERROR, "the worker has died, which is a bug: see the log; reactivate the node"
        topic = stream.image_topic
        if health.input_age_s is None:
            return STALE, f"no picture yet on {topic}: {ask}"
        if health.input_age_s > self.parameters.diagnostics.input_timeout_s:
            return STALE, f"no picture on {topic} for {health.input_age_s:.1f} s"
        return OK, ""

    def faults_of(
        self, stream: CameraStream, health: Health, ask: str, explained: Collection[str]
    ) -> Said:
        """Return what ``state_of`` does, or else that images are dropped, or that nobody listens.

        Args:
            stream: as there.
            health: as there.
            ask: as there.
            explained: reasons of drops that are no fault, or that the caller explains.
        """
        level, text = self.state_of(stream, health, ask)
        if text:
            return level, text
        faults = {r: n for r, n in health.new_drops.items() if r not in explained}
        if faults:
            return ERROR if "inference" in faults else WARN, dropped_for(stream, faults)
        if not stream.outputs.wanted():
            return OK, "idle: nobody subscribes to an output"
        return OK, ""


def _answer_all(
    answer: Callable[[Sequence[Frame]], None], waiting: Sequence[Sequence[Frame]]
) -> None:
    frames = [frame for frames in waiting for frame in frames]
    for frame in frames:
        frame.stream.wait_for_camera()
    answer(frames)


def autostart(node: AnsweringNode[Any]) -> None:
    """Configure and activate a node once it spins, unless its parameter autostart is off."""
    if node.parameters.autostart:
        node.executor.create_task(_start_up, node)


async def _start_up(node: AnsweringNode[Any]) -> None:
    change = node.transitions.change
    try:
        if await change(Transition.TRANSITION_CONFIGURE) == SUCCESS:
            await change(Transition.TRANSITION_ACTIVATE)
        else:
            node.get_logger().error(
                "not started: mend what the line above says and configure the node again "
                "(ros2 lifecycle set), or stop it with Ctrl-C"
            )
    except TransitionError as error:  # somebody else was faster
        node.get_logger().warning(f"autostart: {error}")
