"""Makes waveforms of stored audio: copies it to a file, and lets a process of its own decode that."""

from pathlib import Path
from typing import Final

from eventstore.coordination.threads import Threads
from replay.derived.covers import CannotBeMadeError, NotMadeError
from replay.derived.in_time import in_time
from storage.derived.waveforms import DecoderFailedError, keep_waveform, read_waveform
from storage.errors import InvalidMediaError, MediaGoneError
from storage.media import LiveCopy, Media
from storage.upload import Staged, Staging


class Waveforms:
    """Makes one at a time: a file may be as large as an upload."""

    def __init__(self, storage: Media, staging: Path, threads: Threads) -> None:
        self._storage: Final = storage
        self._staging: Final = staging
        self._threads: Final = threads

    async def make(self, cid: str) -> None:
        """Make that of stored audio; raises CannotBeMadeError, NotMadeError or StorageError."""
        found = await self._threads.run(self._storage.find, cid)
        if found is None:
            raise MediaGoneError(cid)
        with await in_time(self._threads, found.size, self._copied, found) as staged:
            try:
                waveform = await read_waveform(staged.path)
            except InvalidMediaError as error:
                raise CannotBeMadeError(str(error)) from None
            except DecoderFailedError as error:
                raise NotMadeError(str(error)) from None
        await self._threads.run(keep_waveform, self._storage.database, cid, waveform)

    def _copied(self, found: LiveCopy) -> Staged:
        with Staging(self._staging, found.size) as staging:
            for chunk in self._storage.store.read(found.key):
                staging.write(chunk)
            return staging.finish()
