"""After any sequence of edits every past version can be read and reverted to, and pages of any size add up to the whole.

The expectation is computed from the commands alone. TEST_DEEP tries many more sequences.
"""

import itertools
import os

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from aggregates.tracks.track import Track
from aggregates.values import Downloads
from projections.history import changes_between
from projections.rebuild.rebuild import differences, rebuild
from service.schema.tables import READ_MODELS
from storage.cid import cid_of
from tests.api.world import form, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

DEEP = bool(os.environ.get("TEST_DEEP"))
EXAMPLES = 150 if DEEP else 8
TRACKS = 2
COVERS = {color: samples.png(color=color) for color in ("teal", "gold")}
GATE = {"type": "any"}
METADATA = ("title", "album", "description", "tags", "self_labels")
REVERTIBLE = (*METADATA, "artwork", "support_gate", "unlisted", "downloads", "audio")
TEXTS = st.sampled_from(["", "one", "two\nlines", "Ærø 🎛"])
LISTS = st.sampled_from([[], ["a"], ["a", "b"], ["b"]])
EDITS = st.fixed_dictionaries(
    {},
    optional={
        "title": st.sampled_from(["one", "two", "Ærø 🎛"]),
        "album": TEXTS,
        "description": TEXTS,
        "tags": LISTS,
        "self_labels": LISTS,
    },
)
COMMANDS = st.one_of(
    st.tuples(st.just("edit"), EDITS),
    st.tuples(st.just("edit"), EDITS),
    st.tuples(st.just("cover"), st.sampled_from([*COVERS, None])),
    st.tuples(st.just("gate"), st.sampled_from([GATE, None])),
    st.tuples(st.just("unlist"), st.booleans()),
    st.tuples(st.just("offer"), st.sampled_from(list(Downloads)).map(str)),
    st.tuples(st.just("audio"), st.integers(1, 3)),
    st.tuples(
        st.just("go_back"),
        st.tuples(st.integers(0, 20), st.none() | st.sets(st.sampled_from(REVERTIBLE)).map(sorted)),
    ),
    st.tuples(st.sampled_from(["delete", "undelete", "migrate", "deliver"]), st.none()),
)
STORIES = st.lists(
    st.tuples(st.integers(0, TRACKS - 1), COMMANDS, st.booleans()), min_size=2, max_size=30 if DEEP else 9
)


class Told:
    """One track as its commands made it, and as it was after each of them."""

    def __init__(self, artist, number):
        self.artist, self.number = artist, number
        track = upload(artist.client, artist.person, title="zero", seed=self.seed(0), album="at first")
        self.id, self.path = track["id"], f"/tracks/{track['id']}"
        self.now = {name: track[name] for name in METADATA} | {
            "artwork": None,
            "support_gate": None,
            "unlisted": False,
            "downloads": "open",
            "audio": cid_of(samples.mp3(self.seed(0))),
            "deleted": False,
        }
        self.past = {1: self.now}

    def seed(self, take):
        """Two tracks of an artist never have the same audio."""
        return 10 * self.number + take

    def does(self, command, value):
        """Do it, and know what must come of it."""
        before, versions = self.now, self.versions()
        answer = getattr(self, command)(value)
        if self.now["deleted"] and command not in {"delete", "undelete", "deliver"}:
            assert answer.status_code == 404
        if self.now == before and command not in {"migrate", "deliver"}:
            assert self.versions() == versions  # what changes nothing makes no event
        self.past[self.versions()] = self.now

    def sets(self, **values):
        if not self.now["deleted"]:
            self.now = {**self.now, **values}

    # Commands

    def edit(self, fields):
        self.sets(
            **{name: value or ([] if isinstance(value, list) else None) for name, value in fields.items()}
        )
        return self.patches(json=fields)

    def cover(self, color):
        self.sets(artwork=color)
        if color is None:
            return self.patches(json={"remove_image": True})
        answer = self.patches(files={"image": ("cover.png", COVERS[color], "image/png")})
        if answer.is_success:
            assert (
                self.artist.covers.setdefault(color, answer.json()["image_url"]) == answer.json()["image_url"]
            )
        return answer

    def gate(self, gate):
        self.sets(support_gate=gate)
        return self.patches(data=form({"support_gate": gate}))

    def unlist(self, unlisted):
        self.sets(unlisted=unlisted)
        return self.patches(json={"unlisted": unlisted})

    def offer(self, downloads):
        self.sets(downloads=downloads)
        return self.patches(json={"downloads": downloads})

    def audio(self, take):
        data = samples.mp3(self.seed(take))
        self.sets(audio=cid_of(data))
        return self.asks("PUT", "/audio", files={"file": ("take.mp3", data, "audio/mpeg")})

    def go_back(self, to):
        number, fields = to
        version = 1 + number % self.versions()
        then = self.was(version)
        self.sets(**{name: then[name] for name in (REVERTIBLE if fields is None else fields)})
        body = {"to_version": version} | ({} if fields is None else {"fields": fields})
        return self.asks("POST", "/revert", json=body)

    def delete(self, _):
        answer = self.asks("DELETE")
        assert answer.status_code == (404 if self.now["deleted"] else 200)
        self.now = {**self.now, "deleted": True}
        return answer

    def undelete(self, _):
        self.now = {**self.now, "deleted": False}
        return self.asks("POST", "/undelete")

    def migrate(self, _):
        return self.asks("POST", "/migrate-to-pds", prefer="wait=0")

    def deliver(self, _):
        self.artist.world.deliver()

    def patches(self, **body):
        return self.asks("PATCH", **body)

    def asks(self, method, path="", prefer=None, **body):
        headers = {**self.artist.person.headers, **({"Prefer": prefer} if prefer else {})}
        return self.artist.client.request(method, self.path + path, headers=headers, **body)

    # What was

    def versions(self):
        """How many events it has; the relay's own count too."""
        return len(self.recorded())

    def recorded(self):
        log = self.artist.world.log
        with log.database.read() as connection:
            return log.stream(connection, self.artist.person.did, Track.create_id(self.id))

    def was(self, version):
        track = self.artist.world.log.fold(Track, self.recorded()[:version])
        shown = {each["field"]: each["after"] for each in changes_between(None, track)}
        state = dict.fromkeys(Track.SHOWN) | shown
        covers = {url.rsplit("/", 1)[1]: color for color, url in self.artist.covers.items()}
        return {name: state[name] for name in (*METADATA, "support_gate", "unlisted")} | {
            "downloads": state["downloads"] or "open",
            "artwork": covers[state["artwork"]["cid"]] if state["artwork"] else None,
            "audio": state["audio"]["cid"],
            "deleted": state["deleted_at"] is not None,
        }

    def reads(self, **as_of):
        track = self.artist.reads(self.path, **as_of)
        return {name: track[name] for name in (*METADATA, "support_gate", "unlisted", "downloads")} | {
            "artwork": self.artist.color_at(track["image_url"]) if track["image_url"] else None,
            "audio": track["file_id"],
            "deleted": track["deleted_at"] is not None,
        }


