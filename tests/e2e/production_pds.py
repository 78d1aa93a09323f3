"""A PDS as in production, at a name of an internet of our own, and accounts on it."""

from pathlib import Path

from devpds.server import DevPds, DevPlc
from tests.servers.atproto import PdsAccount
from tests.servers.internet import Internet


def production_pds(internet: Internet, plc: DevPlc, folder: Path, name: str, port: int) -> DevPds:
    """Not started yet."""
    env = {
        "PDS_HOSTNAME": name,
        "PDS_SERVICE_HANDLE_DOMAINS": f".{name}",
        "PDS_DEV_MODE": "false",
        "NODE_EXTRA_CA_CERTS": str(internet.authority.file),
    }
    pds = DevPds(plc, folder / name, port=port, env=env)
    pds.url = f"https://{name}"
    return pds


def account_at(pds: DevPds, name: str) -> PdsAccount:
    handle, password = f"{name}.{pds.url.removeprefix('https://')}", "let me in"
    did = pds.create_account(handle, password)
    return PdsAccount(did, handle, password, pds.create_app_password(did))
