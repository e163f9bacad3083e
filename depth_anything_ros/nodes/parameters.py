"""Parameters of a node as one frozen dataclass, and the helper that declares them to ROS.

A field of the dataclass is a parameter; a nested dataclass is a group, joined by a dot, so that
``cloud.stride`` in YAML is ``parameters.cloud.stride`` in the code.
"""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from typing import Any, Generic, TypeVar, get_args, get_origin, get_type_hints

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy

from depth_anything_ros.core.errors import ParameterError, printable, quoted

Parameters = TypeVar("Parameters")
# For a node that has no other state than active.
START_ANEW = "start the node anew with it"
# What the names of parameters begin with that override the QoS of a topic.
OVERRIDES = "qos_overrides."
_POLICIES = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
}
# A queue of more is refused by Fast DDS.
_MOST_DEPTH = 2**31 - 1
# Characters of a list of numbers that comes as text.
_LONGEST_LIST = 1000


@dataclass(frozen=True)
class Spec:
    """One parameter: its dotted name, its type and what its field says of it.

    Attributes:
        name: dotted, as in YAML.
        type: bool, int, float, str, or tuple: of any number of strings, or of so many floats as
            its default has.
        default: its value where nobody sets one.
        description: a sentence for people.
        unit: of the value, "" where it has none.
        low: smallest value allowed, None where there is no bound.
        high: largest value allowed.
        choices: the only strings allowed; empty where any is.
        static: True where it cannot change while the node is active.
        strings: True where a tuple is of strings.
        whole_numbers: True where a string may be given as a whole number, which YAML takes it for.
    """

    name: str
    type: type
    default: Any
    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    static: bool = False
    strings: bool = False
    whole_numbers: bool = False

    def descriptor(self) -> ParameterDescriptor:
        """Return what ROS tools show of the parameter, with the range that rclpy enforces."""
        descriptor = ParameterDescriptor(name=self.name, description=self.summary())
        if self.low is not None and self.high is not None:
            if self.type is int:
                bounds = IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
                descriptor.integer_range = [bounds]
            else:
                span = FloatingPointRange(from_value=float(self.low), to_value=float(self.high))
                descriptor.floating_point_range = [span]
        return descriptor

    def summary(self) -> str:
        """Return description, unit and choices in one line."""
        unit = f" [{self.unit}]" if self.unit else ""
        choices = f" One of: {', '.join(self.choices)}." if self.choices else ""
        return f"{self.description}{unit}{choices}"

    @property
    def ros_type(self) -> Parameter.Type:
        """Its type in ROS; of tuples, that of strings or of floats."""
        if self.type is tuple:
            return Parameter.Type.STRING_ARRAY if self.strings else Parameter.Type.DOUBLE_ARRAY
        return Parameter.Type.from_parameter_value(self.default)

    def as_declared(self, given: Parameter) -> Parameter:
        """Return a parameter as what is declared, where it comes as something that may mean it."""
        cast = _CASTS.get((self.ros_type, given.type_))
        if cast is str and not self.whole_numbers:
            return given
        value = None if cast is None else cast(given.value)
        return given if value is None else Parameter(self.name, self.ros_type, value)

    def check(self, value: Any) -> None:  # noqa: ANN401 - any ROS parameter value
        """Raise ParameterError where a value is not one of the choices or not the numbers asked."""
        if self.type is float and not math.isfinite(value):
            raise _must_be(self.name, value, "a finite number")
        if self.ros_type == Parameter.Type.DOUBLE_ARRAY:
            count = len(self.default)
            if len(value) != count or not all(map(math.isfinite, value)):
                raise _must_be(self.name, list(value), f"{count} numbers")
        if self.choices and value not in self.choices:
            raise _must_be(self.name, value, f"one of {', '.join(self.choices)}")


def _must_be(name: str, value: Any, expected: str) -> ParameterError:  # noqa: ANN401
    return ParameterError(
        f"parameter {printable(name, 200)} is {quoted(value)}; it must be {expected}"
    )


