"""A procedural world with exact depth: scenes, cameras, LiDAR. No renderer but torch."""
