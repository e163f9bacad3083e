from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.nodes.synchronised_sets import SynchronisedSets

NAMES = ("front", "left", "right")


def added(sets, camera, stamp, awaited=NAMES, max_offset=10):
    """Add an item that is named by its camera and stamp."""
    return sets.add(camera, stamp, f"{camera[0]}{stamp}", awaited, max_offset)


def test_a_set_is_there_with_its_last_picture_in_the_order_of_the_cameras():
    sets = SynchronisedSets()
    assert added(sets, "right", 100) == ([], [])
    assert added(sets, "left", 103) == ([], [])
    assert added(sets, "front", 98) == (["f98", "l103", "r100"], [])
    assert added(sets, "front", 99) == ([], [])  # the others were taken


def test_stamps_too_far_apart_make_no_set_and_each_picture_takes_the_nearest():
    sets = SynchronisedSets()
    for stamp in (0, 33, 66):
        added(sets, "front", stamp)
    assert added(sets, "left", 50) == ([], [])
    added(sets, "left", 68)
    assert added(sets, "right", 67) == (["f66", "l68", "r67"], ["f0", "f33", "l50"])


def test_a_camera_that_arrives_late_finds_the_pictures_of_its_time():
    sets, found = SynchronisedSets(), []
    for stamp in range(0, 330, 33):
        added(sets, "front", stamp)
        added(sets, "left", stamp)
        if stamp >= 66:  # two periods late
            found.append(added(sets, "right", stamp - 66)[0])
    assert found == [[f"f{s}", f"l{s}", f"r{s}"] for s in range(0, 264, 33)]


def test_a_camera_that_is_not_awaited_is_not_waited_for():
    sets = SynchronisedSets()
    added(sets, "front", 1)
    assert added(sets, "left", 2, awaited=("front", "left")) == (["f1", "l2"], [])
    assert added(sets, "left", 3, awaited=("left",)) == (["l3"], [])


def test_pictures_that_nothing_belongs_to_are_given_back():
    sets = SynchronisedSets()
    kept_out = [item for stamp in range(20) for item in added(sets, "front", stamp)[1]]
    assert kept_out == [f"f{stamp}" for stamp in range(15)]
    assert sets.clear("left") == []
    assert sets.clear("front") == [f"f{stamp}" for stamp in range(15, 20)]
    assert sets.clear("front") == []


def test_a_picture_that_comes_late_takes_its_place_among_those_that_wait():
    sets = SynchronisedSets()
    for stamp in (0, 66, 33):
        added(sets, "front", stamp)
        added(sets, "left", stamp)
    # What is older than the set is left out, what is younger waits on.
    assert added(sets, "right", 33) == (["f33", "l33", "r33"], ["f0", "l0"])
    assert added(sets, "right", 66) == (["f66", "l66", "r66"], [])
    kept_out = [item for stamp in (5, 4, 3, 2, 1, 0) for item in added(sets, "front", stamp)[1]]
    assert kept_out == ["f0"]  # the earliest


def test_a_camera_whose_time_jumps_costs_the_others_nothing():
    sets = SynchronisedSets()
    added(sets, "front", 100)
    added(sets, "left", 1 << 62)  # one odd stamp
    assert sets.clear("left") == [f"l{1 << 62}"]
    added(sets, "left", 101)
    assert added(sets, "right", 99) == (["f100", "l101", "r99"], [])


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.integers(-5, 20)), max_size=60))
def test_every_picture_is_in_one_set_or_left_out_or_waits(steps):
    sets, clocks, count = SynchronisedSets(), dict.fromkeys(NAMES, 0), 0
    seen = []
    for camera, later in steps:
        clocks[camera] += later
        count += 1
        item = (camera, clocks[camera], count)
        found, left_out = sets.add(camera, clocks[camera], item, NAMES, 10)
        if found:
            assert [name for name, _, _ in found] == list(NAMES)
            stamps = [stamp for _, stamp, _ in found]
            assert max(stamps) - min(stamps) <= 10 and item in found
        seen += found + left_out
    seen += [item for name in NAMES for item in sets.clear(name)]
    assert len(seen) == len(set(seen)) == count
