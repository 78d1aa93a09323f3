"""What a notification of PostgreSQL might change: how an open stream ends, and how soon a record follows its upload."""

import os
import signal
import threading

import pytest

from api.routers.records.audit import STREAM_SECONDS
from demo.service import Service
from tests.e2e.artist import MIGRATE, Artist
from tests.e2e.conftest import ON_POSTGRES

pytestmark = [pytest.mark.pds, ON_POSTGRES]


def test_an_open_stream_does_not_hold_up_the_end_of_its_process(artist: Artist, service: Service) -> None:
    with artist.client.http.stream("GET", "/events", timeout=60) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        os.kill(service.pid, signal.SIGTERM)
        ended = threading.Thread(target=lambda: list(lines), daemon=True)
        ended.start()
        ended.join(STREAM_SECONDS - 5)
        assert not ended.is_alive()
    service.stop()


def test_a_record_follows_the_upload_of_its_audio_at_once(artist: Artist) -> None:
    artist.uploads()
    artist.agreed()

    assert artist.asks(MIGRATE).status_code == 200
