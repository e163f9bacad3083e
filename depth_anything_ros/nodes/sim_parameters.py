"""The parameters of sim_node. doc/sim_node.md holds the same names."""

from __future__ import annotations

from dataclasses import dataclass

from depth_anything_ros.core.options import fixed

# No seed of this package's training or validation; those are smaller.
UNSEEN_SEED = 2_000_000_000


@dataclass(frozen=True)
class SimParameters:
    """Everything that a user can set on sim_node. None of it changes while it drives."""

    place: str = fixed(
        "office",
        "Kind of place: room, office, kitchen, corridor, warehouse, workshop, flat, desk, "
        "shelf_bin, street, parking, ground or primitives.",
    )
    seed: int = fixed(
        UNSEEN_SEED,
        "Of the place and of all noise; no training of this package takes seeds as large as the "
        "default.",
        low=0,
        high=1 << 48,
    )
    rate_hz: float = fixed(5.0, "Pictures per second.", unit="Hz", low=0.01, high=100.0)
    frames: int = fixed(
        25,
        "Different pictures: so many are rendered before it drives, and then it drives there and "
        "back.",
        low=2,
        high=10_000,
    )
    count: int = fixed(0, "Stop after this many pictures; 0 drives on.", low=0, high=1_000_000_000)
    width: int = fixed(640, "Of the picture.", unit="px", low=16, high=4096)
    height: int = fixed(480, "Of the picture.", unit="px", low=16, high=4096)
    hfov_deg: float = fixed(70.0, "Horizontal field of view.", unit="deg", low=10.0, high=150.0)
    camera_height_m: float = fixed(
        0.5,
        "Of the camera above the ground; the LiDAR is 0.2 m higher.",
        unit="m",
        low=0.05,
        high=3.0,
    )
    camera_pitch_deg: float = fixed(
        0.0, "How far the camera looks down.", unit="deg", low=-45.0, high=60.0
    )
    speed_mps: float = fixed(0.5, "Over the ground.", unit="m/s", low=0.01, high=20.0)
    lidar: str = fixed(
        "spinning_16",
        "Pattern of the LiDAR: spinning_16, spinning_32, spinning_64, solid_state_raster, "
        "solid_state_tall, scan_2d, single_range or tof_grid. Empty is no LiDAR.",
    )
    lidar_rate_hz: float = fixed(
        10.0,
        "Sweeps per second, rounded to a multiple or a whole part of rate_hz, so that some sweeps "
        "are of the time of a picture.",
        unit="Hz",
        low=0.01,
        high=100.0,
    )
    device: str = fixed("auto", "Where rays are traced: auto, cpu, cuda or cuda:N.")
    wait_for_subscribers: int = fixed(
        0, "Start to drive when image and camera_info have this many subscribers.", low=0, high=100
    )
