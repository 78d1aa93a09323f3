"""Blocks of a CAR file (https://ipld.io/specs/transport/car/carv1/), each proven by its CID.

Only where each block lies is kept in memory. The SDK's reader believes the CIDs that it reads, and holds all blocks decoded.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, BinaryIO, Final

import libipld

from outbox.record.dag_cbor import CID_BYTES, CID_PREFIXES

MAX_BLOCK: Final = 2 * 2**20
"""@atproto/pds 0.5.35 refuses a commit with more than 2,000,000 bytes of blocks, and each record is part of one."""
MOST_BLOCKS: Final = 4_000_000
"""Where each lies takes some 200 bytes of memory; a repo has little more blocks than records."""
VARINT_BYTES: Final = 9


class UnprovenError(Exception):
    """The repo is not what its signature and its CIDs promise."""


class Blocks:
    """The blocks of a file that can be read again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._places: dict[bytes, tuple[int, int]] = {}
        file.seek(0)
        self.root: Final = self._read_root()
        while self._read_block():
            pass

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._places)

    def get(self, cid: bytes) -> bytes:
        """Return the bytes of a block; they were proven when the file was read."""
        place = self._places.get(cid)
        if place is None:
            raise UnprovenError("a block is missing")
        self._file.seek(place[0])
        return self._file.read(place[1])

    def node(self, cid: bytes) -> dict[str, Any]:
        """Decode a block that must be a map."""
        try:
            value = libipld.decode_dag_cbor(self.get(cid))
        except ValueError as error:
            raise UnprovenError("a block is not valid DAG-CBOR") from error
        if not isinstance(value, dict):
            raise UnprovenError("a block is not a DAG-CBOR map")
        return value

    def _read_root(self) -> bytes:
        length = self._varint()
        header = self._exactly(length) if length is not None else b""
        try:
            match libipld.decode_dag_cbor(header):
                case {"version": 1, "roots": [bytes(root), *_]}:
                    return root
        except ValueError:
            pass
        raise UnprovenError("not a CAR file")

    def _read_block(self) -> bool:
        if (length := self._varint()) is None:
            return False
        if not CID_BYTES < length <= MAX_BLOCK:
            raise UnprovenError(f"a block has an invalid length of {length} bytes")
        cid, at = self._exactly(CID_BYTES), self._file.tell()
        data = self._exactly(length - CID_BYTES)
        if not cid.startswith(CID_PREFIXES) or sha256(data).digest() != cid[4:]:
            raise UnprovenError("a block does not match its CID")
        self._places[cid] = (at, len(data))
        if len(self._places) > MOST_BLOCKS:
            raise UnprovenError(f"more than {MOST_BLOCKS} blocks")
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
        if length > MAX_BLOCK:
            raise UnprovenError(f"the header has an invalid length of {length} bytes")
        data = self._file.read(length)
        if len(data) != length:
            raise UnprovenError("the file ends within a block")
        return data
