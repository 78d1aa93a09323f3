"""Walks the tree of a repo's records (https://atproto.com/specs/repository#mst-structure) and checks its shape.

The keys determine the shape, so that a tree that is read without an error is complete.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from outbox.repo.car import Blocks, UnprovenError

BITS_PER_LAYER: Final = 2
MAX_KEY_BYTES: Final = 1024


def entries(blocks: Blocks, root: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield the paths (COLLECTION/RKEY) and the CIDs of their records, in the order of the paths."""
    last = b""
    for key, cid in _walk(blocks, root, None):
        if key <= last:
            raise UnprovenError("MST keys are not in ascending order")
        last = key
        try:
            yield key.decode("ascii"), cid
        except UnicodeDecodeError:
            raise UnprovenError("an MST key is not an ASCII path") from None


def layer_of(key: bytes) -> int:
    """Return the layer of a key: the number of leading pairs of zero bits in its hash."""
    digest = int.from_bytes(sha256(key).digest())
    return (256 - digest.bit_length()) // BITS_PER_LAYER


def _walk(blocks: Blocks, cid: bytes, layer: int | None) -> Iterator[tuple[bytes, bytes]]:
    """Yield the entries below a node. `layer` is the layer that it must be in; None at the root, whose keys determine it."""
    left, keys = _parts(blocks.node(cid))
    if layer is None:
        if left is None and not keys:
            return  # a repo without records
        layer = layer_of(keys[0].key) if keys else -1
    if layer < 0 or (left is None and not keys) or any(layer_of(each.key) != layer for each in keys):
        raise UnprovenError("an MST node is in the wrong layer")
    if left is not None:
        yield from _walk(blocks, left, layer - 1)
    for each in keys:
        yield each.key, each.value
        if each.right is not None:
            yield from _walk(blocks, each.right, layer - 1)


@dataclass(frozen=True)
class _Key:
    key: bytes
    value: bytes
    right: bytes | None
    """The subtree between this key and the next one of the node."""


def _parts(node: dict[str, Any]) -> tuple[bytes | None, list[_Key]]:
    match node:
        case {"l": bytes() | None as left, "e": list(found)}:
            keys: list[_Key] = []
            for each in found:
                keys.append(_key(each, keys[-1].key if keys else b""))
            return left, keys
    raise UnprovenError("malformed MST node")


def _key(entry: Any, last: bytes) -> _Key:
    match entry:
        case {"p": int(shared), "k": bytes(rest), "v": bytes(value), "t": bytes() | None as right}:
            key = last[:shared] + rest
            if 0 <= shared <= len(last) and 0 < len(key) <= MAX_KEY_BYTES:
                return _Key(key, value, right)
    raise UnprovenError("malformed MST entry")
