"""Names the operator of a command in the log."""

import getpass
import uuid

from eventstore.change import Envelope, Via


def operator_envelope() -> Envelope:
    """Return an envelope that names the user of this machine; each command is a request of its own."""
    return Envelope(actor=f"cli:{_user()}", via=Via.CLI, request_id=uuid.uuid4().hex)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
