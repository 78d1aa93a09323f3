"""A PDS that acknowledges what it does not have. While it tells no lie it is the fake PDS that the contract suite holds to the real one."""

import json
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from typing import Self

import httpx

from outbox.record.dag_cbor import record_cid
from tests.fake_pds.repo import Commit, Key, Repo, Stored
from tests.fake_pds.signed_in_pds import SignedInPds, named_account
from tests.fake_pds.values import as_stored

DID_NOT_WRITE = "something that no client wrote"


@dataclass(frozen=True)
class Backup:
    """A repository at some point. Revisions issued since are not issued again."""

    records: dict[Key, Stored]
    commits: list[Commit]

    @classmethod
    def of(cls, repo: Repo) -> Self:
        return cls(copy(repo.records), copy(repo.commits))

    def restore(self, repo: Repo) -> None:
        repo.records, repo.commits = copy(self.records), copy(self.commits)


Lie = Callable[[Repo, Backup], None]
"""Changes a repository after a write that was acknowledged; it gets a backup from before the write."""


def nothing_written(repo: Repo, before: Backup) -> None:
    before.restore(repo)


def something_else_written(repo: Repo, before: Backup) -> None:
    for key, stored in repo.records.items():
        if before.records.get(key) != stored:
            value = {**stored.value, "title": DID_NOT_WRITE}
            repo.records[key] = replace(stored, value=value, cid=as_stored(value, key[0])[1])


class LyingPds(SignedInPds):
    lie: Lie | None = None
    takes_anything: bool = False
    """True where each put is answered with its CID, whatever its swap, and does nothing."""

    def answer(self, request: httpx.Request, content: bytes) -> httpx.Response:
        if self.takes_anything and request.url.path.endswith(".putRecord"):
            return httpx.Response(
                200, json={"uri": "at://a/b/c", "cid": record_cid(json.loads(content)["record"])}
            )
        did = named_account(request, content)
        if did is None or self.lie is None:
            return super().answer(request, content)
        before = Backup.of(self.repo(did))
        answer = super().answer(request, content)
        if self.repo(did).head != before.commits[-1]:
            self.lie(self.repo(did), before)
        return answer
