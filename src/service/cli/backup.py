"""`mastertape backup` and `restore`."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from eventstore.database import Database
from eventstore.event_log import EventLog
from projections.rebuild.rebuild import rebuild
from replay.backup.manifest import Manifest, MediaIncluded, read_manifest
from replay.backup.restore import (
    RestoredMedia,
    is_empty,
    require_fitting,
    restore_database,
    restore_media,
)
from replay.backup.take import Source, back_up
from replay.recovered import Recovery
from service.cli.log import configured_log
from service.cli.output import DRIFT, agreed, as_json, confirm, dry_run, print_json, progress_bar
from service.cli.recovered import recover_now, show_recovery
from service.config.settings import Settings, SettingsError, load
from service.observability.readiness import outdated_projections, require_keys
from service.schema.migrate import newest, require_schema, upgrade_database
from service.schema.tables import metadata
from service.wiring.log import make_folders
from storage.disk import DiskStore
from storage.store import open_store

FOLDER: Final = click.Path(file_okay=False, path_type=Path)
KEPT_ELSEWHERE: Final = {
    "secret_keys": "without it every login in the database is lost",
    "oauth_keys": "without it every OAuth login ends",
}
VERSION_TABLE: Final = "alembic_version"
AFTER: Final = "Next: `mastertape verify pds`, `mastertape verify media`, `mastertape doctor`, then start serve and relay"


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option(
    "--media",
    "included",
    type=click.Choice([each.value for each in MediaIncluded]),
    default=MediaIncluded.LISTED.value,
    show_default=True,
    help="Only list the media, or copy a media folder, or hard-link it where the file system can. What an earlier backup"
    " beside DIR has is linked to it.",
)
@as_json
def backup(folder: Path, included: str, *, as_json: bool) -> None:
    """Write the database, and a list of its media or the media too, to the new folder DIR. A service may run. Keys are left out, and named."""
    settings = load()
    wanted = MediaIncluded(included)
    store = _store_to_copy(settings, wanted)
    with configured_log() as log, progress_bar("copying media") as progress:
        require_schema(log.database)
        source = Source(
            log.database,
            metadata.sorted_tables,
            version("mastertape"),
            newest(),
            settings.media,
            _kept_elsewhere(settings),
        )
        manifest, lost = back_up(source, folder.absolute(), wanted, store, progress)
    if as_json:
        print_json({"folder": str(folder), **_summary(manifest), "lost_media": lost})
    else:
        _show_backup(folder, manifest, lost)
    if lost:
        raise SystemExit(DRIFT)


@click.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--revoke-tokens", is_flag=True, help="Also revoke all our own tokens and browser sessions.")
@dry_run
@agreed
@as_json
def restore(folder: Path, *, revoke_tokens: bool, dry_run: bool, agreed: bool, as_json: bool) -> None:
    """Put the backup in DIR in place of the database, add the media that are missing, and do what `recovered` does. Every serve and relay has to be stopped."""
    settings = load()
    manifest = read_manifest(folder)
    with closing(Database(settings.database_url)) as database:
        require_fitting(manifest, database, newest())
        if dry_run:
            _show_dry_run(folder, manifest, database, as_json=as_json)
            return
        if not is_empty(database):
            confirm(f"This replaces every event and row of the database by {folder}", agreed=agreed)
        make_folders(settings)
        store = open_store(settings.media, settings.data, settings.s3_endpoint, settings.s3_public_url)
        media = restore_media(folder, manifest, store)
        names = [*metadata.tables, VERSION_TABLE]
        restore_database(database, folder, manifest, names, upgrade_database)
    with configured_log() as log:
        recovery = _recover(log, settings, revoke_tokens=revoke_tokens)
        keys = _problem_of_keys(log, settings)
    if as_json:
        print_json({**_summary(manifest), "media": asdict(media), "recovery": asdict(recovery), "keys": keys})
    else:
        _show_restored(manifest, media, recovery, keys, tokens_revoked=revoke_tokens)


def _store_to_copy(settings: Settings, included: MediaIncluded) -> DiskStore | None:
    if included is MediaIncluded.LISTED:
        return None
    store = open_store(settings.media, settings.data)
    if isinstance(store, DiskStore):
        return store
    raise click.UsageError(
        f"{settings.media} is a bucket: replicate it with the tools of its service. --media list names what it has to hold"
    )


def _kept_elsewhere(settings: Settings) -> Sequence[str]:
    return [
        f"{name.upper()} ({'a setting' if getattr(settings, name) else settings.data / name}): {why}"
        for name, why in KEPT_ELSEWHERE.items()
        if getattr(settings, name) or (settings.data / name).exists()
    ]


def _recover(log: EventLog, settings: Settings, *, revoke_tokens: bool) -> Recovery:
    if stale := outdated_projections(log):
        with progress_bar("rebuilding") as progress:
            rebuild(log, stale, progress=progress)
    return recover_now(log, settings, revoke_tokens=revoke_tokens)


def _problem_of_keys(log: EventLog, settings: Settings) -> str | None:
    try:
        require_keys(log, settings)
    except SettingsError as error:
        return str(error)
    return None


def _summary(manifest: Manifest) -> dict[str, object]:
    return {
        name: getattr(manifest, name)
        for name in (
            "taken_at",
            "version",
            "schema",
            "position",
            "media_count",
            "media_bytes",
            "media_included",
        )
    } | {"kept_elsewhere": manifest.kept_elsewhere}


def _show_backup(folder: Path, manifest: Manifest, lost: Sequence[str]) -> None:
    click.echo(f"{folder}: the database up to position {manifest.position}, schema {manifest.schema}")
    what = "listed; back up" if manifest.media_included is MediaIncluded.LISTED else "included, from"
    click.echo(f"{manifest.media_count} media, {manifest.media_bytes} bytes: {what} {manifest.media_from}")
    if lost:
        click.echo(
            f"{len(lost)} of them are missing or damaged: `mastertape verify media --repair`", err=True
        )
    for each in manifest.kept_elsewhere:
        click.echo(f"not included, keep it elsewhere: {each}")


def _show_dry_run(folder: Path, manifest: Manifest, database: Database, *, as_json: bool) -> None:
    is_replaced = not is_empty(database)
    if as_json:
        print_json({**_summary(manifest), "is_replaced": is_replaced, "written": False})
        return
    click.echo(f"{folder} is whole: taken at {manifest.taken_at}, up to position {manifest.position}")
    click.echo(f"the database {'has events, which would be replaced' if is_replaced else 'is empty'}")


def _show_restored(
    manifest: Manifest, media: RestoredMedia, recovery: Recovery, keys: str | None, *, tokens_revoked: bool
) -> None:
    click.echo(f"the database is as it was at {manifest.taken_at}")
    if manifest.media_included is not MediaIncluded.LISTED:
        click.echo(f"{media.added} media were added, {media.missing} are not in the backup")
    show_recovery(recovery, dry_run=False, tokens_revoked=tokens_revoked)
    if keys is not None:
        click.echo(f"Warning: {keys}", err=True)
    click.echo(AFTER)
