"""What a status says of steadied depth."""

from depth_anything_ros.nodes.steadiness import Steadiness
from depth_anything_ros.pipeline.steadying import SteadyReport

BY_MOTION = SteadyReport("steady", "motion")
BY_FLOW = SteadyReport("steady", "flow", "tf2 is late")


def noted(*reports, asked="motion"):
    steadiness = Steadiness()
    for report in reports:
        steadiness.add(asked, report)
    return steadiness


def test_another_method_than_asked_for_is_a_problem_where_most_pictures_are_of_it():
    said = "depth is steadied by flow, not by motion: tf2 is late"
    steadiness = noted(BY_FLOW, BY_MOTION, BY_FLOW)
    assert steadiness.problem() == said
    assert steadiness.problem() == ""  # no picture since then
    assert noted(BY_FLOW, BY_MOTION).problem() == ""
    steadiness.add("motion", BY_FLOW)
    assert steadiness.problem() == said


def test_what_was_asked_for_and_a_new_beginning_are_none():
    assert noted(SteadyReport("steady", "flow"), asked="flow").problem() == ""
    assert noted(SteadyReport("restarted", "", "the scene was cut")).problem() == ""
    assert noted(None, asked="off").problem() == ""


def test_values_are_those_of_the_last_picture_and_none_while_it_is_off():
    steadiness = noted(BY_FLOW, BY_MOTION)
    assert steadiness.values() == BY_MOTION.values()
    steadiness.add("off", None)
    assert steadiness.values() == {}
    steadiness.add("motion", BY_FLOW)
    steadiness.clear()
    assert steadiness.values() == {} and steadiness.problem() == ""
