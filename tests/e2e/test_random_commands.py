"""After any sequence of commands the record on the PDS is what the commands made it, and nothing else changed."""

from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from demo.media import cover
from tests.e2e.artist import MIGRATE, RESTORE, UNDELETE, Artist
from tests.e2e.conftest import DEEP, ON_POSTGRES

pytestmark = [pytest.mark.pds, ON_POSTGRES]

EXAMPLES = 200 if DEEP else 12
COVERS = {color: cover(color, "white") for color in ("teal", "maroon")}
TEXTS = st.sampled_from(["", "one", "two\nlines", "Ærø 🎛", " spaces "])
EDITS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["one", "Ærø 🎛", "x" * 256]),
        "album": TEXTS,
        "description": TEXTS,
        "self_labels": st.sampled_from(["", ["explicit"], ["nudity", "explicit"]]),
        "tags": st.sampled_from(["", ["a"], ["a", "b"]]),
        "unlisted": st.booleans(),
    },
)
COMMANDS = st.one_of(
    st.tuples(st.just("edit"), EDITS),
    st.tuples(st.just("edit"), EDITS),
    st.tuples(st.just("cover"), st.sampled_from([*COVERS, None])),
    st.tuples(st.just("gate"), st.sampled_from([None, {"type": "any"}])),
    st.tuples(st.sampled_from(["delete", "undelete", "migrate", "lose and restore"]), st.none()),
)


class Expected:
    """What the record must say, kept from the commands alone."""

    def __init__(self, artist: Artist) -> None:
        self.artist = artist
        track = artist.uploads(title="zero", description="at first", album="at first")
        self.deleted = self.gated = self.migrated = False
        self.fields: dict[str, Any] = {
            name: track[key] for name, key in (("artist", "artist"), ("createdAt", "created_at"))
        } | {"title": "zero", "description": "at first", "album": "at first"}

    def do(self, command: str, value: Any) -> None:
        """Do it, and expect it; what a deleted track refuses changes nothing."""
        if self.deleted and command not in {"undelete", "delete"}:
            assert (
                self.artist.client.http.patch(f"/tracks/{self.artist.track_id}", json={}).status_code == 404
            )
            return
        getattr(self, command.replace(" ", "_"))(value)

    def edit(self, fields: dict[str, Any]) -> None:
        self.artist.edits(**fields)
        self.fields |= {name: fields[name] for name in ("title", "album", "description") if name in fields}
        if "self_labels" in fields:
            self.fields["labels"] = fields["self_labels"]

    def cover(self, color: str | None) -> None:
        if color is None:
            self.fields["imageUrl"] = self.artist.edits(remove_image=True)["image_url"]
            assert self.fields["imageUrl"] is None
        else:
            self.fields["imageUrl"] = self.artist.client.set_artwork(self.artist.track_id, COVERS[color])[
                "image_url"
            ]

    def gate(self, gate: dict[str, str] | None) -> None:
        self.artist.edits(support_gate=gate)
        self.gated = gate is not None
        self.fields["supportGate"] = gate

    def delete(self, _: None) -> None:
        status = self.artist.client.http.delete(f"/tracks/{self.artist.track_id}").status_code
        assert status == (404 if self.deleted else 200)
        self.deleted = True

    def undelete(self, _: None) -> None:
        assert self.artist.asks(UNDELETE).status_code == 200
        self.deleted = False

    def migrate(self, _: None) -> None:
        status = self.artist.asks(MIGRATE, prefer="wait=0").status_code
        assert status == 400 if self.gated else status in {200, 202}
        self.migrated |= not self.gated

    def lose_and_restore(self, _: None) -> None:
        self.artist.agreed()
        self.artist.loses_the_record()
        assert self.artist.asks(RESTORE).status_code == 200

    def check(self) -> None:
        """The record is what the service says, and what was commanded; on every field, by value."""
        record = self.artist.agreed()
        if self.deleted:
            assert record is None
            return
        found = {name: record.get(name) for name in self.fields}
        if "labels" in record:
            found["labels"] = [label["val"] for label in record["labels"]["values"]]
        assert found == {name: value or None for name, value in self.fields.items()}
        assert ("audioBlob" in record) == (self.migrated and not self.gated)


@pytest.mark.timeout(3600 if DEEP else 120)
@given(commands=st.lists(COMMANDS, min_size=3, max_size=8))
@settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # eight commands are read sooner than shrunk
)
def test_the_record_is_what_the_commands_made_it(artist: Artist, commands: list[tuple[str, Any]]) -> None:
    expected = Expected(artist)
    for command, value in commands:
        expected.do(command, value)
    expected.check()
