"""What an account notes, and what is no change to it."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from aggregates.accounts.account import Account
from aggregates.accounts.account_events import AccountEvent
from tests.dsl import ALICE, START, own_fields, some_time

Step = Callable[[Account], None]
NOW = some_time(60)


def signed_in(session_id: str = "s1", *, expires_at: datetime | None = None, at: datetime = START) -> Step:
    return lambda account: account.sign_in(
        session_id,
        method="oauth",
        handle="alice.test",
        pds_url="https://pds.test",
        name="browser",
        scope="write",
        expires_at=expires_at,
        at=at,
    )


def issued() -> Step:
    return lambda account: account.issue_token("t1", name="ci", scope="read", expires_at=None, at=START)


def an_account(*past: Step) -> tuple[Account, list[Any]]:
    account = Account.open(did=ALICE, at=START)
    for step in past:
        step(account)
    return account, list(account.collect_events())


def expect(past: list[Step], step: Step, *expected: type[AccountEvent]) -> list[Any]:
    """Given this past, when the step is taken, then exactly these events; their replay is the same account."""
    account, before = an_account(*past)
    step(account)
    events = list(account.collect_events())
    assert [type(event) for event in events] == list(expected)
    replayed: Any = None
    for event in [*before, *events]:
        replayed = event.mutate(replayed)
    assert replayed == account
    return [own_fields(event) for event in events]


def test_a_session_that_ended_ends_once() -> None:
    assert expect([signed_in()], lambda a: a.sign_out("s1", at=NOW), Account.SignedOut) == [
        {"session_id": "s1"}
    ]
    expect([signed_in(), lambda a: a.sign_out("s1", at=NOW)], lambda a: a.sign_out("s1", at=NOW))


def test_a_token_that_was_revoked_is_revoked_once() -> None:
    expect([issued()], lambda a: a.revoke_token("t1", at=NOW), Account.TokenRevoked)
    expect([issued(), lambda a: a.revoke_token("t1", at=NOW)], lambda a: a.revoke_token("t1", at=NOW))
    expect([issued()], lambda a: a.revoke_token("t2", at=NOW))


def test_an_account_that_is_not_connected_is_not_disconnected() -> None:
    def disconnect(account: Account) -> None:
        account.disconnect(revoked=True, at=NOW)

    expect([], disconnect)
    expect([signed_in()], disconnect, Account.Disconnected)
    expect([signed_in(), disconnect], disconnect)
    expect([signed_in(), disconnect, signed_in("s2")], disconnect, Account.Disconnected)


def test_a_profile_notes_what_changed_and_the_same_again_is_none() -> None:
    def named(account: Account) -> None:
        account.update_profile({"display_name": "Alice", "bio": "Words"}, at=NOW)

    changed = expect(
        [named],
        lambda a: a.update_profile({"display_name": "Alice", "bio": None}, at=NOW),
        Account.ProfileUpdated,
    )
    assert changed == [{"changes": {"bio": None}}]
    expect([named], named)


def test_an_operators_action_is_recorded_though_it_changed_nothing() -> None:
    def pause(account: Account) -> None:
        account.record_operator_action("pause", {"host": "https://pds.test"}, affected=0, reason=None, at=NOW)

    expect([pause], pause, Account.OperatorActed)


def test_an_account_asks_to_leave_once_and_leaves_once() -> None:
    def ask(account: Account) -> None:
        account.request_leave(at=NOW)

    def go(account: Account) -> None:
        account.leave({"records": 0}, at=NOW)

    expect([signed_in()], ask, Account.LeaveRequested)
    expect([signed_in(), ask], ask)
    expect([signed_in()], go)
    expect([signed_in(), ask], go, Account.Left)
    expect([signed_in(), ask, go], go)


def test_a_sign_in_does_not_withdraw_the_request_to_leave() -> None:
    account, _ = an_account(signed_in(), lambda a: a.request_leave(at=NOW), signed_in("s2", at=NOW))
    assert account.leaving_since == NOW


def test_a_deleted_account_that_returns_starts_empty() -> None:
    gone: list[Step] = [
        signed_in(),
        issued(),
        lambda a: a.update_profile({"display_name": "Alice"}, at=NOW),
        lambda a: a.request_leave(at=NOW),
        lambda a: a.leave({}, at=NOW),
    ]
    account, _ = an_account(*gone, signed_in("s2", at=NOW))
    assert (list(account.sessions), account.tokens, account.leaving_since) == (["s2"], {}, None)
    assert account.display_name is None


@pytest.mark.parametrize(
    ("later", "known"), [(timedelta(minutes=59), ["s1", "s2"]), (timedelta(hours=1), ["s2"])]
)
def test_sessions_whose_time_is_over_do_not_gather(later: timedelta, known: list[str]) -> None:
    account, _ = an_account(
        signed_in(expires_at=START + timedelta(hours=1)), signed_in("s2", at=START + later)
    )
    assert list(account.sessions) == known
