"""`mastertape verify`, whose parts come together here, and `verify pds`: what PDSes hold against the log."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from outbox.repo.proof import ProvenReads
from outbox.repo.reads import RepoReads
from outbox.threads import in_thread
from replay.reconcile.drift import Drift
from replay.reconcile.verify import Verified, repos_of
from replay.reconcile.verify import verify as verify_repos
from replay.recovered import resume_account
from service.cli.log import verify
from service.cli.media import verify_media
from service.cli.operator import by_operator
from service.cli.output import DRIFT, as_json, bar, say_json
from service.config.settings import load
from service.schema.migrate import require_schema
from service.wiring.adapters import KeysOfIdentity
from service.wiring.bootstrap import Application, build

UNREAD = 1


@verify.command("pds")
@click.option("--did", help="Only this account.")
@click.option(
    "--deep", is_flag=True, help="Verify the whole repo, its signature, and the hash of every block."
)
@as_json
def verify_pds(did: str | None, *, deep: bool, as_json: bool) -> None:
    """Compare the record of every track with what its artist's PDS holds; nobody's login is needed.

    After a restore this is what lets the relay go on, account by account: what is newer on a PDS is held for its owner.
    """
    found = asyncio.run(verified(did, deep=deep, lets_go=True))
    if as_json:
        say_json({"repos": [_as_json(each) for each in found]})
    else:
        _show(found)
    if any(each.drifts for each in found):
        raise SystemExit(DRIFT)
    if any(each.problem for each in found):
        raise SystemExit(UNREAD)


verify.add_command(verify_media)


async def verified(did: str | None, *, deep: bool = False, lets_go: bool = False) -> list[Verified]:
    """Compare all repos, or one, in the order of their accounts; optionally let the relay resume where it only observed."""
    application = build(load())
    try:
        require_schema(application.database)
        return await _all(application, _reads(application, deep=deep), did, lets_go=lets_go)
    finally:
        await application.close()


def _reads(application: Application, *, deep: bool) -> RepoReads:
    parts = application.services
    return ProvenReads(parts.pds, KeysOfIdentity(parts.resolver)) if deep else RepoReads(parts.pds)


async def _all(
    application: Application, reads: RepoReads, did: str | None, *, lets_go: bool
) -> list[Verified]:
    repos = repos_of(application.database, did, collection=application.settings.collection)
    if did is not None and not repos:
        raise click.ClickException(
            f"nothing is known of {did!r}: name the DID of an account that has records here"
        )
    found: list[Verified] = []
    with bar("verifying") as progress:
        async for each in verify_repos(application.database, reads, repos):
            found.append(each)
            if lets_go:
                await in_thread(
                    resume_account, application.log, each, application.services.urls, by_operator()
                )
            progress(len(found), len(repos))
    return sorted(found, key=lambda each: each.repo.did)


def _show(found: Sequence[Verified]) -> None:
    table = Table()
    for name in ("drift", "track", "record"):
        table.add_column(name, overflow="fold")
    for each in found:
        for drift in each.drifts:
            track = str(drift.track_id) if drift.track_id is not None else "-"
            table.add_row(drift.kind.value, track, drift.key.uri)
        if each.problem is not None:
            table.add_row("not read", "-", f"{each.repo.did} at {each.repo.host}: {each.problem}")
    if table.row_count:
        Console().print(table)
    click.echo(_summary(found))


def _summary(found: Sequence[Verified]) -> str:
    records, unread = sum(each.records for each in found), sum(each.problem is not None for each in found)
    kinds = Counter(drift.kind.value for each in found for drift in each.drifts)
    drifts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "no drift"
    not_read = f"; {unread} repos could not be read" if unread else ""
    return f"{records} records in {len(found) - unread} repos: {drifts}{not_read}"


def _as_json(found: Verified) -> dict[str, Any]:
    return {
        "did": found.repo.did,
        "host": found.repo.host,
        "records": found.records,
        "problem": found.problem,
        "drifts": [drift_as_json(each) for each in found.drifts],
    }


def drift_as_json(drift: Drift) -> dict[str, Any]:
    """Return a difference as JSON."""
    return {
        "kind": drift.kind.value,
        "track_id": drift.track_id,
        "uri": drift.key.uri,
        "expected_cid": drift.expected_cid,
        "found_cid": drift.found_cid,
    }
