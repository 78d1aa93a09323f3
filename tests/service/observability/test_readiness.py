"""A process is ready only for a schema and read models of its own version."""

from sqlalchemy import text

from service.observability.readiness import outdated_projections, why_not_ready
from service.wiring.bootstrap import Container


def test_process_of_another_version_is_not_ready(tape: Container) -> None:
    assert why_not_ready(tape.log) is None
    with tape.database.write() as connection:
        connection.execute(text("update projection_state set fingerprint = 'x' where name = 'tracks'"))
    assert [each.name for each in outdated_projections(tape.log)] == ["tracks"]
    assert "run `mastertape rebuild tracks`" in str(why_not_ready(tape.log))
    with tape.database.write() as connection:
        connection.execute(text("update alembic_version set version_num = '0000'"))
    assert "run `mastertape migrate`" in str(why_not_ready(tape.log))
