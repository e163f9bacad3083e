import json

import numpy as np

from depth_anything_ros.core.alignment import fit_scale_shift
from depth_anything_ros.tools.anchoring_benchmark import METHODS, distorted
from depth_anything_ros.tools.command import main


def test_the_table_of_anchoring(tmp_path, capsys):
    output = tmp_path / "table.json"
    words = ("anchoring", "--world", "1", "--size", "84x56", "--device", "cpu")
    assert main(["benchmark", *words, "--output", str(output)]) == 0
    said = capsys.readouterr().out.splitlines()
    rows = json.loads(output.read_text())
    # 4,704 pixels: at most half of them are fitted, so there is no line with 5000 points.
    assert {(row["source"], row["points"]) for row in rows} == {
        (source, points) for source in ("distorted", "model") for points in (16, 100, 500)
    }
    assert {row["outliers"] for row in rows} == {0.0, 0.3, 0.5}
    assert {row["method"] for row in rows} == set(METHODS)
    assert sum(any(line.startswith(s) for s in ("distorted ", "model ")) for line in said) == len(
        rows
    )
    found = {(r["source"], r["points"], r["outliers"], r["method"]): r for r in rows}
    best, plain = (found["distorted", 500, 0.0, name] for name in ("kriging", "least_squares"))
    assert best["rmse_m"] < 0.5 * plain["rmse_m"]


def test_a_distortion_is_no_line_but_near_one():
    rng = np.random.default_rng(3)
    depth = np.exp(rng.uniform(0, 3, (40, 50))).astype(np.float32)
    mask = np.ones(depth.shape, bool)
    mask[0] = False
    disparity = distorted(depth, mask, rng)
    assert disparity.dtype == np.float32 and np.isfinite(disparity).all()
    fit = fit_scale_shift(disparity, depth, mask)
    error = np.abs(fit.apply(disparity)[mask] / depth[mask] - 1)
    assert fit.scale > 0 and 0.03 < np.median(error) < 0.4
