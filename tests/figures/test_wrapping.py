import pytest

from lit_intriguing.figures.wrapping import text_width, wrapped


def test_no_line_is_wider_than_asked_and_no_word_is_lost():
    text = "right: " + "FC100-100-10 81.7%, " * 5
    found = wrapped(text, 2.6, 7.5)
    assert text_width(found, 7.5) <= 2.6
    assert found.split() == text.split()
    assert len(found.splitlines()) < 6


def test_a_word_wider_than_the_line_is_broken():
    found = wrapped("M" * 60, 1, 10)
    assert text_width(found, 10) <= 1
    assert found.replace("\n", "") == "M" * 60


def test_line_breaks_are_kept_and_what_fits_stays():
    assert wrapped("a b\nc", 1, 10) == "a b\nc"


def test_the_width_is_that_of_the_longest_line_and_grows_with_the_font():
    assert text_width("i\nMMMM", 8) == text_width("MMMM", 8)
    assert text_width("MMMM", 16) == pytest.approx(2 * text_width("MMMM", 8), rel=0.05)
    assert text_width("", 8) == 0
