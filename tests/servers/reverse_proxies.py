"""nginx and Caddy before a service, with the examples of deploy/ as they are, but for names, ports and certificates."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devpds.ports import free_port
from devpds.process import Process
from tests.servers.certificates import Authority

DEPLOY = Path(__file__).parents[2] / "deploy"
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CADDY = shutil.which("caddy")
NAME = "tape.example.org"
CERTIFICATES = f"/etc/letsencrypt/live/{NAME}"
AROUND = """\
daemon off;
pid {folder}/pid;
{user}
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/mastertape.conf;
}}
"""


@contextmanager
def nginx(service_port: int, folder: Path) -> Iterator[str]:
    """The URL of nginx; its certificate is of an authority that nobody trusts."""
    port, other_port = free_port(), free_port()
    certificate = Authority(folder).certificate("site", [NAME])
    conf = (DEPLOY / "nginx/mastertape.conf").read_text()
    for written, here in (
        ("server 127.0.0.1:8000;", f"server 127.0.0.1:{service_port};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{other_port};"),
        (f"{CERTIFICATES}/fullchain.pem", str(certificate.chain)),
        (f"{CERTIFICATES}/privkey.pem", str(certificate.key)),
    ):
        assert conf.count(written) == 1
        conf = conf.replace(written, here)
    (folder / "mastertape.conf").write_text(conf)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
    process = Process(
        [NGINX or "nginx", "-e", folder / "errors", "-c", folder / "nginx.conf"], log=folder / "log"
    )
    yield from _running(process, port, f"https://127.0.0.1:{port}")


@contextmanager
def caddy(service_port: int, folder: Path) -> Iterator[str]:
    """The URL of Caddy, without TLS: where there is no public name it would make an authority of its own."""
    port = free_port()
    caddyfile = f"{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n\tstorage file_system {folder}\n}}\n"
    (folder / "Caddyfile").write_text(caddyfile + (DEPLOY / "caddy/Caddyfile").read_text())
    process = Process(
        [CADDY or "caddy", "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"],
        log=folder / "log",
        env=os.environ
        | {
            "DOMAIN": f"http://127.0.0.1:{port}",
            "UPSTREAM": f"127.0.0.1:{service_port}",
            "HOME": str(folder),
        },
    )
    yield from _running(process, port, f"http://127.0.0.1:{port}")


def _running(process: Process, port: int, url: str) -> Iterator[str]:
    try:
        process.start(lambda: _answers(port))
        yield url
    finally:
        process.stop()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
