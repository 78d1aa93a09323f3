"""Named points of the relay and of commands at which a process can be killed.

The functions are wrapped in a process of the tests (see killable.py); the service itself has no code for it.
"""

import functools
import inspect
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

import psycopg

from outbox.relay.batch import SentBatch


@dataclass(frozen=True)
class Point:
    """Before or after a function, named `module:qualified.name` as its caller finds it."""

    function: str
    after: bool = False
    matters: Callable[[Any], bool] = lambda _: True
    """Whether a pass with this result counts; only of points after a function."""
    given: type = object
    """Of what one of the arguments must be for a pass to count."""


def before(function: str) -> Point:
    return Point(function)


def after(function: str, matters: Callable[[Any], bool] = lambda _: True, *, given: type = object) -> Point:
    return Point(function, after=True, matters=matters, given=given)


POINTS = {
    "command: before its unit": before("api.pipeline.command_request:CommandAttempt._transact"),
    "command: committed, not announced": before("eventstore.coordination.commit_signals:Announcer.announce"),
    "command: committed, not answered": after("api.pipeline.command_request:CommandAttempt._transact"),
    "append: inserted, not projected": after("eventstore.unit_of_work:append_rows"),
    "append: projected, not committed": before("eventstore.unit_of_work:UnitOfWork.require_unbroken"),
    "commit: sent, not awaited": after("eventstore.unit_of_work:start_commit"),
    "claim: leased, not committed": after("outbox.relay.claim:_claim_of_host", matters=bool),
    "claim: committed": after("outbox.relay.relay:claim", matters=bool),
    "run: task read": after("outbox.relay.lane_run:next_task", matters=lambda task: task is not None),
    "intent: before": before("outbox.relay.lane_run:write_intent"),
    "intent: half written": after("outbox.relay.journal:_row"),
    "intent: committed": after(
        "outbox.relay.lane_run:LaneRun._begin_first", matters=lambda begun: begun is not None
    ),
    "send: before the first byte": before("identity.sessions.signed_requests:PdsCalls.send"),
    "apply: answered": after("identity.sessions.signed_requests:PdsCalls.send"),
    "settle: before": before("outbox.relay.lane_run:settle"),
    "settle: written, not committed": after("outbox.relay.settle:_settle"),
    "settle: released, not committed": after("outbox.relay.lane_run:write_release"),
    "settle: committed": after("outbox.relay.lane_run:settle"),
    "batch: intents committed": after("outbox.relay.batch:record_intents"),
    "batch: answered": after("outbox.relay.batch:BatchRun._send"),
    "batch: settled, not committed": after("outbox.relay.settle:_settle", given=SentBatch),
    "batch: settled": after("outbox.relay.lane_run:settle", given=SentBatch),
    "release: before": before("outbox.relay.lane_run:release"),
    "release: committed": after("outbox.relay.lane_run:release"),
    "read back: attempt closed": after("outbox.relay.delivery:Delivery._close_attempt"),
    "read back: read": after("outbox.relay.delivery:Delivery._read"),
    "refresh: claimed": before("identity.sessions.app_password_grants:AppPasswordGrants.refresh"),
    "refresh: rotated, not stored": after("identity.sessions.app_password_grants:AppPasswordGrants.refresh"),
    "refresh: stored": after("identity.sessions.session_store:SessionRows.store"),
    "blob: claimed": after("outbox.blobs.worker:next_upload", matters=bool),
    "blob: before the upload": before("outbox.blobs.worker:Uploads._upload"),
    "blob: uploaded, not settled": before("outbox.blobs.worker:Uploads._settle"),
    "blob: settled, not committed": after("outbox.blobs.worker:settle_job"),
    "blob: settled": after("outbox.blobs.worker:Uploads._settle"),
    "key: taken, nothing done": after("eventstore.idempotency:KeyLock.acquire"),
    "key: answer kept, not committed": after("eventstore.idempotency:KeyLock.keep_result"),
    "references: at once, not committed": after("outbox.relay.settle:refresh_at_once"),
    "references: job begun": before("outbox.lists.references:refresh_behind_live"),
    "references: refreshed, not committed": after("outbox.lists.references:refresh_behind"),
    "followers: found": after("outbox.lists.references:followers_to_tell", matters=bool),
    "followed: carried, not committed": after("application.lists.followed:set_followers"),
    "reaction: carried, not committed": after("application.reactions:carry"),
    "reaction: carried": after("application.reactions:show_reaction"),
    "liked list: ordered, not committed": after("application.lists.liked:_follow_likes", matters=bool),
    "upload: part entered, not answered": after("api.pipeline.media_intake:append_part"),
    "upload: file kept, not entered": before("api.routers.releases.uploads:add_file"),
    "upload: file entered, not committed": after("api.routers.releases.uploads:add_file"),
    "publishing: before its unit": before("application.releases.publishing:Publishing._publish"),
    "publishing: a track registered": after("application.releases.publishing:register_track"),
    "publishing: all made, not committed": after("application.releases.publishing:_make_tracks"),
    "publishing: committed, job not ended": after("application.releases.publishing:Publishing._publish"),
}
FOLLOWING = ("references", "followers", "followed", "reaction", "liked list")
"""How the points of the jobs begin that follow a delivery or a command."""
OF_RELEASES = ("upload", "publishing")
"""How the points begin that only releases pass."""


