"""What the API refuses, as a person can act on it: beside which field it belongs, and what to do."""

from dataclasses import dataclass
from typing import Final

from web.api_client import Answer

WORDS: Final = {
    "track_not_found": "This track is deleted. Bring it back first.",
    "duplicate_audio": "You have a track with exactly this audio already. Nothing was uploaded.",
    "bytes_expired": "Its earlier bytes are gone: they are kept for some days only. Upload them again.",
    "bad_state": "Another program changed the record on your PDS. Decide first what stays; nothing was changed here.",
    "gated_track": "A track for supporters only keeps its audio off the PDS. Open it to everyone first.",
    "migration_needed": "Your PDS holds this record in an older collection. Move it first; nothing was changed.",
    "nothing_to_resolve": "There is nothing to decide any more: no other program's change is there.",
    "edited_again": "The other program has changed the record once more. Look again at both, and decide on what is there now.",
    "version_mismatch": "Not done yet: the track was changed in the meantime. Nothing of yours was lost, and nothing overwritten. Look, and send it again.",
    "in_progress": "This is being done already. Look again in a moment.",
    "idempotency_mismatch": "This form was sent before with other content. Open the page again and send it anew.",
    "already_has_record": "The record is on your PDS already. Nothing was changed.",
}
"""For codes whose message names addresses of the API."""


@dataclass(frozen=True)
class Problem:
    """A refusal; `field` is empty where it belongs to no field, `track_id` names another track that is in the way."""

    message: str
    field: str = ""
    track_id: int | None = None


def problem_of(answer: Answer) -> Problem:
    problem = answer.problem
    code = problem["error"]
    if code == "invalid_field":
        field = problem["field"].partition(".")[0]
        return Problem(f"{_sentence(problem['limit'])} Nothing was changed.", field)
    return Problem(WORDS.get(code, problem["message"]), problem.get("field") or "", problem.get("track_id"))


def _sentence(limit: str) -> str:
    return f"{limit[:1].upper()}{limit[1:]}."
