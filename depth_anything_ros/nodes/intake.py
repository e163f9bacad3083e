"""From subscriptions to a worker: which images are answered, and with which others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from message_filters import ApproximateTimeSynchronizer, SimpleFilter

from depth_anything_ros.nodes.camera_stream import CameraStream, Frame, drop, stamp_of
from depth_anything_ros.nodes.threads import Mailbox

# Images of a camera that wait for those of slower ones: they are large.
_KEPT = 5
# The synchronizer takes stamps that differ by less than its slop; ours may differ by all of it.
_MORE_S = 1.5e-9


class OneByOne:
    """Every image is answered by itself."""

    def slot(self, stream: CameraStream) -> str:
        """Return the slot of the mailbox where a camera's images wait."""
        return stream.name

    def is_wanted(self, stream: CameraStream) -> bool:
        """Say whether a camera's images are to be answered."""
        return bool(stream.outputs.wanted())

    def add(self, frame: Frame) -> Sequence[Frame]:
        """Return what can be answered together now that an image has come, if anything."""
        return (frame,)

    def clear(self, streams: Iterable[CameraStream], reason: str) -> None:
        """Drop the images of cameras that wait for others."""


class SynchronisedRig(OneByOne):
    """The images of several cameras are answered together. Not for two threads at once.

    An ApproximateTimeSynchronizer finds, to each image that comes, the nearest of the other
    cameras. Where cameras are triggered together, a difference of less than half of their period
    can hold no wrong neighbour. Beside it: what it leaves out is counted, what is older than a set
    is dropped, and a camera that has fallen silent is waited for no more.

    Args:
        streams: the cameras.
        max_offset_s: returns how far apart the stamps of a set may be.
        timeout_s: returns after how long without an image a camera is silent.
    """

    def __init__(
        self,
        streams: Sequence[CameraStream],
        max_offset_s: Callable[[], float],
        timeout_s: Callable[[], float],
    ) -> None:
        self._streams = {stream.name: stream for stream in streams}
        self._max_offset_s, self._timeout_s = max_offset_s, timeout_s
        self._silent: set[str] = set()
        self._found: list[Frame] = []
        self._made_for: tuple[tuple[str, ...], float] = ((), 0.0)
        self._inputs: dict[str, SimpleFilter] = {}
        self._queues: dict[str, dict[int, Frame]] = {}

    def slot(self, stream: CameraStream) -> str:
        """Return the one slot of all."""
        return ""

    def is_wanted(self, stream: CameraStream) -> bool:
        """Say whether images of any camera are wanted: each helps the others."""
        return any(one.outputs.wanted() for one in self._streams.values())

    def add(self, frame: Frame) -> Sequence[Frame]:
        """Return the set that an image completes, in the order of the cameras, if it does."""
        if frame.stamp_ns < 0:  # which rclpy's Time is not
            frame.drop("unsynchronised")
            return ()
        name, waiting = frame.stream.name, [*self._waiting(), frame]
        self._silent.discard(name)
        self._found = []
        self._follow_changes()
        self._inputs[name].signalMessage(frame)
        for used in self._found:
            queue = self._queues[used.stream.name]
            for stamp_ns in [one for one in queue if one < used.stamp_ns]:
                del queue[stamp_ns]
        kept = {*self._waiting(), *self._found}
        left_out = [one for one in waiting if one not in kept]
        drop(left_out, "unsynchronised")
        if left_out and not self._found:  # waited in vain
            self._find_silent()
        return self._found

    def _follow_changes(self) -> None:
        """Make the synchronizer anew where other cameras are awaited, or the offset is another."""
        names = tuple(name for name in self._streams if name not in self._silent)
        made_for = (names, self._max_offset_s())
        if made_for == self._made_for:
            return
        waiting = sorted(self._waiting(), key=lambda one: one.stamp_ns)
        self._made_for, self._inputs = made_for, {name: SimpleFilter() for name in names}
        synchronizer = ApproximateTimeSynchronizer(
            list(self._inputs.values()), _KEPT, made_for[1] + _MORE_S
        )
        synchronizer.registerCallback(self._take)
        self._queues = dict(zip(names, synchronizer.queues, strict=True))
        for frame in waiting:
            if frame.stream.name in self._inputs:
                self._inputs[frame.stream.name].signalMessage(frame)

    def _take(self, *frames: Frame) -> None:
        self._found = list(frames)  # no more: the synchronizer holds its lock

    def _find_silent(self) -> None:
        """Await only cameras that are alive, if two are left."""
        names, timeout_s = set(self._streams), self._timeout_s()
        alive = {one.name for one in self._streams.values() if one.health.is_alive(timeout_s)}
        self._silent = names - alive if len(alive) > 1 else set()

    def _waiting(self) -> list[Frame]:
        return [frame for queue in self._queues.values() for frame in queue.values()]

    def clear(self, streams: Iterable[CameraStream], reason: str) -> None:
        """Drop the images of cameras that wait for others."""
        for stream in streams:
            queue = self._queues.get(stream.name, {})
            drop(queue.values(), reason)
            queue.clear()


class Intake:
    """Take the images of all cameras, the newest of each, to a mailbox; notice jumps of time.

    Args:
        streams: the cameras.
        strategy: which images are answered, and with which others.
        mailbox: where they wait for a worker; None where nobody answers.
        max_late_s: returns how far back stamps and the clock may go without a jump of time.
        on_restart: called after a jump of time with the cameras whose time it is; all where None.
    """

    def __init__(
        self,
        streams: Sequence[CameraStream],
        strategy: OneByOne,
        mailbox: Mailbox[Sequence[Frame]],
        max_late_s: Callable[[], float],
        on_restart: Callable[[Sequence[CameraStream] | None], None],
    ) -> None:
        self.strategy = strategy
        self._streams, self._mailbox = streams, mailbox
        self._max_late_s, self._on_restart = max_late_s, on_restart

    def receive(self, stream: CameraStream, message: Any) -> None:  # noqa: ANN401 - any image
        """Take an image of a camera."""
        late_ns = stream.late_ns(stamp_of(message))
        if self.is_jump(late_ns):
            self.restart_time(f"the stamps on {stream.image_topic}", [stream])
        elif late_ns > 0:
            stream.say_once(
                "late",
                f"{stream.image_topic}: pictures come out of order, by {late_ns * 1e-9:.3f} s; "
                "such a late one is answered unless a newer one waits. See to the driver's stamps; "
                "beyond sync.max_late_s it would be a jump of time",
            )
        frame = stream.receive(message)
        if not self.strategy.is_wanted(stream):
            frame.drop("no_subscriber")
            return
        frames = self.strategy.add(frame)
        if frames:
            left = self._mailbox.put(self.strategy.slot(stream), frames)
            drop(left, "late" if left is frames else "newer_frame")

    def is_jump(self, back_ns: int) -> bool:
        """Say whether time that is back by so much has jumped; what is back by less is late."""
        return back_ns > round(self._max_late_s() * 1e9)

    def restart_time(self, what: str, streams: Sequence[CameraStream] | None = None) -> None:
        """Start anew after a backward jump (a bag that loops, a simulation that is reset).

        Args:
            what: what jumped.
            streams: the cameras whose time it is; all where None.
        """
        of_jump = self._streams if streams is None else streams
        for stream in of_jump:
            stream.restart_time()
            drop(self._mailbox.discard(self.strategy.slot(stream)), "clock_jump")
            stream.say_once("clock_jump", f"{what} jumped backwards; going on from there")
        self.strategy.clear(of_jump, "clock_jump")
        self._on_restart(streams)
