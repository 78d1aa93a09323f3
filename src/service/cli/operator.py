"""Who types a command, for the log."""

import getpass
import uuid

from eventstore.envelope import Envelope


def by_operator() -> Envelope:
    """Say that the user of this machine who runs the command did it; each command is a request of its own."""
    return Envelope(actor=f"cli:{_user()}", via="cli", request_id=uuid.uuid4().hex)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
