"""Says of a record that its PDS refuses for its size by how much it is too large, and which field of whose fills it."""

import json
from typing import Any, Final

from api.responses.mirror import ShownKind
from api.routers.records.mirrors import compare_record
from identity.accounts.credentials import Principal
from web.ask import Ask, Json
from web.history_words import label_of

TOO_LARGE: Final = "PayloadTooLargeError"
"""The error of a PDS for a record over its limit."""
MOST_BYTES: Final = 1_000_000
"""What the PDS of Bluesky takes; no PDS names its limit."""


async def oversize(ask: Ask[Principal], kind: ShownKind[Any], subject: Json) -> Json | None:
    """Measure the record that the PDS refused for its size, with its largest field; None where it refused none."""
    if subject["mirror"]["reason"] != TOO_LARGE:
        return None
    found = (await ask(compare_record, kind, subject["id"]))["fields"]
    wanted = {each["field"]: each for each in found if each["wanted"] is not None}
    sizes = {name: _octets(each["wanted"]) for name, each in wanted.items()}
    size = _octets({name: each["wanted"] for name, each in wanted.items()})
    field = max(sizes, key=sizes.__getitem__)
    label, is_foreign = label_of(field), not wanted[field]["own"]
    over = f"{size - MOST_BYTES:,} more than the {MOST_BYTES:,} that most PDSes take"
    words = (
        f"It has {size:,} bytes: {over if size > MOST_BYTES else 'more than your PDS takes'}. "
        f"The largest field is “{label}” of {'another program' if is_foreign else 'yours'}, with {sizes[field]:,} bytes."
    )
    return {"words": words, "field": field, "label": label, "is_foreign": is_foreign}


def _octets(value: Any) -> int:
    """Return how many bytes a value takes as a request has it."""
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace"))
