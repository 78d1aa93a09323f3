"""OAuth as in production: https on public names, a confidential client, no exceptions for development.

Run by test_oauth_production.py in an internet of its own: `python -m tests.servers.internet tests.e2e.oauth_production FOLDER`.
"""

import json
import os
import ssl
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from sqlalchemy import NullPool, create_engine, text

from devpds.ports import free_port
from devpds.server import DevPlc
from service.config.secret_keys import new_oauth_keys
from tests.e2e.oauth_visitor import OAuthArtist, Visitor
from tests.e2e.production_pds import account_at, production_pds
from tests.servers.internet import Internet
from tests.servers.preloaded import Service
from tests.service.command_line import MASTERTAPE

PDS, TAPE = "pds.example.org", "tape.mastertape-story.org"  # a PDS refuses clients under example.org
BASE_URL = f"https://{TAPE}"


class Production:
    def __init__(self, folder, stack):
        self.folder = folder
        pds_port, service_port = free_port(), free_port()
        self.internet = Internet({PDS: pds_port, TAPE: service_port}, folder)
        stack.enter_context(self.internet.up())
        trusted = str(self.internet.authority.file)
        self.tls = ssl.create_default_context(cafile=trusted)
        plc = stack.enter_context(DevPlc(folder / "plc"))
        self.pds = stack.enter_context(production_pds(self.internet, plc, folder, PDS, pds_port))
        # the next key is published long before it signs: a PDS keeps what it has fetched for a while
        self.keys = [*json.loads(new_oauth_keys()), *json.loads(new_oauth_keys())]
        self.settings = {
            "MASTERTAPE_BASE_URL": BASE_URL,
            "MASTERTAPE_PORT": str(service_port),
            "MASTERTAPE_DEV_ORIGINS": "",
            "MASTERTAPE_PLC_URL": plc.url,
            "MASTERTAPE_SECRET_KEYS": "a secret that only this story knows of",
            "SSL_CERT_FILE": trusted,
        }
        self.service = None
        stack.callback(lambda: self.service and self.service.stop())

    def serves(self):
        if self.service is not None:
            self.service.stop()
        keys = {"MASTERTAPE_OAUTH_KEYS": json.dumps(self.keys)}
        self.service = Service(self.folder / "data", self.pds, env=self.settings | keys)
        self.service.port = int(self.settings["MASTERTAPE_PORT"])
        self.service.url = f"http://127.0.0.1:{self.service.port}"
        self.service.start()

    def logins_by_key(self):
        """What an operator asks before a key goes."""
        settings = self.settings | {
            "MASTERTAPE_DATA": str(self.folder / "data"),
            "MASTERTAPE_OAUTH_KEYS": json.dumps(self.keys),
        }
        said = subprocess.run(
            [MASTERTAPE, "oauth-key", "--in-use"],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=True,
        )
        return {kid: int(count) for kid, count in map(str.split, said.stdout.splitlines())}

    def expire(self, account):
        """Let the account's access token be over, so that the next write renews it."""
        engine = create_engine(f"sqlite:///{self.folder / 'data' / 'mastertape.db'}", poolclass=NullPool)
        with engine.begin() as connection:
            past = "2000-01-01 00:00:00.000000"
            statement = text("update pds_session set access_expires_at = :past where did = :did")
            connection.execute(statement, {"past": past, "did": account.did})
            found = text("select generation from pds_session where did = :did")
            return connection.execute(found, {"did": account.did}).scalar_one()

    def artist(self, account):
        artist = OAuthArtist(self.service, self.pds, account)
        artist.client.http.close()
        artist.client = Visitor(BASE_URL, verify=self.tls)
        artist.client.http.headers["origin"] = BASE_URL
        return artist


def a_program(production):
    """Sign in, write, rotate the service's keys, renew with the old one, disconnect."""
    account = account_at(production.pds, "ann")
    artist = production.artist(account)
    answer = artist.client.signs_in(account)
    cookie = answer.headers["set-cookie"].lower()
    assert {"secure", "httponly", "samesite=lax"} <= set(cookie.split("; ")), cookie
    artist.uploads()
    assert artist.agreed()["title"] == "First Take"
    production.keys.reverse()
    production.serves()
    published = artist.client.http.get("/jwks.json").json()["keys"]
    assert [key["kid"] for key in published] == [key["kid"] for key in production.keys]
    assert all("d" not in key for key in published)
    generation = production.expire(account)
    artist.edits(title="Renewed With The Old Key")
    assert artist.agreed()["title"] == "Renewed With The Old Key"
    assert production.expire(account) == generation + 1
    assert artist.client.http.post("/me/disconnect").json()["revoked"] is True
    artist.client.signs_in(account)  # with the key that is first now
    assert production.logins_by_key() == {production.keys[0]["kid"]: 1}, "the old key may go"
    del production.keys[1]
    production.serves()
    production.expire(account)
    artist.edits(title="Again")
    assert artist.agreed()["title"] == "Again"
    artist.client.http.close()


def main(folder):
    with ExitStack() as stack:
        production = Production(folder, stack)
        production.serves()
        a_program(production)
    print("all good", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
