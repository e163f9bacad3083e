"""Which images are answered, with which others, and what is a jump of time."""

import pytest
import rclpy
from hypothesis import given, settings
from hypothesis import strategies as st
from message_filters import SimpleFilter, TimeSynchronizer
from sensor_msgs.msg import CameraInfo, Image

from depth_anything_ros.nodes.camera_stream import CameraStream, newest_ns
from depth_anything_ros.nodes.intake import Intake, OneByOne, SynchronisedRig
from depth_anything_ros.nodes.threads import Mailbox

NAMES = ("front", "left", "right")


@pytest.fixture(scope="module")
def node(logs):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.lifecycle.LifecycleNode("intake", context=context, namespace="/intake")
    yield node
    node.destroy_node()
    context.try_shutdown()


def image(stamp_ns):
    message = Image(height=1, width=1, encoding="32FC1", step=4)
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


class Rig:
    """Three cameras whose images are named by their camera and stamp (ns)."""

    def __init__(self, node, offset_ns=10):
        self.streams = {name: CameraStream(node, name) for name in NAMES}
        self.offset_ns, self.timeout_s = offset_ns, 1e9
        self.rig = SynchronisedRig(
            list(self.streams.values()), lambda: self.offset_ns * 1e-9, lambda: self.timeout_s
        )

    def add(self, camera, stamp):
        """Add an image, and name those of the set that it completes."""
        found = self.rig.add(self.streams[camera].receive(image(stamp)))
        return [f"{frame.stream.name[0]}{frame.stamp_ns}" for frame in found]

    def drops(self, reason="unsynchronised"):
        """Count what was left out of each camera."""
        return [stream.health.look().drops.get(reason, 0) for stream in self.streams.values()]


@pytest.fixture
def rig(node):
    return Rig(node)


class TestSynchronisedRig:
    def test_a_set_is_there_with_its_last_image_in_the_order_of_the_cameras(self, rig):
        assert rig.add("right", 100) == rig.add("left", 103) == []
        assert rig.add("front", 98) == ["f98", "l103", "r100"]
        assert rig.add("front", 99) == []  # the others were taken
        assert rig.drops() == [0, 0, 0]

    @pytest.mark.parametrize(("offset_ns", "is_set"), [(0, False), (9, False), (10, True)])
    def test_stamps_may_differ_by_all_of_the_offset(self, node, offset_ns, is_set):
        rig = Rig(node, offset_ns)
        rig.add("front", 100), rig.add("left", 105)
        assert bool(rig.add("right", 110)) == is_set
        rig.offset_ns = 10  # from now on, and of what waits
        assert bool(rig.add("right", 109)) == (not is_set)

    def test_each_image_takes_the_nearest_and_what_is_older_is_left_out(self, rig):
        for stamp in (0, 33, 66):
            rig.add("front", stamp)
        assert rig.add("left", 50) == rig.add("left", 68) == []
        assert rig.add("right", 67) == ["f66", "l68", "r67"]
        assert rig.drops() == [2, 1, 0]

    def test_a_camera_that_arrives_late_finds_the_images_of_its_time(self, rig):
        found = []
        for stamp in range(0, 330, 33):
            rig.add("front", stamp), rig.add("left", stamp)
            if stamp >= 66:  # two periods late
                found.append(rig.add("right", stamp - 66))
        assert found == [[f"f{s}", f"l{s}", f"r{s}"] for s in range(0, 264, 33)]

    def test_a_camera_that_has_fallen_silent_is_waited_for_no_more(self, rig):
        rig.add("left", 95)
        for stamp in range(100, 160, 10):  # the last in vain
            assert rig.add("front", stamp) == []
        assert rig.add("left", 151) == ["f150", "l151"]
        assert rig.add("right", 152) == rig.add("front", 153) == []  # it is back, and awaited
        assert rig.add("left", 154) == ["f153", "l154", "r152"]

    def test_images_that_nothing_belongs_to_are_counted(self, rig):
        for stamp in range(20):
            rig.add("front", stamp)
        assert rig.drops() == [15, 0, 0]
        rig.rig.clear(rig.streams.values(), "deactivated")
        assert rig.drops("deactivated") == [5, 0, 0]
        rig.rig.clear(rig.streams.values(), "deactivated")
        assert rig.drops("deactivated") == [5, 0, 0]

    def test_an_image_that_comes_late_takes_its_place_among_those_that_wait(self, rig):
        for stamp in (0, 66, 33):
            rig.add("front", stamp), rig.add("left", stamp)
        # What is older than the set is left out, what is younger waits on.
        assert rig.add("right", 33) == ["f33", "l33", "r33"]
        assert rig.drops() == [1, 1, 0]
        assert rig.add("right", 66) == ["f66", "l66", "r66"]

    def test_a_camera_whose_time_jumps_costs_the_others_nothing(self, rig):
        rig.add("front", 100), rig.add("left", 1 << 60)  # one odd stamp
        rig.rig.clear([rig.streams["left"]], "clock_jump")
        rig.add("left", 101)
        assert rig.add("right", 99) == ["f100", "l101", "r99"]
        assert rig.add("right", -5) == [] and rig.drops() == [0, 0, 1]

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 20)), max_size=60))
    def test_every_image_is_in_one_set_or_left_out_or_waits(self, node, steps):
        rig, clocks, found = Rig(node), dict.fromkeys(NAMES, 0), []
        for camera, later in steps:
            clocks[camera] += later
            names = rig.add(camera, clocks[camera])
            if names:
                assert [name[0] for name in names] == ["f", "l", "r"]
                stamps = [int(name[1:]) for name in names]
                assert max(stamps) - min(stamps) <= 10 and clocks[camera] in stamps
            found += names
        rig.rig.clear(rig.streams.values(), "unsynchronised")
        assert len(set(found)) == len(found)
        assert len(found) + sum(rig.drops()) == len(steps)


