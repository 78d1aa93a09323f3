"""A client that openapi-python-client makes from the served document, as the demo's client."""

import importlib
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "generated_mastertape"
CONFIG = """\
content_type_overrides: {application/x-ndjson: application/octet-stream, application/partial-upload: application/octet-stream}
post_hooks: []
"""
"""Lines of JSON and parts of files are bytes to the generator; what it makes need not be formatted here."""
ACTIONS = {
    "undelete": "tracks.undelete_tracks_track_id_undelete_post",
    "restore-record": "records.restore_tracks_track_id_restore_record_post",
    "migrate-to-pds": "records.migrate_tracks_track_id_migrate_to_pds_post",
}


def generate(url: str, folder: Path) -> Path:
    """Generate the package from the document at `url`; a warning about a part that is left out is a failure."""
    config, package = folder / "config.yaml", folder / PACKAGE
    config.write_text(CONFIG)
    options = ["--url", f"{url}/openapi.json", "--output-path", package, "--config", config, "--meta", "none"]
    run = subprocess.run(
        [sys.executable, "-m", "openapi_python_client", "generate", *options, "--fail-on-warning"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return package


class GeneratedClient:
    """An artist who is signed in with the generated package; has the methods of the demo's client."""

    def __init__(self, url: str, identifier: str, app_password: str) -> None:
        self._package = importlib.import_module(PACKAGE)
        body = self.model("SignInAuthAppPasswordPostJsonBody")(identifier=identifier, password=app_password)
        with self._package.Client(base_url=url) as self._client:
            self.token = self.call("sign_in.sign_in_auth_app_password_post", body=body)["token"]
        self._client = self._package.AuthenticatedClient(base_url=url, token=self.token, timeout=60)

    def upload(self, audio: bytes, name: str = "tone.wav", **fields: Any) -> dict[str, Any]:
        body = self.model("UploadTrackTracksPostBody")(file=self._file(audio, name), **fields)
        return self.call("tracks.upload_track_tracks_post", body=body)

    def edit(self, track_id: int, **fields: Any) -> dict[str, Any]:
        body = self.model("EditTracksTrackIdPatchJsonBody")(**fields)
        return self.call("tracks.edit_tracks_track_id_patch", track_id, body=body)

    def set_artwork(self, track_id: int, image: bytes) -> dict[str, Any]:
        body = self.model("EditTracksTrackIdPatchFilesBody")(image=self._file(image, "cover.png"))
        return self.call("tracks.edit_tracks_track_id_patch", track_id, body=body)

    def post(self, track_id: int, action: str) -> dict[str, Any]:
        return self.call(ACTIONS[action], track_id)

    def delete(self, track_id: int) -> dict[str, Any]:
        return self.call("tracks.delete_tracks_track_id_delete", track_id)

    def track(self, track_id: int) -> dict[str, Any]:
        return self.call("tracks.read_track_tracks_track_id_get", track_id)

    def mirror(self, track_id: int) -> dict[str, Any]:
        return self.call("mirror.read_mirror_tracks_track_id_mirror_get", track_id)

    def history(self, track_id: int) -> list[dict[str, Any]]:
        page = self.call("history.read_history_tracks_track_id_history_get", track_id, limit=100)
        return sorted(page["items"], key=lambda row: row["position"])

    def call(self, operation: str, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Call an operation, and give what the package has parsed, which must be all that was answered."""
        reply = self.reply(operation, *arguments, **options)
        assert reply.status_code < 300, (operation, reply.content)
        unnamed = reply.parsed.additional_properties
        assert not unnamed, f"{operation}: the document does not name {', '.join(unnamed)}"
        return dict(reply.parsed.to_dict())

    def reply(self, operation: str, *arguments: Any, **options: Any) -> Any:
        module = importlib.import_module(f"{PACKAGE}.api.{operation}")
        return module.sync_detailed(*arguments, client=self._client, **options)

    def model(self, name: str) -> Any:
        return getattr(self._models, name)

    def close(self) -> None:
        self._client.get_httpx_client().close()

    @property
    def _models(self) -> ModuleType:
        return importlib.import_module(f"{PACKAGE}.models")

    def _file(self, content: bytes, name: str) -> Any:
        types = importlib.import_module(f"{PACKAGE}.types")
        return types.File(payload=BytesIO(content), file_name=name)
