"""The socket of `serve`."""

import socket

from devpds.ports import free_port
from service.cli.serve import _listener
from service.config.settings import Settings


def test_responses_do_not_wait_for_nagles_algorithm() -> None:
    listener = _listener(Settings(port=free_port()))
    listener.close()
    assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at before it sets TCP_NODELAY
