"""Names of processes as owners of leases: on the machine of its process, a name can prove that the process has ended.

A name says boot, namespaces, process id and start time. Anything that is not known proves nothing: another machine or boot,
another PID namespace, a system without /proc.
"""

import os
import re
import uuid
from hashlib import blake2b
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PLACE_BYTES: Final = 8
_ENDED_STATES: Final = frozenset("ZX")
"""Of /proc/PID/stat: a zombie runs no code any more. A stopped process (T) may go on at any time."""
_NAME: Final = re.compile(
    r"(?P<place>[0-9a-f]{16})\.(?P<pid>[1-9]\d{0,8})\.(?P<started>\d{1,19})\.[0-9a-f]{8}"
)


def process_name() -> str:
    """Return a new unique name for this process, the owner of its leases."""
    unique = uuid.uuid4().hex
    place, stat = _place(), _stat(os.getpid())
    if place is None or stat is None:
        return unique
    started, _ = stat
    return f"{place}.{os.getpid()}.{started}.{unique[:8]}"


def has_ended(name: str) -> bool:
    """Whether the process that made this name is proved to have ended."""
    named = _NAME.fullmatch(name)
    if named is None or named["place"] != _place():
        return False
    pid = int(named["pid"])
    try:
        os.kill(pid, 0)  # /proc may hide other users' processes
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    if (stat := _stat(pid)) is None:
        return False
    started, is_over = stat
    return started != int(named["started"]) or is_over


def _place() -> str | None:
    """Return a digest of the boot and of the namespaces that number processes and count their time; None where unknown.

    It is read each time, since a process may be moved to another machine while it runs.
    """
    try:
        if str(Path(_PROC / "self").readlink()) != str(os.getpid()):
            return None  # /proc is that of another PID namespace
        boot = (_PROC / "sys/kernel/random/boot_id").read_text()
        namespaces = [_namespace("pid"), _namespace("time")]
    except OSError:
        return None
    if not boot.strip() or namespaces[0] is None:
        return None
    return blake2b(repr((boot, namespaces)).encode(), digest_size=_PLACE_BYTES).hexdigest()


def _namespace(kind: str) -> str | None:
    """Return the namespace of this process; None where the kernel has none of the kind."""
    try:
        return str((_PROC / "self/ns" / kind).readlink())
    except FileNotFoundError:
        return None


def _stat(pid: int) -> tuple[int, bool] | None:
    """Return when a process started, in clock ticks since the boot, and whether it has ended."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # a program's name may hold anything
    return int(fields[19]), fields[0] in _ENDED_STATES and int(fields[17]) <= 1  # no other thread
