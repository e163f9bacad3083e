"""What a subscription asks for, by what the publishers of its topic offer."""

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import camera_info, wait_until
from sensor_msgs.msg import CameraInfo

from depth_anything_ros.nodes.following_subscription import FollowingSubscription, best_common
from depth_anything_ros.nodes.qos import create_output, warn_of_idle_overrides

RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
VOLATILE, LATCHED = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL


def profile(reliability=RELIABLE, durability=VOLATILE):
    return QoSProfile(depth=1, reliability=reliability, durability=durability)


@pytest.mark.parametrize(
    ("offered", "wanted"),
    [
        ([], (RELIABLE, VOLATILE)),
        ([profile()], (RELIABLE, VOLATILE)),
        ([profile(BEST_EFFORT)], (BEST_EFFORT, VOLATILE)),
        ([profile(durability=LATCHED)], (RELIABLE, LATCHED)),
        ([profile(durability=LATCHED)] * 2, (RELIABLE, LATCHED)),
        ([profile(BEST_EFFORT, LATCHED)], (BEST_EFFORT, LATCHED)),
        ([profile(durability=LATCHED), profile()], (RELIABLE, VOLATILE)),
        ([profile(durability=LATCHED), profile(BEST_EFFORT)], (BEST_EFFORT, VOLATILE)),
    ],
)
def test_it_asks_for_the_most_that_all_publishers_offer(offered, wanted):
    found = best_common(offered)
    assert (found.reliability, found.durability) == wanted


class Listener:
    """A node with one subscription, in the test's process."""

    def __init__(self, *overrides):
        self.context = rclpy.Context()
        arguments = [word for override in overrides for word in ("-p", override)]
        rclpy.init(args=["--ros-args", *arguments], context=self.context)
        self.node = rclpy.create_node("listener", namespace="/following", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.heard = []
        self.warned = []

    def subscribe(self, **more):
        topic = "/following/camera_info"
        return FollowingSubscription(self.node, CameraInfo, topic, self.heard.append, **more)

    def spin_until(self, condition, adapt):
        def asked():
            adapt()
            self.executor.spin_once(0.02)
            return condition()

        wait_until(asked, what="the condition")

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()


@pytest.fixture
def listen():
    made = []

    def make(*overrides):
        made.append(Listener(*overrides))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_was_said_once_and_latched_is_heard_and_what_is_not_latched_too(listen):
    talker, listener = listen(), listen()
    latched = talker.node.create_publisher(CameraInfo, "camera_info", profile(durability=LATCHED))
    latched.publish(camera_info(focal=100.0))
    subscription = listener.subscribe()
    listener.spin_until(lambda: listener.heard, subscription.adapt)
    assert listener.heard[0].k[0] == 100.0

    talker.node.destroy_publisher(latched)
    plain = talker.node.create_publisher(CameraInfo, "camera_info", profile(BEST_EFFORT))

    def heard():
        plain.publish(camera_info(focal=200.0))
        return listener.heard[-1].k[0] == 200.0

    listener.spin_until(heard, subscription.adapt)
    assert (subscription.offer.reliability, subscription.offer.durability) == (
        BEST_EFFORT,
        VOLATILE,
    )


def test_what_was_published_and_never_came_is_counted(listen):
    """Of one publisher, whose messages follow each other faster than they are taken."""
    talker, listener = listen(), listen()
    missed = []
    subscription = listener.subscribe(on_missed=missed.append)
    publisher = talker.node.create_publisher(CameraInfo, "camera_info", profile())
    listener.spin_until(lambda: publisher.get_subscription_count(), subscription.adapt)

    def publish(publisher, *focals):
        for focal in focals:
            publisher.publish(camera_info(focal=focal))
        last = focals[-1]
        listener.spin_until(lambda: listener.heard and listener.heard[-1].k[0] == last, lambda: 0)

    publish(publisher, 1.0)
    publish(publisher, 2.0)
    assert missed == []
    publish(publisher, 3.0, 4.0, 5.0)
    assert missed == [2] and len(listener.heard) == 3

    # Another one's numbers are its own: what it said before is nothing that was missed.
    other = talker.node.create_publisher(CameraInfo, "camera_info", profile())
    listener.spin_until(lambda: other.get_subscription_count(), subscription.adapt)
    publish(other, *map(float, range(10, 20)))
    publish(publisher, 6.0)
    talker.node.destroy_publisher(publisher)
    topic = "/following/camera_info"
    listener.spin_until(lambda: listener.node.count_publishers(topic) == 1, lambda: 0)
    publish(other, 21.0)
    assert missed == [2]
    publish(other, 22.0, 23.0)
    assert missed == [2, 1]


def test_an_override_of_the_durability_is_final(listen):
    talker = listen()
    listener = listen(
        "qos_overrides./following/camera_info.subscription.durability:=transient_local"
    )
    talker.node.create_publisher(CameraInfo, "camera_info", profile())
    subscription = listener.subscribe()
    listener.spin_until(
        lambda: listener.node.count_publishers("/following/camera_info"), lambda: None
    )
    subscription.adapt()
    (info,) = listener.node.get_subscriptions_info_by_topic("/following/camera_info")
    assert info.qos_profile.durability == LATCHED


def test_an_override_of_one_output_is_none_of_the_next(listen):
    prefix = "qos_overrides./following/points.publisher"
    listener = listen(f"{prefix}.reliability:=best_effort", f"{prefix}.depth:=7")
    for name in ("points", "confidence"):
        create_output(listener.node, CameraInfo, name)
    found = [
        listener.node.get_publishers_info_by_topic(f"/following/{name}")[0].qos_profile.reliability
        for name in ("points", "confidence")
    ]
    assert found == [BEST_EFFORT, RELIABLE]
    depth = "qos_overrides./following/confidence.publisher.depth"
    assert listener.node.get_parameter(depth).value == 2


def test_overrides_that_do_nothing_are_named_with_their_neighbour(listen, capfd):
    prefix = "qos_overrides."
    taken = {
        f"{prefix}/following/points.publisher.durability": "transient_local",
        f"{prefix}/following/points.publisher.depth": 7,
        f"{prefix}/following/camera_info.subscription.reliability": "best_effort",
    }
    idle = {
        f"{prefix}/following/point.publisher.depth": 3,  # no such topic
        f"{prefix}points.publisher.depth": 3,  # not its full name
        f"{prefix}/following/points.publisher.deadline": 3,  # no such policy
    }
    listener = listen(*(f"{name}:={value}" for name, value in {**taken, **idle}.items()))
    output = create_output(listener.node, CameraInfo, "points")
    listener.subscribe()

    warn_of_idle_overrides(listener.node)

    said = [line for line in capfd.readouterr().err.splitlines() if "does nothing" in line]
    assert len(said) == len(idle)
    for name, line in zip(idle, said, strict=True):
        assert f"{name} does nothing" in line
        assert f"did you mean {prefix}/following/points.publisher." in line
    (info,) = listener.node.get_publishers_info_by_topic("/following/points")
    assert info.qos_profile.durability == LATCHED and output.get_subscription_count() == 0
