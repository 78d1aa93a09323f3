"""Sign-in with an app password, wired as in the service."""

from pydantic import SecretStr

from tests.identity.conftest import by
from tests.identity.oauth.oauth_rig import GET_SESSION, Rig


def wired(database, cipher, hooks, pds, admins=()):
    rig = Rig(database, cipher, hooks, pds)
    rig.admins = admins
    return rig


def run(signed, story):
    return signed.run(story)


def sign_in(signed, identifier, password):
    return signed.run(lambda made: made.sign_in(identifier, SecretStr(password), by=by))


def ask(signed, did):
    return signed.run(lambda made: made.sessions.request(did, "GET", GET_SESSION, timeout=20))


def take_down(pds, did):
    subject = {"$type": "com.atproto.admin.defs#repoRef", "did": did}
    body = {"subject": subject, "takedown": {"applied": True, "ref": "1"}}
    pds.procedure("com.atproto.admin.updateSubjectStatus", body, by="admin")
