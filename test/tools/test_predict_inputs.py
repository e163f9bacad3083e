import pytest
from predicted import write_scene

from depth_anything_ros.core.errors import SourceError
from depth_anything_ros.tools.predict_inputs import find_inputs


@pytest.fixture
def scenes(tmp_path):
    """Two folders with a file of the same name, and what is no picture."""
    for name in ("day/a.png", "day/b.jpg", "night/a.png", "night/deep/a.png"):
        write_scene(tmp_path / name)
    for name in ("day/clip.MP4", "day/notes.txt", "night/.a.png.17.partial"):
        (tmp_path / name).touch()
    return tmp_path


def places(scenes, *names, output="out", listed=()):
    found = find_inputs([str(name) for name in names], scenes / output, listed)
    return {str(item.place): str(item.path.relative_to(scenes)) for item in found}


def test_a_folder_is_searched_in_depth(scenes):
    assert places(scenes, scenes / "night") == {"a": "night/a.png", "deep/a": "night/deep/a.png"}
    (movie,) = (
        item for item in find_inputs([str(scenes / "day")], scenes / "out") if item.is_video
    )
    assert (movie.name, str(movie.place)) == ("clip.MP4", "clip")


def test_several_inputs_lie_below_what_they_have_in_common(scenes):
    assert places(scenes, scenes / "day" / "a.png") == {"a": "day/a.png"}
    assert places(scenes, scenes / "day" / "a.png", scenes / "night") == {
        "day/a": "day/a.png",
        "night/a": "night/a.png",
        "night/deep/a": "night/deep/a.png",
    }
    twice = (scenes / "day" / "a.png", scenes / "day", scenes / "night" / ".." / "day" / "a.png")
    assert len(places(scenes, *twice)) == 3


def test_a_pattern_is_matched_here_where_no_shell_did(scenes, monkeypatch):
    monkeypatch.chdir(scenes)
    assert places(scenes, "night/**/*.png") == {"a": "night/a.png", "deep/a": "night/deep/a.png"}
    assert places(scenes, "*/a.*") == {"day/a": "day/a.png", "night/a": "night/a.png"}
    write_scene(scenes / "odd[1]" / "c.png")
    assert places(scenes, "odd[1]") == {"c": "odd[1]/c.png"}


def test_a_list_may_name_what_is_not_there(scenes):
    lines = [f"{scenes}/day/a.png\n", "\n", f"{scenes}/night/absent.png\r\n"]
    assert places(scenes, "-", listed=lines) == {
        "day/a": "day/a.png",
        "night/absent": "night/absent.png",
    }
    with pytest.raises(SourceError, match="names no file"):
        places(scenes, "-", listed=["\n"])


def test_answers_are_no_inputs(scenes):
    write_scene(scenes / "day" / "depth" / "a_color.png")
    assert "depth/a_color" not in places(scenes, scenes / "day", output="day/depth")
    assert "depth/a_color" in places(scenes, scenes / "day")
    for name in ("day", "day/*.png"):
        with pytest.raises(SourceError, match="would lie among the pictures"):
            places(scenes, scenes / name, output="day")
    assert len(places(scenes, scenes / "day" / "a.png", output="day")) == 1
    assert len(places(scenes, scenes / "night", output=".")) == 2


@pytest.mark.parametrize("name", ["absent.png", "empty", "none/*.png"])
def test_what_is_not_there_is_named(name, scenes):
    (scenes / "empty").mkdir()
    with pytest.raises(SourceError, match=name.split("*")[0]):
        places(scenes, scenes / name)
