"""What nodes that answer pictures have in common: a life cycle, a worker and diagnostics."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from rclpy.clock import JumpThreshold, TimeJump
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from depth_anything_ros.core.errors import DepthAnythingError, first_line, printable, trace
from depth_anything_ros.core.memory import SHORT_OF_MEMORY, is_short_of_memory
from depth_anything_ros.nodes.guarded_services import guard_services
from depth_anything_ros.nodes.hand_over import HandOver
from depth_anything_ros.nodes.health import (
    ERROR,
    OK,
    STALE,
    WARN,
    Health,
    diagnostic_array,
    diagnostic_status,
    health_values,
)
from depth_anything_ros.nodes.mailbox import Mailbox
from depth_anything_ros.nodes.outlet import Outlet
from depth_anything_ros.nodes.parameters import DeclaredParameters
from depth_anything_ros.nodes.picture_stream import Frame, PictureStream, stamp_of
from depth_anything_ros.nodes.qos import warn_of_idle_overrides
from depth_anything_ros.nodes.running import forward_logs
from depth_anything_ros.nodes.steady_time import ClockWatch, steady_timer
from depth_anything_ros.nodes.transitions import TransitionError, Transitions, Work

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE
# Drops that are the design at work, not a fault.
EXPECTED_DROPS = frozenset({"newer_frame", "late", "no_subscriber", "deactivated"})
# How often a node looks who publishes pictures, and who wants its answers.
LOOK_AROUND_S = 0.5

Parameters = TypeVar("Parameters")
# Takes the pictures that wait, each of another camera, the longest waiting first.
Answer = Callable[[Sequence[Frame]], None]
Callback = Callable[[Any, LifecycleState], TransitionCallbackReturn]


def logged(transition: Callback) -> Callback:
    """Log what a transition raises: rclpy turns it into ERROR without a word."""

    @functools.wraps(transition)
    def run(node: LifecycleNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:
            node.get_logger().error(f"{transition.__name__} failed: {printable(error)}")
            raise

    return run


class AnsweringNode(LifecycleNode, Generic[Parameters]):
    """Answer every picture of one camera or several, or say why not.

    Subscriptions put the newest picture of each camera in a mailbox; one worker thread takes all
    that wait, answers and publishes; or leaves publishing to a second thread.
    A child loads what it needs, says what answers pictures, subscribes, and judges how it does.

    Args:
        name: of the node.
        parameters: the dataclass of its parameters.
        task: what the node does, in a word, for the name of its status.
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
        self._declared = DeclaredParameters(self, parameters, lambda: self._active)
        guard_services(self, self._declared.as_declared)
        self._transitions = Transitions(self, self._before)
        self._streams = [PictureStream(self, name) for name in self._cameras()]
        self._served: set[str] = set()
        self._mailbox: Mailbox[Sequence[Frame]] = Mailbox(_newest_ns)
        self._worker: threading.Thread | None = None
        self._hand_over: HandOver | None = None
        self._diagnostics = Outlet(self, self.create_publisher(DiagnosticArray, "/diagnostics", 1))
        self._clock_watch = ClockWatch(self)
        # Not of the node's clock: simulated time may stand still.
        self._timer = steady_timer(self, 1.0, self._publish_diagnostics)
        self._look_timer = steady_timer(self, LOOK_AROUND_S, self._look_around)
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

    @property
    def transitions(self) -> Transitions:
        """What makes its transitions while the executor is free."""
        return self._transitions

    # For a child to fill in -----------------------------------------------------------------

    def _slow_part(self) -> Work | None:
        """Return what of ``_load`` takes long and leaves ROS alone, to be done before it."""
        return None

    def _load(self) -> TransitionCallbackReturn:
        """Make what answering takes, the publishers included."""
        raise NotImplementedError

    def _is_current(self) -> bool:
        """Say whether what was loaded is still what the parameters ask for."""
        return True

    def _cameras(self) -> Sequence[str]:
        """Return the names of the cameras; "" for the only one of a node."""
        return ("",)

    def _prepare(self) -> Answer:
        """Return what the worker calls with pictures; it publishes, and counts what it drops."""
        raise NotImplementedError

    def _overlaps(self) -> bool:
        """Say whether answers are published while the worker goes on to the next pictures."""
        return False

    def _image_source(self, stream: PictureStream) -> tuple[type, str]:
        """Return the type of the pictures, and the resolved name of their topic."""
        raise NotImplementedError

    def _is_wanted(self, stream: PictureStream) -> bool:
        """Say whether a picture is to be answered."""
        return bool(stream.wanted())

    def _max_late_s(self) -> float:
        """Return how far back stamps and the clock may go without a jump of time."""
        raise NotImplementedError

    def _slot(self, stream: PictureStream) -> str:
        """Return the slot of the mailbox where a camera's pictures wait."""
        return stream.name

    def _gather(self, frame: Frame) -> Sequence[Frame]:
        """Return what can be answered together now that a picture has come, if anything."""
        return (frame,)

    def _subscribe(self) -> None:
        """Subscribe to what goes with the pictures beside camera_info."""

    def _unsubscribe(self) -> None:
        """Undo what ``_subscribe`` did, were it half."""

    def _forget(self, streams: Sequence[PictureStream] | None) -> None:
        """Drop what was kept of a time that has jumped away: of these streams, or of all."""

    def _hardware(self) -> str:
        """Return what the status names as the hardware."""
        return ""

    def _facts(self) -> dict[str, str]:
        """Return the key-value pairs of a status that are the child's own."""
        raise NotImplementedError

    def _judge(self, stream: PictureStream, health: Health) -> tuple[bytes, str]:
        """Return the level and the sentence that say how the node does by a camera."""
        raise NotImplementedError

    # Lifecycle ------------------------------------------------------------------------------

    def _before(self, state_id: int) -> Work | None:
        """Return what is to be done in a thread before the callback of a transition."""
        activating = state_id == State.TRANSITION_STATE_ACTIVATING
        loads = state_id == State.TRANSITION_STATE_CONFIGURING
        if not loads and not (activating and not self._is_current()):
            return None
        self._unload()  # two models at once may be more than there is memory for
        return self._slow_part()

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load what answering takes and make the publishers."""
        return self._load()

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the worker and subscribe; load anew what was changed while inactive."""
        if not self._is_current() and self._load() != SUCCESS:
            return FAILURE
        super().on_activate(state)
        self._served = set()
        self._mailbox = Mailbox(_newest_ns)
        self._hand_over = HandOver(f"{self._task}_publisher") if self._overlaps() else None
        self._worker = threading.Thread(
            target=self._work,
            args=(self._mailbox, self._prepare()),
            name=f"{self._task}_worker",
            daemon=True,
        )
        self._worker.start()
        self._subscribe()
        for stream in self._streams:
            stream.subscribe(*self._image_source(stream), self._on_image)
        self._active = True
        if not self._was_active:
            self._was_active = True
            warn_of_idle_overrides(self)
        topics = ", ".join(stream.image_topic for stream in self._streams)
        self.get_logger().info(f"waiting for pictures on {topics}")
        return SUCCESS

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and join the worker once its pictures are out, and unsubscribe."""
        self._stop()
        return super().on_deactivate(state)

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Give back what was loaded, and the publishers."""
        self._unload()
        return SUCCESS

    @logged
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop whatever runs."""
        self._stop()
        self._unload()
        return SUCCESS

    @logged
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Return to unconfigured, so that the node can be configured again."""
        self._stop()
        self._unload()
        return SUCCESS

    def destroy_node(self) -> None:
        """Stop loading, and the worker, before the node goes."""
        self._transitions.stop()
        self._stop()
        super().destroy_node()

    def _make_outputs(self, types: dict[str, type]) -> None:
        """Make the publishers of every camera, after those of before are given back."""
        names = self._cameras()
        if [stream.name for stream in self._streams] != list(names):
            self._streams = [PictureStream(self, name) for name in names]
        for stream in self._streams:
            stream.make_outputs(types)

    def _unload(self) -> None:
        for stream in self._streams:
            stream.destroy_outputs()

    def _stop(self) -> None:
        self._active = False
        for stream in self._streams:
            stream.unsubscribe()
        for frames in self._mailbox.close():
            drop(frames, "deactivated")
        if self._worker is not None:
            self._worker.join()
            self._worker = None
        if self._hand_over is not None:
            self._hand_over.close()
            self._hand_over = None
        self._unsubscribe()
        for stream in self._streams:
            stream.lookup.clear()

    # Input ----------------------------------------------------------------------------------

    def _on_image(self, stream: PictureStream, message: Any) -> None:  # noqa: ANN401 - any picture
        late_ns = stream.late_ns(stamp_of(message))
        if self._is_jump(late_ns):
            self._restart_time(f"the stamps on {stream.image_topic}", [stream])
        elif late_ns > 0:
            stream.say_once(
                "late",
                f"{stream.image_topic}: pictures come out of order, by {late_ns * 1e-9:.3f} s; "
                "such a late one is answered unless a newer one waits. See to the driver's stamps; "
                "beyond sync.max_late_s it would be a jump of time",
            )
        frame = stream.receive(message)
        if not self._is_wanted(stream):
            stream.health.dropped("no_subscriber")
            return
        frames = self._gather(frame)
        if frames:
            left = self._mailbox.put(self._slot(stream), frames)
            drop(left, "late" if left is frames else "newer_frame")

    def _on_clock_jump(self, jump: TimeJump) -> None:
        if self._is_jump(-jump.delta.nanoseconds):
            self._restart_time("the clock")

    def _is_jump(self, back_ns: int) -> bool:
        """Say whether time that is back by so much has jumped; what is back by less is late."""
        return back_ns > round(self._max_late_s() * 1e9)

    def _restart_time(self, what: str, streams: Sequence[PictureStream] | None = None) -> None:
        """Start anew after a backward jump (a bag that loops, a simulation that is reset).

        Args:
            what: that jumped.
            streams: whose time it is; all where None.
        """
        for stream in self._streams if streams is None else streams:
            stream.restart_time()
            drop(self._mailbox.discard(self._slot(stream)), "clock_jump")
            stream.say_once("clock_jump", f"{what} jumped backwards; going on from there")
        self._forget(streams)

    # Worker ---------------------------------------------------------------------------------

    def _work(self, mailbox: Mailbox[Sequence[Frame]], answer: Answer) -> None:
        # Not once ROS is shut down: the last publisher may be gone.
        while (waiting := mailbox.take()) is not None and self.context.ok():
            frames = [frame for frames in waiting for frame in frames]
            for frame in frames:
                frame.stream.wait_for_camera()
            answer(frames)

    def _deliver(self, publish: Callable[[], None]) -> None:
        """Publish what the worker has found, here or beside what it does next."""
        if self._hand_over is None:
            publish()
        else:
            self._hand_over.give(publish)

    def _answer_each(self, answer_one: Callable[[Frame], None], frames: Sequence[Frame]) -> None:
        """Answer pictures one by one, and count them."""
        for frame in frames:
            with self._counted(frame):
                answer_one(frame)
                frame.stream.health.answered(frame.since)

    @contextmanager
    def _counted(self, frame: Frame) -> Iterator[None]:
        """Count a picture as dropped where the block raises, and say why; then go on."""
        stream = frame.stream
        try:
            yield
        except DepthAnythingError as error:
            stream.picture_dropped(error.reason, str(error))
        except Exception as error:  # out of memory, a lost device, or a bug: go on
            if is_short_of_memory(error):
                stream.picture_dropped("out_of_memory", SHORT_OF_MEMORY)
            elif self.context.ok():  # otherwise shut down while publishing
                why = f"{type(error).__name__}: {first_line(error)}"
                stream.picture_dropped("inference", why, trace())

    # Diagnostics ----------------------------------------------------------------------------

    def _look_around(self) -> None:
        if not self._active:
            return
        wanted = set()
        for stream in self._streams:
            stream.adapt()
            wanted |= {stream.topic(name) for name in stream.wanted()}
        if wanted != self._served:
            self._served = wanted
            names = ", ".join(sorted(wanted))
            self.get_logger().info(
                f"publishing {names}" if names else "idle: nobody subscribes to an output"
            )

    def _publish_diagnostics(self) -> None:
        statuses = [self._status(stream) for stream in self._streams]
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostic_array(stamp, statuses))

    def _status(self, stream: PictureStream) -> DiagnosticStatus:
        health = stream.health.look()
        level, message = self._judge(stream, health)
        if (held_up := stream.held_up() or self._diagnostics.problem()) and level != ERROR:
            level, message = WARN, held_up  # and no wonder if no picture came in
        if self._clock_watch.problem:
            level = WARN if level == OK else level
            message = f"{message}; {self._clock_watch.problem}"
        values = {
            **self._facts(),
            "clock jumps": str(stream.clock_jumps),
            **health_values(health),
        }
        name = f"{self.get_fully_qualified_name().lstrip('/')}: {self._task}"
        name += f" of {stream.name}" if stream.name else ""
        return diagnostic_status(level, name, message, self._hardware(), values)

    def _judge_running(
        self, stream: PictureStream, health: Health, timeout_s: float, ask: str
    ) -> tuple[bytes, str]:
        """Return the level and the sentence where nothing can be answered, else OK and "".

        Args:
            stream: of the camera.
            health: of now.
            timeout_s: without a picture for this long, the input is stale.
            ask: what to ask oneself where no picture has come at all.
        """
        if not self._active:
            resting = "inactive" if stream.outputs else "not configured"
            return OK, self._transitions.under_way or resting
        if self._worker is None or not self._worker.is_alive():
            return ERROR, "the worker has died, which is a bug: see the log; reactivate the node"
        topic = stream.image_topic
        if health.input_age_s is None:
            return STALE, f"no picture yet on {topic}: {ask}"
        if health.input_age_s > timeout_s:
            return STALE, f"no picture on {topic} for {health.input_age_s:.1f} s"
        return OK, ""


def _newest_ns(frames: Sequence[Frame]) -> int:
    return max(stamp_of(frame.message) for frame in frames)


def drop(frames: Sequence[Frame] | None, reason: str) -> None:
    """Count pictures, if any, that get no answer."""
    for frame in frames or ():
        frame.stream.health.dropped(reason)


def dropped_for(stream: PictureStream, drops: Mapping[str, int]) -> str:
    """Return how many pictures were dropped for which reason, and why the last of each was."""
    listed = ", ".join(f"{count} {reason}" for reason, count in sorted(drops.items()))
    why = [stream.faults[reason] for reason in sorted(drops) if reason in stream.faults]
    return "; ".join([f"pictures dropped: {listed}", *why])


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