def _numbers(text: str) -> list[float] | None:
    """Return the numbers of a list in text, as ``[0.5, 1]``; None where it is something else."""
    try:
        values = ast.literal_eval(text[:_LONGEST_LIST].strip())
        if isinstance(values, list) and all(type(value) in (int, float) for value in values):
            return [float(value) for value in values]
    except (ValueError, SyntaxError, MemoryError, RecursionError, OverflowError):
        pass
    return None


# From what is declared and what is given to the value, or None where it does not mean one.
_CASTS: dict[tuple[Parameter.Type, Parameter.Type], Callable[[Any], Any]] = {
    (Parameter.Type.DOUBLE, Parameter.Type.INTEGER): float,
    (Parameter.Type.STRING, Parameter.Type.INTEGER): str,
    (Parameter.Type.DOUBLE_ARRAY, Parameter.Type.INTEGER_ARRAY): lambda v: list(map(float, v)),
    # What ``ros2 param set`` makes of a list that mixes integers and floats, and of an empty one.
    (Parameter.Type.DOUBLE_ARRAY, Parameter.Type.STRING): _numbers,
    **{
        (Parameter.Type.STRING_ARRAY, kind): lambda v: None if v else []
        for kind in Parameter.Type
        if kind.name.endswith("_ARRAY")
    },
}


def specs(cls: type) -> list[Spec]:
    """List the parameters of a dataclass, groups flattened to dotted names."""
    hints = get_type_hints(cls)
    found = []
    for entry in fields(cls):
        kind = hints[entry.name]
        if isinstance(kind, type) and is_dataclass(kind):
            found += [replace(spec, name=f"{entry.name}.{spec.name}") for spec in specs(kind)]
        else:
            found.append(_spec(entry, kind))
    return found


def _spec(entry: Field[Any], kind: type) -> Spec:
    if entry.default is MISSING:
        raise TypeError(f"parameter {entry.name} needs a default")
    facts = {"strings": get_args(kind)[:1] == (str,), **entry.metadata}
    return Spec(entry.name, get_origin(kind) or kind, entry.default, **facts)


def build(cls: type[Parameters], values: dict[str, Any], prefix: str = "") -> Parameters:
    """Make the dataclass from values by dotted name; ParameterError where one is wrong."""
    hints = get_type_hints(cls)
    arguments = {}
    for entry in fields(cls):  # type: ignore[arg-type]  # every cls here is a dataclass
        kind: Any = hints[entry.name]
        name = f"{prefix}{entry.name}"
        if isinstance(kind, type) and is_dataclass(kind):
            arguments[entry.name] = build(kind, values, f"{name}.")
        else:
            replace(_spec(entry, kind), name=name).check(values[name])
            arguments[entry.name] = values[name]
    return cls(**arguments)


