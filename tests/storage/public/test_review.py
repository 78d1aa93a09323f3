"""The review finds copies that are wrong although no event changed them."""

import pytest
from sqlalchemy import insert, update

from eventstore.jobs import queue
from eventstore.jobs.table import job
from storage.cid import CID_BEGINNINGS, cid_of
from storage.public.copies import Action, begin, public_audio, public_copy
from storage.public.publisher import LEASE
from storage.public.review import review
from tests.dsl import ALICE
from tests.storage.public.public_rig import Rig, gate, ungate


def reviewed(rig: Rig) -> tuple[int, set[str]]:
    return review(rig.database, rig.copies), rig.publish_due()


def test_a_consistent_store_has_no_mismatches(rig: Rig) -> None:
    name = rig.upload(1, number=1)
    rig.upload(2, number=2, gated=True)
    rig.publish_due()
    done = list(rig.copies.done)
    assert reviewed(rig) == (0, {name})
    assert rig.copies.done == done


def test_a_copy_deleted_by_hand_is_made_again(rig: Rig) -> None:
    name = rig.upload()
    rig.publish_due()
    rig.copies.names.clear()
    assert rig.publish_due() == set()
    assert reviewed(rig) == (1, {name})


def test_an_unwanted_copy_in_the_store_is_removed(rig: Rig) -> None:
    name = rig.upload()
    rig.publish_due()
    rig.change(gate)
    rig.publish_due()
    rig.copies.names[name] = "audio/mpeg"
    assert reviewed(rig) == (1, set())


def test_a_copy_without_a_row_is_removed(rig: Rig) -> None:
    rig.copies.names[f"{cid_of(b'whose?')}.mp3"] = "audio/mpeg"
    assert reviewed(rig) == (1, set())


def test_a_foreign_object_is_left_alone(rig: Rig) -> None:
    others = {"index.html", "bafkreib.mp3", f"{cid_of(b'x')}.mp3/part"}
    rig.copies.names = dict.fromkeys(others, "text/html")
    assert reviewed(rig) == (0, others)


def test_a_copy_in_progress_is_not_a_mismatch(rig: Rig) -> None:
    name = rig.upload()
    kind = rig.publisher.kinds[Action.PUBLISH]
    claimed = queue.claim(rig.database, kind, owner="x", lease=LEASE, subject=name, account=ALICE)
    assert claimed is not None
    begin(rig.database, claimed)
    rig.copies.names[name] = "audio/mpeg"
    assert reviewed(rig) == (0, {name})


@pytest.mark.parametrize("wanted", [True, False])
def test_desired_states_corrected_by_a_rebuild_are_marked(rig: Rig, wanted: bool) -> None:
    name = rig.upload()
    if wanted:
        rig.change(gate)
    rig.publish_due()
    with rig.database.write() as connection:
        connection.execute(update(public_audio).values(wanted=wanted))
    assert reviewed(rig) == (1, {name} if wanted else set())


def test_wanted_audio_without_a_copy_row_is_marked(rig: Rig) -> None:
    name = rig.upload()
    with rig.database.write() as connection:
        connection.execute(public_copy.delete())
        connection.execute(job.delete())
    assert reviewed(rig) == (1, {name})


def test_what_is_published_during_the_review_is_not_missed(rig: Rig) -> None:
    name = rig.upload(gated=True)
    rig.publish_due()

    def at(step: str) -> None:
        if step == "list" and not rig.copies.names:
            rig.change(ungate)
            rig.publish_due()

    rig.copies.at = at
    assert reviewed(rig) == (0, {name})


def test_every_cid_has_one_of_the_beginnings() -> None:
    beginnings = {cid_of(str(number).encode())[:8] for number in range(1000)}
    assert beginnings == set(CID_BEGINNINGS)


def test_a_row_that_is_made_meanwhile_is_not_made_twice(rig: Rig) -> None:
    name = f"{cid_of(b'whose?')}.mp3"
    rig.copies.names[name] = "audio/mpeg"
    row = {"name": name, "cid": cid_of(b"whose?"), "mime": "audio/mpeg", "state": "public"}

    def at(_step: str) -> None:
        rig.recover()
        with rig.database.write() as connection:
            connection.execute(insert(public_copy).values(row))

    rig.copies.at = at
    assert review(rig.database, rig.copies) == 0
