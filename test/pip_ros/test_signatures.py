"""The stand-ins are called as the packages of ROS 2 Jazzy are."""

import inspect

import cv_bridge
import message_filters
import pytest
import tf2_ros
from sensor_msgs_py import point_cloud2

SIGNATURES = {
    cv_bridge.CvBridge: "()",
    cv_bridge.CvBridge.imgmsg_to_cv2: "(self, img_msg, desired_encoding='passthrough')",
    cv_bridge.CvBridge.cv2_to_imgmsg: "(self, cvim, encoding='passthrough', header=None)",
    message_filters.SimpleFilter: "()",
    message_filters.SimpleFilter.registerCallback: "(self, cb, *args)",
    message_filters.SimpleFilter.signalMessage: "(self, *msg)",
    message_filters.Subscriber: "(*args, **kwargs)",
    message_filters.TimeSynchronizer: "(fs, queue_size)",
    message_filters.ApproximateTimeSynchronizer: "(fs, queue_size, slop, allow_headerless=False)",
    point_cloud2.read_points: "(cloud, field_names=None, skip_nans=False, uvs=None, "
    "reshape_organized_cloud=False)",
    point_cloud2.create_cloud: "(header, fields, points, point_step=None)",
    tf2_ros.Buffer: "(cache_time=None, node=None)",
    tf2_ros.Buffer.lookup_transform: "(self, target_frame, source_frame, time, "
    "timeout=Duration(nanoseconds=0))",
    tf2_ros.Buffer.set_transform: "(self, transform, authority)",
    tf2_ros.Buffer.set_transform_static: "(self, transform, authority)",
    tf2_ros.Buffer.clear: "(self)",
    tf2_ros.TransformListener: "(buffer, node, *, spin_thread=False, qos=None, static_qos=None)",
    tf2_ros.TransformListener.unregister: "(self)",
    tf2_ros.TransformBroadcaster: "(node, qos=None)",
    tf2_ros.TransformBroadcaster.sendTransform: "(self, transform)",
    tf2_ros.StaticTransformBroadcaster: "(node, qos=None)",
    tf2_ros.StaticTransformBroadcaster.sendTransform: "(self, transform)",
}
PARENTS = {
    cv_bridge.CvBridgeError: TypeError,
    message_filters.TimeSynchronizer: message_filters.SimpleFilter,
    message_filters.ApproximateTimeSynchronizer: message_filters.TimeSynchronizer,
    tf2_ros.TransformException: Exception,
    tf2_ros.ConnectivityException: tf2_ros.TransformException,
    tf2_ros.ExtrapolationException: tf2_ros.TransformException,
    tf2_ros.LookupException: tf2_ros.TransformException,
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_a_signature_is_that_of_jazzy(function):
    found = inspect.signature(function)
    bare = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    assert str(inspect.Signature(bare)) == SIGNATURES[function]


def test_parents_are_those_of_jazzy():
    assert {kind: kind.__bases__ for kind in PARENTS} == {k: (p,) for k, p in PARENTS.items()}
