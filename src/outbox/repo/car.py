"""Reads the blocks of a CAR file (https://ipld.io/specs/transport/car/carv1/) and checks each against its CID.

Only offsets are kept in memory. The SDK's reader does not check CIDs, and keeps all blocks decoded.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, BinaryIO, Final

import libipld

from outbox.record.dag_cbor import CID_BYTES, CID_PREFIXES
from outbox.record.foreign_cbor import require_few_values

MAX_BLOCK_BYTES: Final = 2 * 2**20
"""@atproto/pds 0.5.35 refuses a commit with more than 2,000,000 bytes of blocks, and each record is part of one."""
MAX_BLOCKS: Final = 4_000_000
"""Each takes some 200 bytes of memory; a repo has few more blocks than records."""
VARINT_BYTES: Final = 9


class UnprovenError(Exception):
    """The repo does not match its signature or its CIDs."""


class Blocks:
    """The blocks of a seekable file, by their CIDs; raises UnprovenError if one does not match."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._offsets: dict[bytes, tuple[int, int]] = {}
        file.seek(0)
        self.root: Final = self._read_root()
        while self._read_block():
            pass

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._offsets)

    def get(self, cid: bytes) -> bytes:
        """Return the bytes of a block, which were checked when the file was read."""
        found = self._offsets.get(cid)
        if found is None:
            raise UnprovenError("a block is missing")
        self._file.seek(found[0])
        return self._file.read(found[1])

    def node(self, cid: bytes) -> dict[str, Any]:
        """Decode a block that must be a map."""
        data = self.get(cid)
        try:
            require_few_values(data)
            value = libipld.decode_dag_cbor(data)
        except (ValueError, RecursionError) as error:
            raise UnprovenError("a block is not valid DAG-CBOR") from error
        if not isinstance(value, dict):
            raise UnprovenError("a block is not a DAG-CBOR map")
        return value

    def _read_root(self) -> bytes:
        length = self._varint()
        header = self._exactly(length) if length is not None else b""
        try:
            require_few_values(header)
            match libipld.decode_dag_cbor(header):
                case {"version": 1, "roots": [bytes(root), *_]}:
                    return root
        except (ValueError, RecursionError):
            pass
        raise UnprovenError("not a CAR file")

    def _read_block(self) -> bool:
        if (length := self._varint()) is None:
            return False
        if not CID_BYTES < length <= MAX_BLOCK_BYTES:
            raise UnprovenError(f"a block has an invalid length of {length} bytes")
        cid, at = self._exactly(CID_BYTES), self._file.tell()
        data = self._exactly(length - CID_BYTES)
        if not cid.startswith(CID_PREFIXES) or sha256(data).digest() != cid[4:]:
            raise UnprovenError("a block does not match its CID")
        self._offsets[cid] = (at, len(data))
        if len(self._offsets) > MAX_BLOCKS:
            raise UnprovenError(f"more than {MAX_BLOCKS} blocks")
        return True

    def _varint(self) -> int | None:
        """Read an unsigned LEB128 number; None at the end of the file."""
        value = 0
        for index in range(VARINT_BYTES):
            byte = self._file.read(1)
            if not byte:
                if index:
                    break
                return None
            value |= (byte[0] & 0x7F) << (7 * index)
            if byte[0] < 0x80:  # noqa: PLR2004
                return value
        raise UnprovenError("the file ends within a varint")

    def _exactly(self, length: int) -> bytes:
        if length > MAX_BLOCK_BYTES:
            raise UnprovenError(f"the header has an invalid length of {length} bytes")
        data = self._file.read(length)
        if len(data) != length:
            raise UnprovenError("the file ends within a block")
        return data
