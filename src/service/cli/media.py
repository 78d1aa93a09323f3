"""`mastertape verify media`: compares the media store with the tracks, and repairs it from PDSes."""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import timedelta

import click

from identity.resolution.address_policy import AddressPolicy
from replay.media.check import MediaFinding, MediaKind, check_media
from replay.media.repair import MediaRepair
from service.cli.output import (
    DRIFT,
    as_json,
    print_found,
    print_json,
    progress_bar,
    show_all,
)
from service.cli.preparing import container_of_command
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
        print_json({"findings": [asdict(each) | {"repaired": each in repaired} for each in found]})
    else:
        _show(found, repaired, show_all=show_all)
    if any(each.is_problem and each not in repaired for each in found):
        raise SystemExit(DRIFT)


async def _verify(*, deep: bool, repair: bool) -> tuple[list[MediaFinding], Collection[MediaFinding]]:
    async with container_of_command() as container:
        settings, repaired = container.settings, set[MediaFinding]()
        with progress_bar("verifying") as progress:
            grace = timedelta(days=settings.sweep_grace_days)
            found = list(check_media(container.media, grace, deep=deep, progress=progress))
        problems = [each for each in found if each.is_problem and repair]
        async with pds_http_client(settings) as http:
            policy, staging = AddressPolicy(settings.dev_origins), staging_folder(settings)
            media_repair = MediaRepair(container.media, http, policy, staging, container.hosts)
            with progress_bar("fetching") as progress:
                for number, each in enumerate(problems, 1):
                    if await media_repair.repair(each):
                        repaired.add(each)
                    progress(number, len(problems))
    return found, repaired


def _show(found: Sequence[MediaFinding], repaired: Collection[MediaFinding], *, show_all: bool) -> None:
    kinds = sorted(Counter(each.kind.value for each in found).items())
    counts = ", ".join(f"{count} {kind}" for kind, count in kinds)
    fetched = f"; {len(repaired)} fetched again" if repaired else ""
    click.echo((counts or "every track has its bytes, and nothing else is there") + fetched)
    rows = [
        (
            each.kind.value,
            "nothing: it was fetched again" if each in repaired else TO_DO[each.kind],
            "" if each.swept_after is None else f"{each.swept_after:%Y-%m-%d %H:%M}",
            ", ".join(map(str, each.track_ids)) or "-",
            each.cid,
        )
        for each in found
    ]
    columns = ("found", "what to do", "deleted after", "tracks", "cid")
    print_found(columns, rows, kinds=2, count="copies", show_all=show_all)