_END_CONNECTIONS: Final = """
    select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"""


class Trigger:
    """The file that says where to die: `arm` writes it, a process with the points reads it.

    Given `nodes`, the URLs of databases, the process lives on, and all connections to these are ended.
    """

    def __init__(self, path: Path, nodes: Sequence[str] = ()) -> None:
        self.path, self._nodes = path, nodes
        self._life = path.with_suffix(".pid")

    def arm(self, point: str) -> None:
        """Let the process die at its next pass of the point."""
        assert point in POINTS, point
        _write(self.path, "\n".join((point, *self._nodes)))

    def await_pull(self) -> None:
        """Let the process die when the trigger is pulled from outside."""
        _write(self.path, "anywhere")

    def pull(self) -> None:
        """Let it die at once, wherever it is."""
        self._strike(int(self._life.read_text()), self._nodes)

    def lives(self, pid: int) -> None:
        _write(self._life, str(pid))

    def disarm(self) -> None:
        self.path.unlink(missing_ok=True)

    @property
    def armed(self) -> bool:
        return self.path.exists()

    def passed(self, point: str) -> None:
        try:
            told, *nodes = self.path.read_text().splitlines()
        except FileNotFoundError:
            return
        if told == point:
            self._strike(os.getpid(), nodes)

    def _strike(self, pid: int, nodes: Sequence[str]) -> None:
        if not nodes:
            os.kill(pid, signal.SIGKILL)
            return
        self.disarm()
        for node in nodes:
            with psycopg.connect(node.replace("+psycopg", ""), autocommit=True) as operator:
                operator.execute(_END_CONNECTIONS)


def _write(path: Path, text: str) -> None:
    """Write atomically, so that no process reads half of it."""
    waiting = path.with_suffix(".new")
    waiting.write_text(text)
    waiting.rename(path)


def install(trigger: Trigger) -> None:
    """Wrap every function of the table; one that is not there any more is an error."""
    for name, point in POINTS.items():
        module, _, qualified = point.function.partition(":")
        *path, last = qualified.split(".")
        owner = import_module(module)
        if path:
            owner = attrgetter(".".join(path))(owner)
        setattr(owner, last, _wrapped(getattr(owner, last), name, point, trigger))


def _wrapped(function: Any, name: str, point: Point, trigger: Trigger) -> Any:
    def enter() -> None:
        if not point.after:
            trigger.passed(name)

    def leave(result: Any, args: tuple[Any, ...]) -> Any:
        if point.after and point.matters(result) and any(isinstance(each, point.given) for each in args):
            trigger.passed(name)
        return result

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def called(*args: Any, **kwargs: Any) -> Any:
            enter()
            return leave(await function(*args, **kwargs), (*args, point))

        return called

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        enter()
        return leave(function(*args, **kwargs), (*args, point))

    return call
