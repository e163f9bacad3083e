"""What tests of refusals have in common: an error of a kind, with a reason, in one line."""

from contextlib import contextmanager

import pytest


@contextmanager
def refused(kind, reason, match=None):
    """Hold a block to raising such an error, whose message matches."""
    with pytest.raises(kind, match=match) as error:
        yield error
    said = str(error.value)
    assert error.value.reason == reason, said
    assert "\n" not in said and len(said) < 700, said


def refusal(kind, reason, call, *args, **options):
    """Return the message of such an error, which a call must raise."""
    with refused(kind, reason) as error:
        call(*args, **options)
    return str(error.value)
