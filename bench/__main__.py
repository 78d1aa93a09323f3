"""`./dev bench [NAME...]`: measures the promises, and exits 1 when one is broken."""

import json
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from bench import (
    backlog,
    console,
    deliveries,
    edits,
    growth,
    hosts,
    lanes,
    lists,
    memory,
    neighbours,
    pages,
    patch,
    reads,
    rebuild,
    rebuilding,
    replay,
    search,
    start,
    throughput,
    unit,
    wait,
    workers,
)
from bench.report import Report, Row
from bench.rounds import QUICK, USUAL, Effort

Run = Callable[[Path, Effort, Callable[[str], None]], list[Row]]

BENCHES: Final[dict[str, tuple[str, Run]]] = {
    "patch": (patch.SENTENCE, patch.run),
    "wait": (wait.SENTENCE, wait.run),
    "edits": (edits.SENTENCE, edits.run),
    "reads": (reads.SENTENCE, reads.run),
    "pages": (pages.SENTENCE, pages.run),
    "console": (console.SENTENCE, console.run),
    "deliveries": (deliveries.SENTENCE, deliveries.run),
    "throughput": (throughput.SENTENCE, throughput.run),
    "lanes": (lanes.SENTENCE, lanes.run),
    "lists": (lists.SENTENCE, lists.run),
    "hosts": (hosts.SENTENCE, hosts.run),
    "neighbours": (neighbours.SENTENCE, neighbours.run),
    "backlog": (backlog.SENTENCE, backlog.run),
    "unit": (unit.SENTENCE, unit.run),
    "rebuild": (rebuild.SENTENCE, rebuild.run),
    "rebuilding": (rebuilding.SENTENCE, rebuilding.run),
    "memory": (memory.SENTENCE, memory.run),
    "replay": (replay.SENTENCE, replay.run),
    "search": (search.SENTENCE, search.run),
    "growth": (growth.SENTENCE, growth.run),
    "workers": (workers.SENTENCE, workers.run),
    "start": (start.SENTENCE, start.run),
}
LISTED: Final = "\b\n" + "\n".join(f"{name:10} {sentence}" for name, (sentence, _) in BENCHES.items())


@click.command(epilog=LISTED)
@click.argument("names", nargs=-1, type=click.Choice(list(BENCHES)))
@click.option("--quick", is_flag=True, help="Only show that it works: too short to prove anything.")
@click.option(
    "--rounds", type=click.IntRange(min=1), help=f"How often all arms take their turn ({USUAL.rounds})."
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON line for each bench.")
def main(names: tuple[str, ...], *, quick: bool, rounds: int | None, as_json: bool) -> None:
    """Measure NAMES, or all. Each figure is a ratio of arms that took turns in one run, since machines differ.

    Shown are the median of the rounds and their spread (lowest..highest). Exit code 1: a promise is broken by a median.
    """
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    terminal = Console(stderr=as_json)
    effort = QUICK if quick else USUAL
    effort = Effort(rounds or effort.rounds, effort.count)
    chosen = names or tuple(BENCHES)
    for name in chosen:
        terminal.print(f"[bold]{name:11}[/]{BENCHES[name][0]}", highlight=False)
    reports = [measured(name, effort, terminal, as_json) for name in chosen]
    raise SystemExit(0 if all(report.is_kept for report in reports) else 1)


def measured(name: str, effort: Effort, terminal: Console, as_json: bool) -> Report:
    """Run one bench and show what it found."""
    sentence, run = BENCHES[name]
    with (
        tempfile.TemporaryDirectory(prefix="mastertape-bench-") as folder,
        terminal.status(name) as status,
    ):
        rows = run(Path(folder), effort, lambda text: status.update(f"{name}: {text}"))
    report = Report(name, sentence, rows)
    if as_json:
        click.echo(json.dumps(report.as_json()))
    else:
        report.show(terminal)
    return report


if __name__ == "__main__":
    main()
