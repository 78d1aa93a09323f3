"""One world with something on every page: tracks, lists, reactions, a release; delivered, rejected, held, deleted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from identity.accounts.credentials import Scope
from tests.api.client import TestClient
from tests.api.ops.requests import rejected
from tests.api.world import Person, World, ids_of, upload, upload_with_all
from tests.dumps.stillness import STEP_SECONDS
from tests.fake_pds.scripted_pds import HOST
from tests.media_samples import samples

PAUSE = {"action": "pause", "host": HOST, "reason": "maintenance"}


@dataclass(frozen=True)
class Seeded:
    people: dict[str, Person | None]
    names: dict[str, Any]
    """What stands for each parameter in the path of a route."""


def seed(world: World, client: TestClient, shift: Callable[[float], None]) -> Seeded:
    alice, bob = world.sign_in("alice"), world.sign_in("bob")
    admin = world.sign_in("admin", lane=False, scope=Scope.ADMIN)

    def settle() -> None:
        shift(STEP_SECONDS)
        world.deliver()
        world.carry()
        shift(STEP_SECONDS)

    def send(person: Person, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = client.request(method, path, headers=person.headers, **body)
        assert answer.is_success, (method, path, answer.text)
        settle()
        return answer.json() if answer.content else {}

    track = upload_with_all(
        client,
        alice,
        title="First Take",
        description="Recorded in one go.\nThanks to https://friend.example",
        tags=["late night", "jazz"],
        features=[bob.handle, "drummer.test"],
        image=samples.png(),
    )
    settle()
    here = f"/tracks/{track['id']}"
    send(bob, "PUT", f"{here}/like")
    send(bob, "POST", f"{here}/comments", json={"text": "This <b>one</b>", "timestamp_ms": 700})
    send(alice, "PATCH", here, json={"title": "Second Take", "tags": ["jazz", "quiet"]})
    for kind, list_id in (("albums", track["album_id"]), ("playlists", track["playlist_id"])):
        send(alice, "POST", f"/{kind}/{list_id}/tracks", json={"track_id": track["id"]})
    send(alice, "PUT", "/me/avatar", files={"image": ("a.png", samples.png(2), "image/png")})
    send(alice, "DELETE", f"/tracks/{upload(client, alice, title='Gone', seed=3)['id']}")
    upload(client, alice, title="Private", seed=4, unlisted="true")
    held = upload(client, alice, title="Held", seed=5)
    settle()
    world.pds.records[held["atproto_record_uri"]] = {**world.record(held), "title": "Written elsewhere"}
    send(alice, "PATCH", f"/tracks/{held['id']}", json={"title": "Written here"})
    rejected(world, client, alice, 6, 7)
    token = send(alice, "POST", f"/releases/{track['release_id']}/preview")["preview_url"].rpartition("/")[2]
    repair = send(admin, "POST", "/ops/repairs", json={"did": alice.did, "reason": "a look"})["id"]
    takedown = {"json": {"reason": "asked for"}}
    taken = upload(client, bob, title="Taken down", seed=8)
    send(admin, "POST", f"/ops/tracks/{taken['id']}/takedown", **takedown)
    send(admin, "POST", "/ops/hosts", json=PAUSE)
    cause = client.get("/ops/failures", headers=admin.headers).json()["items"][-1]["cause"]
    names = {
        **ids_of(track),
        "artist": alice.handle,
        "name": alice.handle,
        "did": alice.did,
        "slug": "a",
        "tag": "jazz",
        "list_id": track["playlist_id"],
        "version": 2,
        "token": token,
        "cause": cause,
        "repair_id": repair,
        "job_id": 1,
        "export_id": 1,
        "upload_id": "nowhere",
        "file_id": track["file_id"],
        "cid": track["audio_url"].rpartition("/")[2].partition(".")[0],
        "extension": "mp3",
        "cover": track["image_url"].rpartition("/")[2],
        "track_uri": track["atproto_record_uri"],
        "list_uri": f"at://{alice.did}/fm.plyr.list/{track['rkey']}",
        "rest": "x",
    }
    return Seeded({"anonymous": None, "alice": alice, "bob": bob, "admin": admin}, names)


def resume_host(client: TestClient, seeded: Seeded) -> None:
    admin = seeded.people["admin"]
    assert admin is not None
    client.post("/ops/hosts", json={**PAUSE, "action": "resume"}, headers=admin.headers)
