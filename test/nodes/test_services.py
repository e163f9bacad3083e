"""Services of a node, asked for what is impossible: the node lives, says no, and says why."""

import cv2
import pytest
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import (
    ChangeState,
    GetAvailableStates,
    GetAvailableTransitions,
)
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import (
    DescribeParameters,
    GetParameters,
    GetParameterTypes,
    ListParameters,
    SetParameters,
    SetParametersAtomically,
)
from ros_harness import Camera, NodeProcess, picture

# One that has a life cycle, as depth_node has it, and one that plays, as sim_node does.
NODES = {
    "scale_anchor_node": ({}, "waiting for pictures"),
    "player_node": ({"rate_hz": 5, "wait_for_subscribers": 1}, "playing"),  # 5 for a double
}
MANY = 20_000
LONG = "x" * 1_000_000


@pytest.fixture(scope="module", params=NODES)
def node(request, logs, tmp_path_factory):
    """A node of each kind, and who asks it."""
    name, namespace = request.param, f"/services_{request.param}"
    parameters, started = NODES[name]
    if name == "player_node":
        source = tmp_path_factory.mktemp("played") / "one.png"
        cv2.imwrite(str(source), picture())
        parameters = {**parameters, "source": source}
    process = NodeProcess(name, parameters, namespace=namespace, log=logs / f"services_{name}.log")
    client = Camera(namespace, outputs=())
    process.wait_for_log(started)
    yield process, client, f"{namespace}/{name}"
    client.close()
    assert process.stop() == 0
    assert "Traceback" not in process.log


def value(kind=ParameterType.PARAMETER_STRING, **fields):
    return ParameterValue(type=kind, **fields)


