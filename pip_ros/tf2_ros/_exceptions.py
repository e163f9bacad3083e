"""The exceptions of tf2, in its hierarchy and under its names (hence no suffix Error)."""


class TransformException(Exception):  # noqa: N818
    """Say that a transform is not available: the parent of all others here."""


class ConnectivityException(TransformException):
    """Say that two frames are in trees without a connection."""


class LookupException(TransformException):
    """Say that a frame does not exist, or that the tree has a loop."""


class ExtrapolationException(TransformException):
    """Say that the time asked for is outside the times of the data."""


class InvalidArgumentException(TransformException):
    """Say that a frame id is empty or starts with a slash."""


class TimeoutException(TransformException):
    """Say that time ran out; `Buffer` never raises it, it raises what was still missing."""
