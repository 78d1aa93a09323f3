"""Two texts compared word by word."""

from hypothesis import given
from hypothesis import strategies as st

from web.word_diff import MAX_CHARACTERS, compared

NOTES = "Recorded in one go, at home, on the last warm evening of the year."


def side(parts, gone):
    return "".join(text for kind, text in parts if kind != gone)


def test_words_that_changed_are_told_among_those_that_did_not():
    parts = compared(NOTES, NOTES.replace("at home", "in the barn"))
    assert [text.strip() for kind, text in parts if kind == "del"] == ["at home,"]
    assert [text.strip() for kind, text in parts if kind == "ins"] == ["in the barn,"]


def test_a_line_that_was_added_is_all_that_is_new():
    parts = compared(NOTES, f"{NOTES}\nMixed twice.")
    assert parts[1:] == [("ins", "\nMixed twice.")]


def test_the_middle_of_what_is_the_same_is_left_out():
    words = [f"word{number}" for number in range(100)]
    parts = compared(" ".join(words), " ".join([*words[:50], "new", *words[50:]]))
    assert [kind for kind, _ in parts] == ["same", "ins", "same"]
    assert parts[0][1].startswith(" … ")
    assert parts[0][1].endswith("word49")
    assert len(parts[0][1]) < 100


def test_texts_that_are_short_very_long_or_unlike_are_shown_whole():
    assert compared("First Take", "Second Take") == ()
    assert compared(NOTES, "x " * MAX_CHARACTERS) == ()
    assert compared(NOTES, "Nothing of it is left; all words were written anew by somebody else.") == ()


WORDS = st.lists(st.sampled_from(["tape ", "live ", "take\n", "two  ", "x"]), min_size=15, max_size=40)


@given(WORDS, WORDS)
def test_both_texts_are_found_in_the_parts_whatever_they_are(before, after):
    parts = compared("".join(before), "".join(after))
    if parts and not any("…" in text for _, text in parts):
        assert (side(parts, "ins"), side(parts, "del")) == ("".join(before), "".join(after))
