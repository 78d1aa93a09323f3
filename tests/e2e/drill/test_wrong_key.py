"""A process is started with other SECRET_KEYS than those that encrypted the logins."""

from pathlib import Path

import pytest

from demo.service import Service
from devpds.process import ProcessError
from tests.e2e.drill import DRILL
from tests.e2e.drill.conftest import Begin

pytestmark = DRILL


def test_with_a_wrong_key_nothing_starts_and_with_the_right_one_all_is_there(
    service: Service, begin: Begin
) -> None:
    drill = begin(service)
    keys = Path(service.settings["MASTERTAPE_DATA"]) / "secret_keys"
    right = keys.read_text()

    service.stop()
    keys.write_text("z" * 64 + "\n")
    with pytest.raises(ProcessError):
        service.start()
    drill.looks()
    keys.write_text(right)
    service.start()

    drill.ends("wrong_key", "SECRET_KEYS are not those of the logins")
