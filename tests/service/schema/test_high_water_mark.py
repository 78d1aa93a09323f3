"""The high-water mark of the log."""

from service.schema.high_water_mark import (
    detect_restore,
    high_water_mark_path,
    record_high_water_mark,
    seen_position,
)
from service.wiring.bootstrap import Container
from tests.dsl import a_track
from tests.service.conftest import save


def test_the_high_water_mark_is_kept_outside_of_the_database(tape: Container) -> None:
    detect_restore(tape.log, tape.settings)
    assert seen_position(tape.settings) == 2
    save(tape, a_track(2))
    record_high_water_mark(tape.log, tape.settings)
    assert seen_position(tape.settings) == 3
    high_water_mark_path(tape.settings).write_text("half a numb")
    assert seen_position(tape.settings) == 0