NONSENSE = {
    "of an unknown type": Parameter(name="use_sim_time", value=value(99)),
    "unknown": Parameter(name="no_such", value=value(string_value="x")),
    "nameless": Parameter(name="", value=value(string_value="x")),
    "of a very long name": Parameter(name=LONG, value=value(string_value="x")),
    "of a hostile name": Parameter(name="a\n\x1b[31m[FATAL] b", value=value()),
    "deleted": Parameter(name="use_sim_time", value=value(0)),
    "of another type": Parameter(name="use_sim_time", value=value(string_value="yes")),
    "read-only": Parameter(name="start_type_description_service", value=value(1, bool_value=False)),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_a_parameter_that_cannot_be_set_is_refused_with_a_line(node, case):
    process, client, name = node
    before = process.log.count(" refused: ")
    request = SetParameters.Request(parameters=[NONSENSE[case]])
    (result,) = client.call(SetParameters, f"{name}/set_parameters", request).results
    assert not result.successful and result.reason
    request = SetParametersAtomically.Request(parameters=[NONSENSE[case]])
    service = f"{name}/set_parameters_atomically"
    result = client.call(SetParametersAtomically, service, request).result
    assert not result.successful and 0 < len(result.reason) < 400
    assert process.log.count(" refused: ") == before + 2
    assert max(map(len, process.log.splitlines())) < 1000 and "\x1b[31m" not in process.log


def test_what_is_refused_is_named(node):
    _, client, name = node
    wrong = value(ParameterType.PARAMETER_STRING, string_value="no")
    request = SetParametersAtomically.Request(
        parameters=[
            Parameter(name="use_sim_time", value=value(1, bool_value=False)),
            Parameter(name="use_sim_time", value=wrong),
        ]
    )
    service = f"{name}/set_parameters_atomically"
    result = client.call(SetParametersAtomically, service, request).result
    assert not result.successful and result.reason.startswith("use_sim_time, use_sim_time: ")
    nothing = client.call(SetParametersAtomically, service, SetParametersAtomically.Request())
    assert nothing.result.successful and not nothing.result.reason


def test_very_many_names_are_refused_at_once(node):
    process, client, name = node
    names = ["no_such"] * MANY
    asked = {
        "set_parameters": (SetParameters, {"parameters": [NONSENSE["unknown"]] * MANY}),
        "get_parameters": (GetParameters, {"names": names}),
        "describe_parameters": (DescribeParameters, {"names": names}),
        "get_parameter_types": (GetParameterTypes, {"names": names}),
        "list_parameters": (ListParameters, {"prefixes": names}),
    }
    for service, (kind, fields) in asked.items():
        answer = client.call(kind, f"{name}/{service}", kind.Request(**fields))
        if service == "set_parameters":
            assert len(answer.results) == MANY
            assert not any(result.successful for result in answer.results)
        assert process.log.count(f"{service} refused: {MANY} ") == 1, service


def test_what_is_asked_of_parameters_that_are_not_there_is_answered(node):
    _, client, name = node
    for names in (["no_such"], [""], [LONG], ["use_sim_time", "no_such"]):
        for service, kind in (
            ("get_parameters", GetParameters),
            ("describe_parameters", DescribeParameters),
            ("get_parameter_types", GetParameterTypes),
        ):
            client.call(kind, f"{name}/{service}", kind.Request(names=names))
    request = ListParameters.Request(prefixes=["", LONG], depth=2**64 - 1)
    client.call(ListParameters, f"{name}/list_parameters", request)
    assert client.get_parameter(name, "use_sim_time").type == ParameterType.PARAMETER_BOOL


def test_a_type_that_is_not_there_is_not_described(node):
    services = pytest.importorskip("type_description_interfaces.srv", reason="not in Humble")
    kind = services.GetTypeDescription
    _, client, name = node
    for type_name in (LONG, "", "a/msg/B", "a\n\x1b[31m[FATAL] b"):
        request = kind.Request(type_name=type_name, type_hash="x")
        assert not client.call(kind, f"{name}/get_type_description", request).successful


# To each state, from unconfigured.
WAYS = {
    "unconfigured": (),
    "inactive": (Transition.TRANSITION_CONFIGURE,),
    "active": (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE),
}
BACK = {
    "unconfigured": (),
    "inactive": (Transition.TRANSITION_CLEANUP,),
    "active": (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP),
}
POSSIBLE = {
    "unconfigured": {Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN},
    "inactive": {
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_INACTIVE_SHUTDOWN,
    },
    "active": {Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVE_SHUTDOWN},
    "finalized": set(),
}
IDS = (*range(9), 10, 11, 12, 60, 99, 255)


def refused(client, name, state):
    """Ask for all that is not possible in a state, by number and by label; it stays as it is."""
    for number in set(IDS) - POSSIBLE[state]:
        assert not client.change_state(name, number), number
    for label in ("no_such", "transition_success", "create", LONG, "a\n\x1b[31m[FATAL] b"):
        request = ChangeState.Request()
        request.transition.label = label
        assert not client.call(ChangeState, f"{name}/change_state", request).success, label
    assert client.state(name) == state


@pytest.mark.parametrize("node", ["scale_anchor_node"], indirect=True)
def test_every_transition_from_every_state_is_made_or_refused(node):
    """The last test here: it leaves the node finalized."""
    process, client, name = node
    for number in BACK["active"]:
        assert client.change_state(name, number)
    for state, way in WAYS.items():
        for number in way:
            assert client.change_state(name, number)
        assert client.state(name) == state
        lines = process.log.count("change_state refused")
        refused(client, name, state)
        assert (
            process.log.count("change_state refused") == lines + len(IDS) - len(POSSIBLE[state]) + 5
        )
        for number in BACK[state]:
            assert client.change_state(name, number)
    assert client.change_state(name, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    refused(client, name, "finalized")
    assert client.set_parameters(name, range__max_m=5) == []
    for kind in (GetAvailableStates, GetAvailableTransitions):
        service = {GetAvailableStates: "states", GetAvailableTransitions: "transitions"}[kind]
        assert client.call(kind, f"{name}/get_available_{service}", kind.Request())
    assert max(map(len, process.log.splitlines())) < 1000 and "\x1b[31m" not in process.log
