"""Shows the story on a terminal or in a pipe, 80 to 120 columns wide."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from demo.story import Step

SHOWN: Final = {
    "title": "title",
    "name": "name",
    "1": "1",
    "2": "2",
    "3": "3",
    "album": "album",
    "description": "text",
    "features": "with",
    "imageUrl": "image",
    "audioBlob": "blob",
    "labels": "labels",
    "createdAt": "created",
    "mastertapeGen": "gen",
}
MAX_COLUMNS: Final = 120
STEP, EVENTS, AGREE, GAP, LABEL = 21, 22, 5, 1, 10
Record = Mapping[str, Any]


def show_story(
    console: Console, acts: Sequence[Callable[..., str]], play: Callable[[Any], Step], *, first: int = 1
) -> list[Step]:
    """Play the acts and show every step once it is done, with numbers from `first` on."""
    width = min(console.width, MAX_COLUMNS)
    console.print(_row(width, "step", "events in the log", "record on the PDS", "agree"))
    steps: list[Step] = []
    before: Record = {}
    for number, act in enumerate(acts, first):
        with console.status(str(act.__doc__)):
            step = play(act)
        record = step.record or {}
        console.print(
            _row(
                width,
                Text(f"{number}. {step.caption}"),
                "\n".join(step.events),
                Group(*_lines(record, before, width)) if record else Text("no record", "bold"),
                Text("yes", "green") if step.agrees else Text("no", "bold red"),
            )
        )
        for difference in step.differences:
            console.print(f"   differs: {difference}", style="red", highlight=False)
        before = record or before
        steps.append(step)
    return steps


def _row(width: int, *cells: Any) -> Group:
    row = Table.grid(padding=(0, GAP, 0, 0))
    row.add_column(width=STEP, style="bold")
    row.add_column(width=EVENTS, style="cyan", overflow="fold")
    row.add_column(width=_record_width(width))
    row.add_column(width=AGREE)
    row.add_row(*cells)
    return Group(row, Text("─" * width, "dim"))


def _record_width(width: int) -> int:
    return width - STEP - EVENTS - AGREE - 4 * GAP


def _lines(record: Record, before: Record, width: int) -> Iterator[Text]:
    """Yield a line for each field; a star marks those that changed in this step."""
    width_left = _record_width(width) - LABEL
    for name, label in SHOWN.items():
        if name in record:
            changed = record[name] != before.get(name)
            line = f"{'*' if changed else ' '} {label:<7} {_short(_plain(name, record[name]), width_left)}"
            yield Text(line, "green" if changed else "dim", no_wrap=True)
        elif name in before:
            yield Text(f"* {label:<7} (gone)", "yellow", no_wrap=True)


def _plain(name: str, value: Any) -> str:
    match name, value:
        case _, {"ref": {"$link": str(cid)}}:
            return cid
        case _, {"values": list(values)}:
            return ", ".join(label["val"] for label in values)
        case "features", list(features):
            return ", ".join(feature["handle"] for feature in features)
        case "imageUrl", str(url):
            return url.rsplit("/", 1)[1]
        case "createdAt", str(at):
            return at.split("T")[1]
    return str(value).replace("\n", " / ")


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 9]}...{text[-6:]}"
