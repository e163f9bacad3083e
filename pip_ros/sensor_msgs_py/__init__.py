"""Read and write point clouds: a stand-in for ROS 2 Jazzy's sensor_msgs_py.

For machines without a ROS distribution; never installed beside one. It has what depth_anything_ros
calls of `sensor_msgs_py.point_cloud2`: `read_points` and `create_cloud`.
"""
