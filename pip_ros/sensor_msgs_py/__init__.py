"""Read and write point clouds: a stand-in for ROS 2 Jazzy's sensor_msgs_py.

For machines without a ROS distribution; never installed beside one. It covers
`sensor_msgs_py.point_cloud2` with `read_points`, `read_points_numpy`, `create_cloud` and
`dtype_from_fields`.
"""