class DeclaredParameters(Generic[Parameters]):
    """The parameters of one node, declared, checked before a change and replaced after it.

    Args:
        node: to declare on.
        cls: a frozen dataclass of ``parameter`` and ``group`` fields.
        is_locked: says whether static parameters are refused now (the node is active).
        instead: what to do then.

    Attributes:
        values: the newest valid dataclass; replaced as a whole, so any thread may read it.

    Raises:
        ParameterError: where a value given at start is not allowed.
    """

    def __init__(
        self,
        node: Node,
        cls: type[Parameters],
        is_locked: Callable[[], bool] = lambda: False,
        instead: str = "deactivate it first",
    ) -> None:
        self._node = node
        self._cls = cls
        self._specs = {spec.name: spec for spec in specs(cls)}
        self._is_locked, self._instead = is_locked, instead
        overrides = overrides_of(node)
        for name, given in overrides.items():
            _check_override(name, given)
        for name in overrides.keys() & self._specs.keys():
            overrides[name] = self._specs[name].as_declared(overrides[name])
        for spec in self._specs.values():
            _declare(node, spec)
        self.values: Parameters = build(cls, self._current())
        # Humble has no pre-set callback: there parameter_services does the same for services.
        if hasattr(node, "add_pre_set_parameters_callback"):
            node.add_pre_set_parameters_callback(self.as_declared)
        node.add_on_set_parameters_callback(self._validate)
        # Humble has no post-set callback: there the validated values are taken at once.
        self._takes_later = hasattr(node, "add_post_set_parameters_callback")
        if self._takes_later:
            node.add_post_set_parameters_callback(self._take)
        self._warn_of_unknown()

    def as_declared(self, changes: Iterable[Parameter]) -> list[Parameter]:
        """Return parameters with integers as what is declared."""
        specs = self._specs
        return [specs[one.name].as_declared(one) if one.name in specs else one for one in changes]

    def _current(self) -> dict[str, Any]:
        return {name: self._value(self._node.get_parameter(name)) for name in self._specs}

    def _value(self, given: Parameter) -> Any:  # noqa: ANN401
        """Return a parameter's value; rclpy has arrays of two kinds, and neither is a constant."""
        spec = self._specs[given.name]
        return tuple(given.value) if spec.type is tuple else given.value

    def _validate(self, changes: list[Parameter]) -> SetParametersResult:
        changed = {p.name: self._value(p) for p in changes if p.name in self._specs}
        try:
            for name, value in changed.items():
                self._refuse_static(name, value)
            values = build(self._cls, {**self._current(), **changed})
        except ParameterError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if not self._takes_later:
            self.values = values
        return SetParametersResult(successful=True)

    def _refuse_static(self, name: str, value: Any) -> None:  # noqa: ANN401
        unchanged = value == self._value(self._node.get_parameter(name))
        if self._specs[name].static and self._is_locked() and not unchanged:
            raise ParameterError(
                f"parameter {name} cannot change while the node is active; {self._instead}"
            )

    def _take(self, _changes: Iterable[Parameter]) -> None:
        self.values = build(self._cls, self._current())

    def _warn_of_unknown(self) -> None:
        """Name the values given at start that no parameter takes: ROS drops them silently."""
        known = list(self._specs)
        for name in overrides_of(self._node):
            if self._node.has_parameter(name) or name.startswith(OVERRIDES):
                continue
            hint = did_you_mean(name, known)
            self._node.get_logger().warning(
                f"unknown parameter {printable(name, 200)} is ignored{hint}"
            )


def overrides_of(node: Node) -> dict[str, Parameter]:
    """Return what was given at start, by name; rclpy has no name for it that is public."""
    found: dict[str, Parameter] = getattr(node, "_parameter_overrides", {})
    return found


def _check_override(name: str, given: Parameter) -> None:
    """Refuse a QoS that is none, where rclpy names neither the topic nor what may be."""
    policy = name.rsplit(".", 1)[-1] if name.startswith(OVERRIDES) else ""
    value = given.value
    if policy == "depth" and not (type(value) is int and 0 < value <= _MOST_DEPTH):
        raise _must_be(name, value, "a whole number, 1 or more")
    if policy in _POLICIES:
        known = [word for word in _POLICIES[policy].short_keys() if word != "unknown"]
        if str(value).lower() not in known:
            raise _must_be(name, value, f"one of {', '.join(known)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is nearest to one that is not; "" where none is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def _declare(node: Node, spec: Spec) -> None:
    if not spec.strings:
        default = list(spec.default) if spec.type is tuple else spec.default
        node.declare_parameter(spec.name, default, spec.descriptor())
        return
    # By its type, as rclpy takes an empty list for one of bytes; one in YAML says nothing at all.
    strings = Parameter.Type.STRING_ARRAY
    if node.declare_parameter(spec.name, strings, spec.descriptor()).value is None:
        node.set_parameters([Parameter(spec.name, strings, list(spec.default))])
