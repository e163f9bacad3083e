"""What comes from outside is one short printable line in whatever this package says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_anything_ros.core.errors import ImageError, first_line, printable, quoted


@given(st.text())
def test_any_text_becomes_one_printable_line(text):
    for line in (printable(text), quoted(text), str(ImageError(text)), first_line(OSError(text))):
        assert line.isprintable()


def test_what_is_printable_stays_as_it_is():
    assert printable("depth 3.5 m, 20 °C – d'accord") == "depth 3.5 m, 20 °C – d'accord"
    assert quoted("rgb8") == "'rgb8'"
    assert quoted(b"\x00ab") == r"b'\x00ab'"


def test_escapes_are_those_of_python():
    text = "jpeg\n\x1b[31m[FATAL]\u2028\u202e\ud800"
    assert printable(text) == r"jpeg\n\x1b[31m[FATAL]\u2028\u202e\ud800"
    assert quoted(text) == r"'jpeg\n\x1b[31m[FATAL]\u2028\u202e\ud800'"


def test_long_texts_are_cut_and_counted():
    million = "A" * 10**6
    assert quoted(million) == f"'{'A' * 200}'… (1000000 characters)"
    assert printable(million, 10) == "AAAAAAAAAA… (1000000 characters)"
    assert len(str(ImageError(million))) < 2100
    assert len(first_line(OSError(million))) < 600


@pytest.mark.parametrize(("said", "line"), [("", "OSError"), ("\n one\n two", "one")])
def test_the_first_line_of_an_error(said, line):
    assert first_line(OSError(said)) == line
