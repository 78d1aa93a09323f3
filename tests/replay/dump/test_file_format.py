"""A tape is read as it was written, or refused with the line that is wrong."""

import json

import pytest

from replay.dump.file_format import read, written
from replay.errors import BrokenTapeError

ROWS = [("event", {"position": n, "title": f"Ü {n}", "none": None}) for n in range(5)]


@pytest.fixture
def tape():
    return list(written({"schema": "1"}, ROWS))


def broken_at(lines):
    with pytest.raises(BrokenTapeError) as refused:
        list(read(lines))
    assert f"line {refused.value.line}:" in str(refused.value)
    return refused.value.line


def test_it_is_read_as_it_was_written(tape):
    header, *lines = read(tape)
    assert header.row == {"format": 1, "schema": "1"}
    assert [(line.kind, line.row) for line in lines] == ROWS


def test_an_empty_log_has_a_tape_too():
    assert [line.kind for line in read(written({}, []))] == ["header"]


@pytest.mark.parametrize("line", range(7))
def test_a_changed_line_is_named(tape, line):
    changed = json.loads(tape[line])
    changed["row"]["title"] = "another"
    tape[line] = json.dumps(changed).encode() + b"\n"
    assert broken_at(tape) == line + 1


@pytest.mark.parametrize("line", range(7))
def test_half_a_line_is_named(tape, line):
    tape[line] = tape[line][: len(tape[line]) // 2]
    assert broken_at(tape) == line + 1


@pytest.mark.parametrize("line", range(1, 6))
def test_a_lost_line_a_copied_one_and_a_moved_one_are_noticed(tape, line):
    assert broken_at(tape[:line] + tape[line + 1 :]) == 6
    assert broken_at(tape[: line + 1] + tape[line:]) == 8
    if line < 5:
        assert broken_at([*tape[:line], tape[line + 1], tape[line], *tape[line + 2 :]]) == 7


@pytest.mark.parametrize("length", range(7))
def test_a_tape_that_ends_early_is_noticed(tape, length):
    assert broken_at(tape[:length]) == length + 1


def test_nothing_may_follow_the_end(tape):
    assert broken_at([*tape, tape[1]]) == 8
    assert broken_at([*tape, *tape]) == 8


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"null\n", b"[]\n", b'{"kind": 1}\n', b"\xff\n", b"[" * 100_000, b"{}\n"]
)
def test_what_is_no_line_of_a_tape_is_refused(line):
    assert broken_at([line]) == 1


def test_a_later_format_is_refused():
    tape = list(written({"format": 2}, ROWS))
    assert broken_at(tape) == 1


def test_without_a_header_it_is_no_tape(tape):
    assert broken_at(tape[1:]) == 1
    assert broken_at([tape[0], *tape]) == 2
