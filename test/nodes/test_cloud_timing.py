import json

from depth_anything_ros.nodes import cloud_timing
from depth_anything_ros.tools.command import main


def test_all_ways_make_the_same_message():
    found = cloud_timing.ways(64, 48)
    messages = {name: way() for name, way in found.items() if "flying" not in name}
    ours = messages[cloud_timing.OURS]
    assert (ours.width, ours.height, ours.is_dense) == (64, 48, True)
    for name, message in messages.items():
        assert message.data == ours.data, name
        assert message.point_step == 16 and message.fields == ours.fields
    cleaned = found[f"{cloud_timing.OURS}, without flying pixels"]()
    assert not cleaned.is_dense


def test_the_table_of_clouds(tmp_path, capfd):
    output = tmp_path / "cloud.json"
    words = ("cloud", "--size", "64x48", "--runs", "2", "--output", str(output))
    assert main(["benchmark", *words]) == 0
    rows = json.loads(output.read_text())["rows"]
    assert [row["way"] for row in rows] == list(cloud_timing.ways(64, 48))
    assert rows[0]["ratio"] == 1 and all(row["median_ms"] > 0 for row in rows)
    assert "create_cloud of a list" in capfd.readouterr().out
