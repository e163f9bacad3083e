"""Let a node's services answer whatever they are asked: what is wrong costs one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import SetParameters, SetParametersAtomically
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.parameter import Parameter

from depth_anything_ros.core.errors import ParameterError, first_line, printable, quoted
from depth_anything_ros.nodes.parameters import did_you_mean

# A node has less than a hundred parameters: more names are a mistake that would stop it for long.
MOST_NAMES = 1000
# Characters of a line in the log, which may show a value that came.
_LONGEST_LINE = 400
_TYPES = frozenset(kind.value for kind in Parameter.Type)

AsDeclared = Callable[[Iterable[Parameter]], list[Parameter]]


def guard_services(node: Node, as_declared: AsDeclared) -> None:
    """Keep what a service raises from ending the node; call it once the node has its services.

    rclpy lets through what it raises of, for example, a parameter of an unknown type. A request
    that is refused is answered as far as its type can say no, and logged in one line.

    Args:
        node: whose services are guarded.
        as_declared: takes integers for floats (``DeclaredParameters.as_declared``).
    """
    setter = _ParameterSetter(node, as_declared)
    for service in node.services:
        name = str(service.srv_name).rsplit("/", 1)[-1]
        if service.srv_type is SetParameters:
            service.callback = setter.set_each
        elif service.srv_type is SetParametersAtomically:
            service.callback = setter.set_together
        else:
            service.callback = _guarded(node, name, service.callback)


def _guarded(node: Node, name: str, answer: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def guarded(request: Any, response: Any) -> Any:  # noqa: ANN401 - of any service
        try:
            _check_number(request)
            return answer(request, response)
        except Exception as error:  # the border to what others ask, and to what rclpy makes of it
            node.get_logger().warning(f"{name} refused: {first_line(error)}")
            return type(response)()  # nothing, or success: false

    return guarded


def _check_number(request: Any) -> None:  # noqa: ANN401 - of any service
    for field in ("names", "prefixes", "parameters"):
        count = len(getattr(request, field, ()))
        if count > MOST_NAMES:
            raise ParameterError(f"{count} {field} at once; at most {MOST_NAMES} are answered")


class _ParameterSetter:
    """The services set_parameters and set_parameters_atomically."""

    def __init__(self, node: Node, as_declared: AsDeclared) -> None:
        self._node = node
        self._as_declared = as_declared

    def set_each(
        self, request: SetParameters.Request, response: SetParameters.Response
    ) -> SetParameters.Response:
        each = [[message] for message in request.parameters]
        response.results = self._answers("set_parameters", request, each)
        return response

    def set_together(
        self, request: SetParametersAtomically.Request, response: SetParametersAtomically.Response
    ) -> SetParametersAtomically.Response:
        all_of_them = [request.parameters]
        (response.result,) = self._answers("set_parameters_atomically", request, all_of_them)
        return response

    def _answers(
        self,
        service: str,
        request: Any,  # noqa: ANN401 - of either
        groups: Sequence[Sequence[ParameterMessage]],
    ) -> list[SetParametersResult]:
        """Set each group or refuse it, and say in one line what is refused."""
        try:
            _check_number(request)
            results = [self._set(messages) for messages in groups]
        except ParameterError as error:
            results = [SetParametersResult(successful=False, reason=str(error))] * len(groups)
        reasons = [result.reason for result in results if not result.successful]
        if reasons:
            more = f", and {len(reasons) - 1} more like this" if len(reasons) > 1 else ""
            said = printable(reasons[0], _LONGEST_LINE)
            self._node.get_logger().warning(f"{service} refused: {said}{more}")
        return results

    def _set(self, messages: Sequence[ParameterMessage]) -> SetParametersResult:
        if not messages:  # where rclpy complains of a callback
            return SetParametersResult(successful=True)
        try:
            for message in messages:
                self._check(message)
            given = [Parameter.from_parameter_msg(message) for message in messages]
            result = self._node.set_parameters_atomically(self._as_declared(given))
            if not result.successful:  # rclpy does not always say which
                names = printable(", ".join(message.name for message in messages[:10]), 200)
                result.reason = f"{names}: {printable(result.reason)}"
            return result
        except (ParameterError, ParameterException, TypeError, ValueError) as error:
            return SetParametersResult(successful=False, reason=first_line(error))

    def _check(self, message: ParameterMessage) -> None:
        """Refuse what rclpy would raise of, or take for something else (an empty name)."""
        if not self._node.has_parameter(message.name):
            known = self._node.get_parameters_by_prefix("")
            hint = did_you_mean(message.name[:100], known)
            raise ParameterError(f"undeclared parameter {quoted(message.name)}{hint}")
        if message.value.type not in _TYPES:
            raise ParameterError(
                f"parameter {message.name} came with the type {message.value.type}, which is "
                "none of rcl_interfaces/ParameterType"
            )
