"""Results of a bench, as a table or as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Self

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Spread:
    """Median, minimum and maximum of all rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Summarize one value per round."""
        return cls(median(values), min(values), max(values))

    def __str__(self) -> str:
        """Format with three digits, and with the range if there is one."""
        return (
            f"{self.median:.3g}"
            if self.low == self.high
            else f"{self.median:.3g} ({self.low:.3g}..{self.high:.3g})"
        )


@dataclass(frozen=True)
class Row:
    """One arm: the p50 of its operations, their rate, and the p50 as a multiple of the floor's."""

    arm: str
    milliseconds: Spread
    per_second: Spread
    ratio: Spread
    below: float | None

    @property
    def is_kept(self) -> bool:
        """Whether the promise holds, if there is one."""
        return self.below is None or self.ratio.median < self.below


@dataclass(frozen=True)
class Report:
    """One bench: its rows, the floor's first."""

    name: str
    sentence: str
    rows: Sequence[Row]

    @property
    def is_kept(self) -> bool:
        """Whether no row breaks a promise."""
        return all(row.is_kept for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        rows = [
            {
                "arm": row.arm,
                "p50_ms": vars(row.milliseconds),
                "per_second": vars(row.per_second),
                "ratio": vars(row.ratio),
                "below": row.below,
                "kept": row.is_kept,
            }
            for row in self.rows
        ]
        return {"bench": self.name, "sentence": self.sentence, "kept": self.is_kept, "rows": rows}

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title=f"{self.name}: {self.sentence}", title_justify="left", title_style="bold")
        table.add_column("arm")
        for heading in ("ratio", "promise", "p50 in ms", "a second"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in self.rows:
            table.add_row(
                row.arm,
                str(row.ratio),
                _promise(row),
                f"{row.milliseconds.median:.3g}",
                f"{row.per_second.median:.3g}",
            )
        console.print(table, highlight=False)


def _promise(row: Row) -> str:
    if row.below is None:
        return ""
    return f"[green]< {row.below:g}[/]" if row.is_kept else f"[bold red]< {row.below:g} broken[/]"
