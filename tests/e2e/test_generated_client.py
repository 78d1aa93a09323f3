"""A client that is generated from the OpenAPI document plays the demo's story against the real service and PDS."""

import sys
from collections.abc import Iterator

import pytest

from demo.service import Service
from demo.story import EXPECTED_EVENTS, STORY, Stage, play
from devpds.server import DevPds, DevPlc
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.generated_client import PACKAGE, GeneratedClient, generate
from tests.media_samples import samples
from tests.servers.atproto import PdsAccount, new_account

pytestmark = [pytest.mark.pds, pytest.mark.usefixtures("package"), ONE_DATABASE]


@pytest.fixture
def account(pds: DevPds, plc: DevPlc) -> PdsAccount:
    return new_account(pds, plc)


@pytest.fixture(scope="session")
def package(standing_service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("generated")
    generate(standing_service.url, folder)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[name]


@pytest.fixture
def client(service: Service, account: PdsAccount) -> Iterator[GeneratedClient]:
    client = GeneratedClient(service.url, account.did, account.app_password)
    yield client
    client.close()


def test_a_generated_client_plays_the_whole_story(
    client: GeneratedClient, pds: DevPds, account: PdsAccount, friend: str
) -> None:
    stage = Stage(client, pds, account.did, friend)
    for act in STORY:
        step = play(stage, act)
        assert step.agrees, (act.__name__, step)

    told = client.call("history.read_audit_audit_get", limit=100)["items"]
    assert {*EXPECTED_EVENTS.values(), "SignedIn"} <= {row["type"] for row in told}
    assert {row["via"] for row in told if row["type"] == "Created"} == {"token:app password"}
    assert client.call("mirror.read_lane_me_mirror_get")["waiting"] == {}
    verified = client.call("account.verify_own_me_verify_post")
    assert (verified["records"], verified["drifts"], verified["problem"]) == (1, [], None)


def test_a_generated_client_reaches_what_the_story_leaves_out(client: GeneratedClient) -> None:
    issue = client.model("IssueTokenAuthTokensPostJsonBody")
    issued = client.call(
        "sign_in.issue_token_auth_tokens_post", body=issue(name="robot"), idempotency_key="k"
    )
    again = client.reply(
        "sign_in.issue_token_auth_tokens_post", body=issue(name="robot"), idempotency_key="k"
    )
    assert again.parsed.detail.error == "token_shown_once"
    assert again.parsed.detail["token_id"] == issued["id"]

    upload = client.upload(samples.mp3(4711), name="tone.mp3", title="Other", tags='["demo"]', unlisted=True)
    edit = client.model("EditTracksTrackIdPatchJsonBody")(support_gate=None, title="New")
    conflict = client.reply("tracks.edit_tracks_track_id_patch", upload["id"], body=edit, if_match='"99"')
    assert (conflict.status_code, conflict.parsed.detail.error) == (412, "version_mismatch")
    edited = client.call("tracks.edit_tracks_track_id_patch", upload["id"], body=edit, prefer="wait=30")
    assert (edited["title"], edited["mirror"]["state"]) == ("New", "delivered")

    audio = client.reply("media.audio_audio_cid_extension_get", upload["file_id"], upload["file_type"])
    assert audio.content == samples.mp3(4711)
    assert client.reply("account.export_own_me_export_get").content.count(b"\n") > 2
