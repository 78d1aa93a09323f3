"""OAuth sign-in and disconnect against the real PDS, without a browser."""

from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from aggregates.errors import SignInRequiredError
from identity.accounts.accounts import Accounts
from identity.accounts.credentials import Credentials, Scope, credential
from identity.errors import (
    ConsentDeniedError,
    NotPrivilegedError,
    ScopeRefusedError,
    SignInRefusedError,
    SignInStateError,
)
from identity.sessions.session_store import pds_session
from tests.identity.conftest import by
from tests.identity.oauth.oauth_rig import SCOPE, Rig, ask, rig, store_tokens, stored_tokens
from tests.identity.sessions.stored_sessions import session_row
from tests.servers.databases import ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.pds, ON_SQLITE]
PUT, UPLOAD = "com.atproto.repo.putRecord", "com.atproto.repo.uploadBlob"
MEGABYTE = 1024 * 1024


def record(did, collection="fm.plyr.track"):
    body = {"$type": collection, "title": "t"}
    return {"repo": did, "collection": collection, "rkey": "3kaaaaaaaaa2a", "record": body}


def nothing_was_kept(database, hooks):
    assert hooks.calls == []
    with database.read() as connection:
        assert connection.execute(select(pds_session)).all() == []
        assert connection.execute(select(credential)).all() == []


@pytest.mark.parametrize("spelled", ["@{handle}", "{did}"])
def test_a_person_signs_in_and_writes(rig, pds, pds_account, hooks, spelled):
    did = pds_account.did
    identifier = spelled.format(handle=pds_account.handle.upper(), did=did)
    started, query = rig.start_with_consent(pds_account, identifier, return_to="/tracks")
    signed_in, return_to = rig.finish(query, started.cookie)
    account = signed_in.account
    assert (account.did, account.handle, account.pds_url) == (did, pds_account.handle, pds.url)
    assert return_to == "/tracks"
    assert hooks.calls == [("signed_in", did, pds.url)]
    assert Accounts(rig.database).by_handle(pds_account.handle) == account
    assert Credentials(rig.database).authenticate(signed_in.token).did == did
    row = session_row(rig.database)
    assert (row.kind, row.scope, row.generation) == ("oauth", rig.scope, 1)
    assert rig.request(did, "POST", PUT, json=record(did)).status_code == 200
    assert pds.get_record(did, "fm.plyr.track", "3kaaaaaaaaa2a")["value"]["title"] == "t"


def test_what_was_not_asked_for_is_refused_by_the_pds(rig, pds_account):
    did = rig.sign_in(pds_account).account.did
    refused = rig.request(did, "POST", PUT, json=record(did, "fm.other.thing"))
    assert (refused.status_code, refused.json()["error"]) == (403, "ScopeMissingError")


def test_a_sign_in_as_admin_is_refused_for_others_before_the_redirect(rig, database, pds_account):
    with pytest.raises(NotPrivilegedError):
        rig.start(pds_account.handle, scope=Scope.ADMIN)
    rig.admins.append(pds_account.did)
    started, query = rig.start_with_consent(pds_account, scope=Scope.ADMIN)
    signed_in, _ = rig.finish(query, started.cookie)
    assert Credentials(database, admin_dids=rig.admins).authenticate(signed_in.token).admin


def test_disconnect_ends_the_login_at_the_pds_and_here(rig, database, hooks, pds_account):
    did = rig.sign_in(pds_account).account.did
    tokens = stored_tokens(rig, did)
    assert rig.run(lambda parts: parts.sessions.disconnect(did, by(did))) is True
    row = session_row(database)
    assert (row.status, row.sealed, row.last_error) == ("reauth_required", None, "disconnected")
    assert hooks.calls[-1] == ("reauth", did)
    with pytest.raises(SignInRequiredError):
        ask(rig, did)
    store_tokens(rig, did, tokens)  # as from a stolen copy
    with pytest.raises(SignInRequiredError) as refused:
        ask(rig, did)
    assert refused.value.reason == "invalid_grant"


def test_a_callback_is_for_the_browser_that_started(rig, database, hooks, pds_account):
    (started, query), other = rig.start_with_consent(pds_account), rig.start(pds_account.handle)
    for cookie in (None, SecretStr(""), other.cookie, SecretStr("x" * 100), SecretStr("ä")):
        with pytest.raises(SignInStateError):
            rig.finish(query, cookie)
    nothing_was_kept(database, hooks)
    assert rig.finish(query, started.cookie)[0].account.did == pds_account.did


UNEXPECTED = [
    ({"iss": "https://evil.example.com"}, SignInRefusedError),
    ({"iss": None}, SignInRefusedError),
    ({"state": "x" * 43}, SignInStateError),
    ({"state": None}, SignInStateError),
    ({"state": "\0ä" * 50}, SignInStateError),
    ({"code": None}, SignInRefusedError),
    ({"code": "cod-" + "0" * 64}, SignInRefusedError),
    ({"error": "server_error"}, SignInRefusedError),
    ({"error": "access_denied"}, ConsentDeniedError),
]


def test_an_unexpected_or_late_authorization_response_is_refused(
    *, rig, database, hooks, pds_account, subtests, monkeypatch
):
    started = rig.start(pds_account.handle)
    query = {"state": started.state, "iss": rig.pds.url, "code": "cod-" + "1" * 64}
    for change, refused in UNEXPECTED:
        with subtests.test(str(change)), pytest.raises(refused):
            rig.finish(query | change, started.cookie)
    monkeypatch.setattr("identity.oauth.sign_in.SIGN_IN_TTL", timedelta())
    with pytest.raises(SignInStateError):
        rig.finish(query, started.cookie)
    nothing_was_kept(database, hooks)


def test_a_smaller_grant_leaves_the_login_before_as_it_was(database, cipher, hooks, pds, pds_account):
    rig = Rig(database, cipher, hooks, pds)
    rig.sign_in(pds_account)
    before = stored_tokens(rig, pds_account.did)
    wider = Rig(database, cipher, hooks, pds, scope=f"{SCOPE} repo:fm.plyr.*")
    started, query = wider.start_with_consent(pds_account)
    with pytest.raises(ScopeRefusedError, match=r"expected .*repo:fm\.plyr\.\*.*, got"):
        wider.finish(query, started.cookie)
    assert stored_tokens(rig, pds_account.did) == before
    assert ask(rig, pds_account.did) == 200


def test_a_scope_that_the_pds_refuses_fails_at_the_start(database, cipher, hooks, pds, pds_account):
    rig = Rig(database, cipher, hooks, pds, scope="atproto include:fm.plyr.nothing")
    with pytest.raises(SignInRefusedError, match="invalid_scope"):
        rig.start(pds_account.handle)
