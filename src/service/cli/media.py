"""`mastertape verify media`: compares the media store with the tracks, and repairs it from PDSes."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click

from identity.resolution.address_policy import AddressPolicy
from replay.media.check import MediaFinding, MediaKind, check_media
from replay.media.repair import MediaRepair
from service.cli.output import (
    DRIFT,
    as_json,
    print_groups,
    print_json,
    print_table,
    progress_bar,
    show_all,
)
from service.config.settings import load
from service.schema.migrate import require_schema
from service.wiring.bootstrap import Container, build
from service.wiring.identity import pds_http_client
from service.wiring.log import staging_folder

TO_DO = {
    MediaKind.MISSING: "--repair, or put it back from a backup of the media",
    MediaKind.WRONG_SIZE: "--repair, or put it back from a backup of the media",
    MediaKind.DAMAGED: "--repair, or put it back from a backup of the media",
    MediaKind.UNNAMED: "nothing: the sweep deletes it",
    MediaKind.STRAY: "nothing: the sweep deletes it, unless a track names it before",
}


@click.command("media")
@click.option("--deep", is_flag=True, help="Read every byte, and compare its hash with the CID.")
@click.option("--repair", is_flag=True, help="Fetch what is missing or damaged from the artists' PDSes.")
@show_all
@as_json
def verify_media(*, deep: bool, repair: bool, show_all: bool, as_json: bool) -> None:
    """Compare the bytes that tracks name with the media store. Exit code 3 when some are missing or wrong."""
    found, repaired = asyncio.run(_verify(deep=deep, repair=repair))
    if as_json:
        print_json({"findings": [_as_json(each, repaired=each in repaired) for each in found]})
    else:
        _show(found, repaired, show_all=show_all)
    if any(each.is_problem and each not in repaired for each in found):
        raise SystemExit(DRIFT)


async def _verify(*, deep: bool, repair: bool) -> tuple[list[MediaFinding], Collection[MediaFinding]]:
    container = build(load())
    try:
        require_schema(container.database)
        with progress_bar("verifying") as progress:
            grace = timedelta(days=container.settings.sweep_grace_days)
            found = list(check_media(container.media, grace, deep=deep, progress=progress))
        return found, await _repair(container, found) if repair else set()
    finally:
        await container.close()


async def _repair(container: Container, found: Sequence[MediaFinding]) -> set[MediaFinding]:
    settings, repaired = container.settings, set[MediaFinding]()
    problems = [each for each in found if each.is_problem]
    async with pds_http_client(settings) as http:
        media_repair = MediaRepair(
            container.media,
            http,
            AddressPolicy(settings.dev_origins),
            staging_folder(settings),
            container.hosts,
        )
        with progress_bar("fetching") as progress:
            for number, each in enumerate(problems, 1):
                if await media_repair.repair(each):
                    repaired.add(each)
                progress(number, len(problems))
    return repaired


def _show(found: Sequence[MediaFinding], repaired: Collection[MediaFinding], *, show_all: bool) -> None:
    click.echo(_summary(found) + (f"; {len(repaired)} fetched again" if repaired else ""))
    to_do = ["nothing: it was fetched again" if each in repaired else TO_DO[each.kind] for each in found]
    if show_all:
        print_table(
            ("found", "cid", "tracks", "what to do"),
            [
                (
                    each.kind.value,
                    each.cid,
                    ", ".join(map(str, each.track_ids)) or "-",
                    what + ("" if each.swept_after is None else f", after {each.swept_after:%Y-%m-%d %H:%M}"),
                )
                for each, what in zip(found, to_do, strict=True)
            ],
        )
        return
    print_groups(
        ("found", "what to do", "copies", "for example"),
        [((each.kind.value, what), each.cid) for each, what in zip(found, to_do, strict=True)],
    )


def _summary(found: Sequence[MediaFinding]) -> str:
    kinds = sorted(Counter(each.kind.value for each in found).items())
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds)
    return counts or "every track has its bytes, and nothing else is there"


def _as_json(finding: MediaFinding, *, repaired: bool) -> dict[str, Any]:
    return {**asdict(finding), "kind": finding.kind.value, "repaired": repaired}
