"""The ROS 2 nodes: the only folder that imports rclpy and messages. Thin: core does the work."""
