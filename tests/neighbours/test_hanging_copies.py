"""A public copy that hangs is given up, and what the publisher does later agrees with what the copy does at last."""

import threading
from collections.abc import Iterator

import pytest

from storage.errors import StoreUnavailableError
from storage.public import publisher
from storage.public.copies import PublicCopyState
from tests.storage.public.public_rig import Rig, gate
from tests.waits import until


@pytest.fixture
def rig(migrated_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setattr(publisher, "FIRST_PAUSE_SECONDS", 60.0)  # longer than a slow machine takes
    made = Rig(migrated_url)
    yield made
    until(lambda: not any(each.name == "publisher-change" for each in threading.enumerate()))
    made.database.close()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    only_the_first_are_hurried(monkeypatch, 1)


def only_the_first_are_hurried(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let these changes of a copy hang for a moment only; the others may be as slow as the machine."""
    limits = iter([0.3] * count)
    monkeypatch.setattr(publisher, "store_seconds", lambda _size: next(limits, 30.0))


class Hanging:
    """The first change at a step hangs until the test lets it go on."""

    def __init__(self, rig: Rig, step: str) -> None:
        self.go_on = threading.Event()
        self._step, self._came = step, False
        rig.copies.at = self

    def __call__(self, step: str) -> None:
        if step == self._step and not self._came:
            self._came = True
            assert self.go_on.wait(30)


def test_a_copy_that_hangs_is_retried_after_the_others(rig: Rig) -> None:
    first, second = (rig.upload(number, number=number) for number in (1, 2))
    hanging = Hanging(rig, "before publish")
    assert rig.publish_due() == {second}
    assert rig.publish_due() == {second}  # not at once: there is a retry delay
    rig.later(61)
    assert rig.publish_due() == {first, second}
    hanging.go_on.set()


def test_a_copy_that_ends_late_counts(rig: Rig) -> None:
    name = rig.upload()
    hanging = Hanging(rig, "before publish")
    assert rig.publish_due() == set()
    hanging.go_on.set()
    until(lambda: rig.state(name) == PublicCopyState.PUBLIC)
    rig.later(61)
    assert rig.publish_due() == {name}
    assert rig.copies.done == [("publish", name)]


def test_a_copy_that_ends_after_its_removal_is_removed_again(rig: Rig) -> None:
    name = rig.upload()
    hanging = Hanging(rig, "before publish")
    assert rig.publish_due() == set()
    rig.change(gate)
    rig.publish_due()
    assert rig.state(name) == PublicCopyState.ABSENT
    hanging.go_on.set()
    until(lambda: rig.state(name) == PublicCopyState.UNCERTAIN)
    assert rig.publish_due() == set()
    assert rig.state(name) == PublicCopyState.ABSENT


def test_a_command_whose_copy_hangs_is_refused(rig: Rig) -> None:
    audio = rig.audio()
    hanging = Hanging(rig, "before publish")
    with pytest.raises(StoreUnavailableError):
        rig.publisher.reserve(audio.cid, "mp3", audio.mime)
    hanging.go_on.set()


def test_changes_that_hang_take_a_limited_number_of_threads(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MAX_CONCURRENT_CHANGES", 2)
    only_the_first_are_hurried(monkeypatch, 4)
    rig.publisher = rig.another()
    go_on, started = threading.Event(), []

    def hang(step: str) -> None:
        if step == "before publish":
            started.append(step)
            assert go_on.wait(30)

    rig.copies.at = hang
    names = {rig.upload(number, number=number) for number in range(1, 5)}
    assert rig.publish_due() == set()
    assert len(started) == 2
    go_on.set()
    until(lambda: [rig.state(name) for name in names].count(PublicCopyState.PUBLIC) == 2)
    rig.later(61)
    assert rig.publish_due() == names
