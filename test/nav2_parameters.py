"""Names of the parameters that Nav2 Jazzy (1.3.12, f4108e5b1) declares, by the file that does.

Of a node; of a plugin or a polygon, below its name; of a source, below its name (in a costmap,
below its layer's). Names alone: facts, and no code of Nav2's.
"""

COSTMAP = {
    "nav2_costmap_2d/src/costmap_2d_ros.cpp": """always_send_full_costmap map_vis_z
    footprint_padding footprint global_frame height width lethal_cost_threshold
    observation_sources origin_x origin_y
    plugins filters publish_frequency resolution robot_base_frame robot_radius rolling_window
    track_unknown_space transform_tolerance initial_transform_timeout trinary_costmap
    unknown_cost_value update_frequency use_maximum map_topic""",
}
PLUGIN = {"nav2_util/include/nav2_util/node_utils.hpp": "plugin"}
LAYERS = {
    "nav2_costmap_2d::ObstacleLayer": {
        "nav2_costmap_2d/plugins/obstacle_layer.cpp": """enabled footprint_clearing_enabled
        min_obstacle_height max_obstacle_height combination_method observation_sources""",
    },
    "nav2_costmap_2d::InflationLayer": {
        "nav2_costmap_2d/plugins/inflation_layer.cpp": """enabled inflation_radius
        cost_scaling_factor inflate_unknown inflate_around_unknown""",
    },
}
LAYER_SOURCE = {
    "nav2_costmap_2d/plugins/obstacle_layer.cpp": """topic sensor_frame observation_persistence
    expected_update_rate data_type min_obstacle_height max_obstacle_height inf_is_valid marking
    clearing obstacle_max_range obstacle_min_range raytrace_max_range raytrace_min_range""",
}
COLLISION_MONITOR = {
    "nav2_collision_monitor/src/collision_monitor_node.cpp": """use_realtime_priority
    cmd_vel_in_topic cmd_vel_out_topic state_topic base_frame_id odom_frame_id transform_tolerance
    source_timeout base_shift_correction stop_pub_timeout polygons observation_sources""",
}
POLYGON = {
    "nav2_collision_monitor/src/collision_monitor_node.cpp": "type",
    "nav2_collision_monitor/src/polygon.cpp": """action_type enabled min_points max_points
    slowdown_ratio linear_limit angular_limit time_before_collision simulation_time_step visualize
    polygon_pub_topic polygon_subscribe_transient_local polygon_sub_topic footprint_topic
    sources_names points""",
}
POINTCLOUD_SOURCE = {
    "nav2_collision_monitor/src/collision_monitor_node.cpp": "type",
    "nav2_collision_monitor/src/source.cpp": "topic enabled source_timeout",
    "nav2_collision_monitor/src/pointcloud.cpp": """min_height max_height min_range
    use_global_height""",
}
LIFECYCLE_MANAGER = {
    "nav2_lifecycle_manager/src/lifecycle_manager.cpp": """node_names autostart bond_timeout
    bond_respawn_max_duration attempt_respawn_reconnection""",
}


def names(*tables):
    """Return all names of some of these tables."""
    return {name for table in tables for text in table.values() for name in text.split()}
