"""The WebSocket to a host, which ends when the host sends more frames at once than other work may wait for."""

from typing import Final

from websockets.asyncio.client import ClientConnection
from websockets.protocol import Event

SLICE_BYTES: Final = 4 * 1024
MAX_FRAMES_AT_ONCE: Final = 4096
"""Of one read, which has 256 KB at most. A message of a firehose has over 100 bytes, so an honest host sends half of that."""


class BoundedConnection(ClientConnection):
    """Hangs up on a host that sends floods of tiny frames: 256 KB of them take seconds to parse."""

    _frames_at_once = 0

    def data_received(self, data: bytes) -> None:
        """Parse the data in slices, and count the frames in them."""
        self._frames_at_once = 0
        for start in range(0, len(data), SLICE_BYTES):
            super().data_received(data[start : start + SLICE_BYTES])
            if self._frames_at_once > MAX_FRAMES_AT_ONCE:
                self.transport.abort()
                return

    def process_event(self, event: Event) -> None:
        """Count a frame."""
        self._frames_at_once += 1
        super().process_event(event)
