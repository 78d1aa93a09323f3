"""The library's subscription by polling: what wakes it up may be lost, and costs one interval."""

from typing import Final

from eventsourcing.persistence import ApplicationRecorder, ListenNotifySubscription

POLL_SECONDS: Final = 0.25


class PollingSubscription(ListenNotifySubscription[ApplicationRecorder]):
    """Yields the events after a position, then waits for more."""

    def _loop_on_pull(self) -> None:
        try:
            while not self._has_been_stopped:
                self._pull()
                self._has_been_notified.wait(POLL_SECONDS)  # stop() sets it
        except BaseException as error:  # noqa: BLE001  # raised where the events are awaited
            self._thread_error = error
            self.stop()
