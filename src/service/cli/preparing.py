"""What `serve` and `relay` do before they begin: build the application and look at its database."""

from projections.rebuild.rebuild import rebuild
from service.cli.output import bar
from service.config.settings import Settings
from service.observability.readiness import outdated, require_ready
from service.process.gc_tuning import no_collections
from service.schema.high_water_mark import look_for_restore
from service.schema.migrate import upgrade_database
from service.wiring.bootstrap import Application, build


def prepared(settings: Settings) -> Application:
    """Make our own SQLite file ready; of a database that others share, say what an operator has to do."""
    with no_collections():
        application = build(settings)
    log = application.log
    if not log.database.is_sqlite:
        require_ready(log)
    else:
        upgrade_database(log.database)
        if stale := outdated(log):
            with bar("rebuilding") as progress:
                rebuild(log, stale, progress=progress)
    look_for_restore(log, settings)
    return application
