"""What waits for the artist, of each kind of record, and the page on which it is done."""

from typing import Any, Final

from api.readers.records import read_waiting
from identity.accounts.credentials import Principal
from web.ask import Ask
from web.pages.studio import lists, reactions, track
from web.pages.studio.subject import StudioKind
from web.state_words import Mark
from web.whereabouts import states_of

LISTS: Final = (lists.ALBUM, lists.PLAYLIST)
KINDS: Final = (track.TRACK, *LISTS, reactions.LIKED, reactions.LIKE, reactions.COMMENT, reactions.PROFILE)
TASKS: Final = {
    Mark.HELD: ("1 {1} waits for your decision.", "{0} {1}s wait for your decision."),
    Mark.REFUSED: ("Your PDS refuses 1 {1}.", "Your PDS refuses {0} {1}s."),
    Mark.AUDIO_REFUSED: (
        "Your PDS refuses the audio of 1 {1}.",
        "Your PDS refuses the audio of {0} {1}s.",
    ),
}
"""By the mark of the records: of one of a kind, and of several."""


async def tasks_of(ask: Ask[Principal], parked_for: str | None, audio_refused: int) -> list[dict[str, Any]]:
    """Return what waits; `audio_refused` counts the tracks whose record, without its audio, is on the PDS."""
    rows, tasks = (await ask(read_waiting))["items"], list[dict[str, Any]]()
    for mark in (Mark.HELD, Mark.REFUSED):
        for kind in KINDS:
            word, states = kind.shown.word, states_of(mark, parked_for)
            these = [row for row in rows if row["word"] == word and row["state"] in states]
            count = sum(row["records"] for row in these)
            if count:
                tasks.append(_task(mark, kind, count, these[0]["first_id"]))
    if audio_refused:
        tasks.append(_task(Mark.AUDIO_REFUSED, track.TRACK, audio_refused))
    return tasks


def _task(mark: Mark, kind: StudioKind, count: int, only: int | None = None) -> dict[str, Any]:
    one, several = TASKS[mark]
    address = f"{kind.home}?mark={mark}" if kind is track.TRACK else kind.home
    if count == 1 and only is not None:
        address = kind.address(only)
    sentence = (one if count == 1 else several).format(count, kind.shown.called)
    return {"mark": mark, "tone": mark.tone, "sentence": sentence, "address": address}
