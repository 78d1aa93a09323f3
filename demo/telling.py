"""The story on a terminal, step by step as it happens: 80 to 120 columns wide, in a pipe as well."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from demo.story import STORY, Stage, Step, play

SHOWN: Final = {
    "title": "title",
    "album": "album",
    "description": "text",
    "features": "with",
    "imageUrl": "image",
    "audioBlob": "blob",
    "labels": "labels",
    "createdAt": "created",
    "mastertapeGen": "gen",
}
WIDEST: Final = 120
STEP, EVENTS, AGREE, GAP, LABEL = 21, 22, 5, 1, 10
Record = Mapping[str, Any]


def tell(console: Console, stage: Stage) -> list[Step]:
    """Play the whole story and show every step when it is done."""
    width = min(console.width, WIDEST)
    console.print(_row(width, "step", "events in the log", "record on the PDS", "agree"))
    steps: list[Step] = []
    before: Record = {}
    for number, act in enumerate(STORY, 1):
        with console.status(str(act.__doc__)):
            step = play(stage, act)
        record = step.record or {}
        console.print(
            _row(
                width,
                Text(f"{number}. {step.said}"),
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
    """One line a field; a star before those that are new or another than in the step before."""
    room = _record_width(width) - LABEL
    for name, label in SHOWN.items():
        if name in record:
            changed = record[name] != before.get(name)
            line = f"{'*' if changed else ' '} {label:<7} {_short(_plain(name, record[name]), room)}"
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
