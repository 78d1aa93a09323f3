"""The golden events of accounts: one per stored topic, in the order of one account's life (account_topics.txt)."""

from datetime import timedelta
from typing import Any

from eventsourcing.persistence import StoredEvent

from aggregates.accounts.account import Account
from aggregates.accounts.account_events import AccountEvent
from tests.dsl import ALICE, START, some_time
from tests.golden.tape import CODEC, EVENTS, HERE, stored

TOPICS = HERE / "account_topics.txt"


def topics() -> list[str]:
    return TOPICS.read_text().split() if TOPICS.exists() else []


def decoded(topic: str) -> Any:
    version = topics().index(topic) + 1
    return CODEC.decode(StoredEvent(str(Account.create_id(ALICE)), version, topic, stored(topic)))


def a_life() -> dict[str, AccountEvent]:
    """One event of each class, of one account's life."""
    later = START + timedelta(days=30)
    account = Account.open(did=ALICE, at=START)
    account.sign_in(
        "s1",
        method="oauth",
        handle="alice.test",
        pds_url="https://pds.test",
        name="browser",
        scope="write",
        expires_at=later,
        at=some_time(1),
    )
    account.issue_token("t1", name="ci", scope="read", expires_at=None, at=some_time(2))
    account.revoke_token("t1", at=some_time(3))
    account.sign_out("s1", at=some_time(4))
    account.disconnect(revoked=True, at=some_time(5))
    account.record_operator_action("pause", {"did": ALICE}, affected=1, reason="maintenance", at=some_time(6))
    account.request_leave(at=some_time(7))
    account.leave({"records": 0, "grant": "revoked"}, at=some_time(8))
    account.update_profile({"display_name": "Alice", "bio": "Words"}, at=some_time(9))
    events = [event for event in account.collect_events() if isinstance(event, AccountEvent)]
    return {CODEC.encode(event).topic: event for event in events}


def record() -> None:
    """Add what is missing; what is there is never overwritten."""
    known = topics()
    for topic, event in a_life().items():
        if topic not in known:
            known.append(topic)
            (EVENTS / f"{topic}.json").write_bytes(CODEC.encode(event).state + b"\n")
    TOPICS.write_text("\n".join(known) + "\n")
