"""A process is killed and started again."""

from demo.service import Service
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin

pytestmark = DRILL


def test_a_killed_process_is_started_again_and_all_is_there(service: Service, begin: Begin) -> None:
    drill = begin(service)

    service.kill()
    drill.looks("while it is down")
    service.start()
    drill.edits_are_acknowledged()
    drill.looks("started again")

    drill.ends("killed", "A process is killed (`kill -9`)")
