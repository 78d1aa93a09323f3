"""What waits for the artist, of each kind of record, and the page on which it is done."""

from typing import Any, Final

from api.routers.mirrors import read_waiting
from identity.accounts.credentials import Principal
from web.ask import Ask
from web.pages.studio import lists, reactions, track
from web.state_words import Mark, states_of

LISTS: Final = (lists.ALBUM, lists.PLAYLIST)
KINDS: Final = (track.TRACK, *LISTS, reactions.LIKE, reactions.COMMENT, reactions.PROFILE)
TASKS: Final = {
    Mark.HELD: ("1 {1} waits for your decision.", "{0} {1}s wait for your decision."),
    Mark.REFUSED: ("Your PDS refuses 1 {1}.", "Your PDS refuses {0} {1}s."),
}
"""By the mark of the records: of one of a kind, and of several."""


async def tasks_of(ask: Ask[Principal], parked_for: str | None) -> list[dict[str, Any]]:
    rows, tasks = (await ask(read_waiting))["items"], list[dict[str, Any]]()
    for mark, (one, several) in TASKS.items():
        for kind in KINDS:
            word, states = kind.shown.word, states_of(mark, parked_for)
            these = [row for row in rows if row["word"] == word and row["state"] in states]
            count = sum(row["records"] for row in these)
            address = f"{kind.home}?mark={mark}" if kind is track.TRACK else kind.home
            if count == 1:
                address = kind.address(these[0]["first_id"])
            if count:
                sentence = (one if count == 1 else several).format(count, word)
                tasks.append({"mark": mark, "tone": mark.tone, "sentence": sentence, "address": address})
    return tasks
