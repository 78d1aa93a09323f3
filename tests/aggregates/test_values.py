"""Each limit of the lexicon: the last value that fits, and the first that does not."""

from collections.abc import Callable
from typing import Any

import pytest

from aggregates.errors import InvalidFieldError
from aggregates.values import (
    Feature,
    SupportGate,
    checked_album,
    checked_artist,
    checked_description,
    checked_features,
    checked_self_labels,
    checked_support_gate,
    checked_tags,
    checked_title,
)
from tests.dsl import some_feature

Check = Callable[[Any], Any]

TEXTS: list[tuple[str, Check, int]] = [
    ("title", checked_title, 256),
    ("artist", checked_artist, 256),
    ("album", checked_album, 256),
    ("description", checked_description, 5000),
]


def refused(check: Check, value: Any) -> InvalidFieldError:
    with pytest.raises(InvalidFieldError) as refusal:
        check(value)
    return refusal.value


@pytest.mark.parametrize(("field", "check", "limit"), TEXTS)
def test_a_text_is_limited_in_bytes_of_utf8_and_not_in_characters(
    field: str, check: Check, limit: int
) -> None:
    fits = "🎵" * (limit // 4)
    assert check(fits) == fits
    error = refused(check, fits + "a")
    assert (error.field, error.limit) == (field, f"at most {limit} bytes of UTF-8")


@pytest.mark.parametrize(
    ("value", "limit"), [("a\0b", "no NUL character"), ("a\ud800", "no lone surrogates")]
)
def test_a_text_holds_nothing_that_a_record_or_a_database_cannot(value: str, limit: str) -> None:
    assert str(refused(checked_title, value)) == f"title: {limit}"


@pytest.mark.parametrize(("field", "check"), [("title", checked_title), ("artist", checked_artist)])
def test_title_and_artist_are_never_empty(field: str, check: Check) -> None:
    error = refused(check, "")
    assert (error.field, error.limit) == (field, "must not be empty")


@pytest.mark.parametrize("check", [checked_album, checked_description])
@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_album_or_description_is_none(check: Check, value: str | None) -> None:
    assert check(value) is None


@pytest.mark.parametrize("value", [" spaced ", "line\nbreak", "\N{ZERO WIDTH SPACE}", "e\u0301"])
def test_a_text_is_stored_as_it_came(value: str) -> None:
    for _, check, _ in TEXTS:
        assert check(value) == value


def test_ten_features_fit_and_eleven_do_not() -> None:
    features = [some_feature(f"f{number}") for number in range(11)]
    assert checked_features(features[:10]) == tuple(features[:10])
    assert refused(checked_features, features).field == "features"


def test_a_featured_artist_counts_once_in_the_place_where_they_came_first() -> None:
    first, again, other = (
        Feature("did:a", "old.test"),
        Feature("did:a", "new.test"),
        Feature("did:b", "b.test"),
    )
    assert checked_features([first, other, again]) == (again, other)
    assert len(checked_features([first] * 11)) == 1


def test_a_feature_holds_no_text_that_cannot_be_stored() -> None:
    for bad in (Feature("a\0", "a.test"), Feature("did:a", "a\0")):
        assert refused(checked_features, [bad]).field == "features"


def test_ten_tags_fit_and_eleven_do_not() -> None:
    tags = [f"t{number}" for number in range(11)]
    assert checked_tags(tags[:10]) == tuple(tags[:10])
    assert refused(checked_tags, tags).limit == "at most 10 tags"


def test_a_tag_is_limited_to_fifty_characters() -> None:
    assert checked_tags(["🎵" * 50]) == ("🎵" * 50,)
    error = refused(checked_tags, ["🎵" * 51])
    assert (error.field, error.limit) == ("tags", "at most 50 characters a tag")


def test_a_tag_is_measured_as_it_is_stored() -> None:
    assert checked_tags(["  " + "A" * 50 + " - "]) == ("a" * 50,)
    assert refused(checked_tags, ["\N{LATIN CAPITAL LETTER I WITH DOT ABOVE}" * 26]).field == "tags"


def test_tags_are_lower_case_with_single_spaces_and_each_once() -> None:
    given = [" Hip  Hop ", "hip\thop", "- Lo-Fi -", "", " - ", "ÉTÉ"]
    assert checked_tags(given) == ("hip hop", "lo-fi", "été")


def test_ten_self_labels_fit_and_eleven_do_not() -> None:
    labels = [f"l{number}" for number in range(11)]
    assert checked_self_labels(labels[:10]) == tuple(labels[:10])
    assert refused(checked_self_labels, labels).limit == "at most 10 labels"
    assert checked_self_labels(["a"] * 11) == ("a",)


def test_a_self_label_has_1_to_128_bytes() -> None:
    assert checked_self_labels(["é" * 64]) == ("é" * 64,)
    assert refused(checked_self_labels, ["é" * 64 + "a"]).limit == "at most 128 bytes of UTF-8"
    assert refused(checked_self_labels, [""]).limit == "must not be empty"


def test_an_entry_of_a_list_holds_nothing_that_cannot_be_stored() -> None:
    assert refused(checked_tags, ["good", "a\0"]).field == "tags"
    assert refused(checked_self_labels, ["good", "a\0"]).field == "self_labels"


def test_a_gate_is_of_a_known_type() -> None:
    assert checked_support_gate("any") == SupportGate("any")
    error = refused(checked_support_gate, "tier:3")
    assert (error.field, error.limit) == ("support_gate", "type must be one of: any")
