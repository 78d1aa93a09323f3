"""The adapters translate errors of one package to those of another."""

import io

import pytest

from service.wiring.adapters import StorageAudio
from service.wiring.bootstrap import Container
from storage.cid import CidHasher
from tests.servers.databases import ON_SQLITE


@ON_SQLITE
def test_missing_audio_is_a_missing_file_to_the_outbox(container: Container) -> None:
    hasher = CidHasher()
    hasher.update(b"here")
    audio = StorageAudio(container.media)
    with pytest.raises(FileNotFoundError):
        audio.read(hasher.cid)
    container.media.add(hasher.cid, io.BytesIO(b"here"), 4, "audio/mpeg")
    assert b"".join(audio.read(hasher.cid)) == b"here"
    (found,) = container.media.store.stored()
    container.media.store.delete(found.key)
    with pytest.raises(FileNotFoundError):
        audio.read(hasher.cid)
