"""A dump file is read as it was written, or refused with the line that is wrong."""

import json

import pytest

from replay.dump import read_lines, write_lines
from replay.errors import BrokenDumpError

ROWS = [("event", {"position": n, "title": f"Ü {n}", "none": None}) for n in range(5)]


@pytest.fixture
def dump_lines():
    return list(write_lines({"schema": "1"}, ROWS))


def broken_at(lines):
    with pytest.raises(BrokenDumpError) as refused:
        list(read_lines(lines))
    assert f"line {refused.value.line}:" in str(refused.value)
    return refused.value.line


def test_a_dump_file_is_read_as_it_was_written(dump_lines):
    header, *lines = read_lines(dump_lines)
    assert header.row == {"format": 1, "schema": "1"}
    assert [(line.kind, line.row) for line in lines] == ROWS
    assert [line.kind for line in read_lines(write_lines({}, []))] == ["header"]


@pytest.mark.parametrize("line", range(7))
def test_a_changed_line_is_named(dump_lines, line):
    changed = json.loads(dump_lines[line])
    changed["row"]["title"] = "another"
    dump_lines[line] = json.dumps(changed).encode() + b"\n"
    assert broken_at(dump_lines) == line + 1


@pytest.mark.parametrize("line", range(7))
def test_half_a_line_is_named(dump_lines, line):
    dump_lines[line] = dump_lines[line][: len(dump_lines[line]) // 2]
    assert broken_at(dump_lines) == line + 1


@pytest.mark.parametrize("line", range(1, 5))
def test_a_lost_line_a_copied_one_a_moved_one_and_a_truncated_file_are_noticed(dump_lines, line):
    assert broken_at(dump_lines[:line] + dump_lines[line + 1 :]) == 6
    assert broken_at(dump_lines[: line + 1] + dump_lines[line:]) == 8
    assert broken_at(dump_lines[:line]) == line + 1
    dump_lines.insert(line, dump_lines.pop(line + 1))
    assert broken_at(dump_lines) == 7


def test_nothing_may_follow_the_end(dump_lines):
    assert broken_at([*dump_lines, dump_lines[1]]) == 8
    assert broken_at([*dump_lines, *dump_lines]) == 8


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"null\n", b"[]\n", b'{"kind": 1}\n', b"\xff\n", b"[" * 100_000, b"{}\n"]
)
def test_what_is_no_line_of_a_dump_file_is_refused(line):
    assert broken_at([line]) == 1


def test_a_dump_file_of_a_later_format_or_without_a_header_is_refused(dump_lines):
    assert broken_at(write_lines({"format": 2}, ROWS)) == 1
    assert broken_at(dump_lines[1:]) == 1
    assert broken_at([dump_lines[0], *dump_lines]) == 2