class TestIntake:
    @pytest.fixture
    def jumps(self, node):
        """Show images of these stamps; count after each how often time has jumped by then."""

        def show(max_late_s, *stamps_ns):
            stream, counts = CameraStream(node, ""), []
            intake = Intake(
                [stream], OneByOne(), Mailbox(newest_ns), lambda: max_late_s, lambda _: None
            )
            for stamp_ns in stamps_ns:
                intake.receive(stream, image(stamp_ns))
                counts.append(stream.clock_jumps)
            return counts

        return show

    @pytest.mark.parametrize("late_ms", [0, 9, 11, 100, 300, 1000, 1001, 59_999])
    def test_what_is_back_by_the_tolerance_is_late_and_by_more_a_jump(self, jumps, late_ms):
        base, late_ns = 10**12, late_ms * 10**6
        assert jumps(late_ms / 1000, base, base - late_ns, base) == [0, 0, 0]
        assert jumps(late_ms / 1000, base, base - late_ns - 1) == [0, 1]

    def test_any_order_within_the_tolerance_is_no_jump_and_a_loop_is_one_each_time(self, jumps):
        ms = 10**6
        wavering = (10**12 + t * ms for t in (100, 33, 66, 0, 500, 99, 133, 0))
        assert jumps(0.5, *wavering) == [0] * 8
        looped = [10**12 + t * ms for t in (0, 400, 800, 700, 0, 400, 300, 800, 0)]
        assert jumps(0.5, *looped) == [0, 0, 0, 0, 1, 1, 1, 1, 2]
        wild = [10**12, (2**31 - 1) * 10**9, 10**12 + ms, -(2**31) * 10**9, 10**12 + 2 * ms]
        assert jumps(0.5, *wild) == [0, 0, 1, 2, 2]


def test_a_time_synchronizer_never_pairs_an_image_with_a_camera_info_that_was_said_once():
    """Why ``CameraLookup`` stays: drivers may latch it, or send it at a pace of its own."""
    paired, images, infos = [], SimpleFilter(), SimpleFilter()
    synchronizer = TimeSynchronizer([images, infos], 10)
    synchronizer.registerCallback(lambda *messages: paired.append(messages))
    infos.signalMessage(CameraInfo())
    for stamp_ns in (1, 2, 3):
        images.signalMessage(image(stamp_ns))
    assert paired == []
