"""What is kept of acknowledged transactions can be read after the process has ended, whatever it was doing."""

from pathlib import Path

from eventstore.change import RecordedEvent
from eventstore.failover.acknowledged_file import SLOTS, Acknowledged, AcknowledgedFile, files_left
from tests.dsl import some_time
from tests.eventstore.counter import Counter


def event(position: int, request: str = "r") -> RecordedEvent:
    counter = Counter(name="one")
    [created] = counter.collect_events()
    return RecordedEvent(position, "did:plc:a", 1, created, "t", "a", "test", request, some_time(0))


def test_the_newest_transactions_are_kept(tmp_path: Path) -> None:
    file = AcknowledgedFile.create(tmp_path)
    for position in range(1, SLOTS + 11):
        file.keep(event(position))
    assert {each.position for each in file.read()} == set(range(11, SLOTS + 11))
    file.close()


def test_a_transaction_is_kept_with_stream_version_and_the_beginning_of_its_request(tmp_path: Path) -> None:
    file = AcknowledgedFile.create(tmp_path)
    kept = event(5, "é" * 40)
    file.keep(kept)
    assert file.read() == [Acknowledged(5, str(kept.aggregate_id), 1, ("é" * 40).encode()[:64])]
    file.close()


def test_a_slot_whose_writing_was_cut_off_counts_as_empty(tmp_path: Path) -> None:
    file = AcknowledgedFile.create(tmp_path)
    file.keep(event(1))
    file.keep(event(2))
    file.close()
    content = bytearray(file.path.read_bytes())
    size = len(content) // SLOTS
    content[3 * size - 8 : 3 * size] = bytes(8)  # the end of the second one
    file.path.write_bytes(content)
    [left] = files_left(tmp_path)
    assert [each.position for each in left.read()] == [1]
    left.close()


def test_the_file_of_a_running_process_is_left_alone(tmp_path: Path) -> None:
    file = AcknowledgedFile.create(tmp_path)
    assert files_left(tmp_path) == []
    file.close()
    [left] = files_left(tmp_path)
    left.close()
