"""Compares two texts word by word, for a history that shows what a long one has in common with the one before it."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

Part = tuple[str, str]
"""A piece of text: the `same` in both, gone (`del`) or new (`ins`)."""
SAME, GONE, NEW = "same", "del", "ins"
_WORDS: Final = re.compile(r"\s*\S+|\s+")
MIN_CHARACTERS: Final = 60
"""Two short texts are read faster whole."""
MAX_CHARACTERS: Final = 10_000
CONTEXT_WORDS: Final = 8
"""Of both ends of a piece that is the same; the middle of a longer one is left out."""
MIN_LIKENESS: Final = 0.3


def compared(before: str, after: str) -> Sequence[Part]:
    """Return the pieces of both texts in one; none where they are short, very long, or have little in common."""
    if not MIN_CHARACTERS < len(before) + len(after) < MAX_CHARACTERS:
        return ()
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    matcher = SequenceMatcher(None, old, new)
    if matcher.quick_ratio() < MIN_LIKENESS:
        return ()
    parts: list[Part] = []
    for kind, *(old_from, old_to, new_from, new_to) in matcher.get_opcodes():
        if kind == "equal":
            parts.append(
                (SAME, _shortened(old[old_from:old_to], is_first=old_from == 0, is_last=old_to == len(old)))
            )
            continue
        pieces = (GONE, old[old_from:old_to]), (NEW, new[new_from:new_to])
        parts += [(side, "".join(words)) for side, words in pieces if words]
    return parts


def _shortened(words: Sequence[str], *, is_first: bool, is_last: bool) -> str:
    if len(words) <= 2 * CONTEXT_WORDS:
        return "".join(words)
    head, tail = "".join(words[:CONTEXT_WORDS]), "".join(words[-CONTEXT_WORDS:])
    return f"{'' if is_first else head} … {'' if is_last else tail}"
