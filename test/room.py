"""A room whose depth is known on every ray: a floor, a wall and boxes."""

import numpy as np

# x from, x to, y from, y to, at z: metres in the optical frame.
BOXES = (
    (-2, -1, -1, 0.8, 3),
    (0.5, 1, -0.5, 0.8, 2),
    (2.5, 4, -2, 0.8, 5),
    (-0.6, -0.2, 0, 1, 1.5),
)


def room_depth(rays, boxes=BOXES):
    """Depth along Z of a floor 0.8 m below, a wall at 8 m and boxes, for rays (..., 3) at Z = 1."""
    with np.errstate(divide="ignore"):
        depth = np.minimum(np.where(rays[..., 1] > 0, 0.8 / rays[..., 1], np.inf), 8.0)
    for left, right, top, bottom, z in boxes:
        x, y = rays[..., 0] * z, rays[..., 1] * z
        met = (x > left) & (x < right) & (y > top) & (y < bottom)
        depth = np.where(met, np.minimum(depth, z), depth)
    return depth


def room_points(camera, count, seed=0, boxes=BOXES):
    """Points (count, 3) of the room, in the optical frame, at random places of the picture."""
    size = (camera.width - 1, camera.height - 1)
    rays = camera.unproject(np.random.default_rng(seed).uniform((0, 0), size, (count, 2)))
    return rays * room_depth(rays, boxes)[:, None]
