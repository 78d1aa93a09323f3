"""The inputs that are kept: a line of base64 each, in a file for each target; and samples, from which fuzzing begins."""

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import libipld

from tests.fuzz.targets import BOUNDARY
from tests.media_samples import hostile

FOLDER: Final = Path(__file__).parent / "corpus"
RECORD: Final = (
    b'{"$type":"fm.plyr.track","title":"a","artist":"b","album":"c","description":"d","fileType":"mp3","duration":3,'
    b'"features":[{"did":"did:plc:a","handle":"a.test"}],"imageUrl":"https://a.test/a","audioUrl":"https://a.test/b",'
    b'"audioBlob":{"$type":"blob","ref":{"$link":"bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"},'
    b'"mimeType":"audio/mpeg","size":9},"supportGate":{"type":"any"},"labels":{"values":[{"val":"x"}]},'
    b'"createdAt":"2026-11-24T12:00:01.123Z","mastertapeGen":7}'
)
LIST: Final = (
    b'{"$type":"fm.plyr.list","name":"a","listType":"album","createdAt":"2026-11-24T12:00:01.123Z","items":[{"subject":'
    b'{"uri":"at://did:plc:a/fm.plyr.track/3n32ltnlh6222","cid":"bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"}}]}'
)
COMMENT: Final = b'{"$type":"fm.plyr.comment","text":"a","timestampMs":1,"subject":{"uri":"at://did:plc:a/fm.plyr.track/3n32ltnlh6222","cid":"bafy"},"createdAt":"2026-11-24T12:00:01Z","avatar":"https://a.test","bio":"b"}'
COMMIT: Final = libipld.encode_dag_cbor({"op": 1, "t": "#commit"}) + libipld.encode_dag_cbor({
    "seq": 7, "repo": "did:plc:a", "rev": "3n32ltnlh6222", "time": "2026-11-24T12:00:01.123Z", "tooBig": False, "blocks": b"\x3a\xa2",
    "ops": [{"action": "create", "path": "fm.plyr.track/3n32ltnlh6222", "cid": b"\x01\x71\x12\x20" + bytes(32)}, {"path": "a/b", "cid": None}],
})  # fmt: skip
FORM: Final = (
    b'--b0undary\r\nContent-Disposition: form-data; name="title"\r\n\r\nA\r\n--b0undary\r\n'
    b'Content-Disposition: form-data; name="file"; filename="a.mp3"\r\nContent-Type: audio/mpeg\r\n\r\nbytes\r\n--b0undary--\r\n'
)
SEEDS: Final[dict[str, Iterable[bytes]]] = {
    "frame": [COMMIT, libipld.encode_dag_cbor({"op": -1}) + libipld.encode_dag_cbor({"error": "FutureCursor"})],
    "page": [b'{"cursor":"a","records":[{"uri":"at://a/b/c","cid":"bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq","value":%b}]}' % LIST],
    "record": [RECORD, LIST, COMMENT],
    "cbor": [libipld.encode_dag_cbor({"a": [1, -2, None, True, "x", b"y"], "b": {"c": b"\x01\x71\x12\x20" + bytes(32)}})],
    "sound": hostile.sounds().values(),
    "picture": hostile.pictures().values(),
    "multipart": [FORM, FORM.replace(BOUNDARY, b"other")],
    "cookies": [b'mastertape_session=mt_abc.mt_def; a="b\\073c"; c', b"mastertape_session=a.b.c.d.e.f"],
}  # fmt: skip


def kept(target: str) -> list[bytes]:
    path = FOLDER / f"{target}.txt"
    return [base64.b64decode(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(target: str, inputs: Iterable[bytes]) -> None:
    """Keep these alone, in the order of their size."""
    lines = [
        base64.b64encode(each).decode() for each in sorted({*inputs}, key=lambda each: (len(each), each))
    ]
    (FOLDER / f"{target}.txt").write_text("".join(f"{line}\n" for line in lines))