class Artist:
    names = ("".join(letters) for letters in itertools.product("bcdefghijk", repeat=4))

    def __init__(self, client, world):
        self.client, self.world = client, world
        self.person = world.sign_in(next(self.names))
        self.covers = {}
        self.tracks = [Told(self, number) for number in range(TRACKS)]

    def reads(self, path, **params):
        answer = self.client.get(path, params=params, headers=self.person.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def color_at(self, url):
        """The cover that is served there: a past one has an address of its own."""
        image = self.client.get(url.removeprefix(self.world.services.base_url), headers=self.person.headers)
        return next(color for color, cover in COVERS.items() if cover == image.content)

    def pages(self, path, limit, **params):
        items, more = [], {}
        while True:
            page = self.reads(path, limit=limit, **params, **more)
            assert len(page["items"]) <= limit
            items += page["items"]
            if page["cursor"] is None:
                return items
            assert {"cursor": page["cursor"]} != more  # else it would go on for ever
            more = {"cursor": page["cursor"]}


def the_past_is_as_it_was(track):
    rows = track.artist.reads(f"{track.path}/history", limit=100)["items"][::-1]
    assert [row["version"] for row in rows] == list(range(1, len(rows) + 1))
    for version, state in track.past.items():
        assert track.was(version) == state
    for row in rows:
        assert track.reads(version=row["version"]) == track.was(row["version"])
        longest = max(each["version"] for each in rows if each["at"] <= row["at"])
        assert track.reads(at=row["at"]) == track.was(longest)


def pages_are_the_whole(artist, limit):
    for path in (*(f"{track.path}/history" for track in artist.tracks), "/audit"):
        assert artist.pages(path, limit) == artist.reads(path, limit=100)["items"]
    live = [track.id for track in artist.tracks if not track.now["deleted"]]
    listed = artist.pages("/tracks", limit, artist=artist.person.did)
    assert [each["id"] for each in listed] == live[::-1]


@pytest.mark.timeout(3600 if DEEP else 120)
def test_every_past_can_be_read_and_comes_back(client, world):
    @settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a few commands are read sooner than shrunk
    )
    @given(story=STORIES, limit=st.integers(1, 7))
    def holds(story, limit):
        artist = Artist(client, world)
        for number, command, again in story:
            artist.tracks[number].does(*command)
            if again:
                artist.tracks[number].does(*command)
        for track in artist.tracks:
            the_past_is_as_it_was(track)
        pages_are_the_whole(artist, limit)

    holds()
    assert differences(world.log, READ_MODELS) == []
    live = rows(world)
    with world.database.write() as connection:
        for table in reversed(TABLES):
            connection.execute(table.delete())
    rebuild(world.log, READ_MODELS, page=7)
    assert rows(world) == live


TABLES = [each.live for projection in READ_MODELS for each in projection.tables]


def rows(world):
    return [world.rows(table.select().order_by(*table.primary_key)) for table in TABLES]
