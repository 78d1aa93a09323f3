"""`mastertape verify media`: compares the media store with the tracks, and repairs it from PDSes."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click

from identity.resolution.address_policy import AddressPolicy
from replay.media.check import MediaFinding, MediaKind, check_media
from replay.media.repair import MediaRepair
from service.cli.output import DRIFT, as_json, print_json, print_table, progress_bar
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
@as_json
def verify_media(*, deep: bool, repair: bool, as_json: bool) -> None:
    """Compare the bytes that tracks name with the media store. Exit code 3 when some are missing or wrong."""
    found, repaired = asyncio.run(_verify(deep=deep, repair=repair))
    if as_json:
        print_json({"findings": [_as_json(each, repaired=each in repaired) for each in found]})
    else:
        _show(found, repaired)
    if any(each.is_problem and each not in repaired for each in found):
        raise SystemExit(DRIFT)


async def _verify(*, deep: bool, repair: bool) -> tuple[list[MediaFinding], list[MediaFinding]]:
    container = build(load())
    try:
        require_schema(container.database)
        with progress_bar("verifying") as progress:
            grace = timedelta(days=container.settings.sweep_grace_days)
            found = list(check_media(container.media, grace, deep=deep, progress=progress))
        return found, await _repair(container, found) if repair else []
    finally:
        await container.close()


async def _repair(container: Container, found: Sequence[MediaFinding]) -> list[MediaFinding]:
    settings, repaired = container.settings, []
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
                    repaired.append(each)
                progress(number, len(problems))
    return repaired


def _show(found: Sequence[MediaFinding], repaired: Sequence[MediaFinding]) -> None:
    print_table(
        ("found", "cid", "tracks", "what to do"),
        [
            (
                each.kind.value,
                each.cid,
                ", ".join(map(str, each.track_ids)) or "-",
                _to_do(each, repaired=each in repaired),
            )
            for each in found
        ],
    )
    counts = ", ".join(
        f"{count} {kind}" for kind, count in sorted(Counter(each.kind.value for each in found).items())
    )
    click.echo((counts or "every track has its bytes, and nothing else is there") + _repaired_count(repaired))


def _to_do(finding: MediaFinding, *, repaired: bool) -> str:
    to_do = "nothing: it was fetched again" if repaired else TO_DO[finding.kind]
    return to_do + (
        f", after {finding.swept_after:%Y-%m-%d %H:%M}" if finding.swept_after is not None else ""
    )


def _repaired_count(repaired: Sequence[MediaFinding]) -> str:
    return f"; {len(repaired)} fetched again" if repaired else ""


def _as_json(finding: MediaFinding, *, repaired: bool) -> dict[str, Any]:
    return {**asdict(finding), "kind": finding.kind.value, "repaired": repaired}
