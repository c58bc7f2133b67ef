"""A certificate authority, servers with its certificates, and a proxy that writes down what it is asked: all real."""

from __future__ import annotations

import json
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.conftest import serving

CONFIG = """
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = names
copy_extensions = copy
unique_subject = no
[names]
commonName = supplied
[req]
distinguished_name = names
"""


class Authority:
    """One of a company: `file` is its certificate, which nobody knows."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.file = folder, folder / "authority.pem"
        (folder / "index.txt").touch()
        (folder / "serial").write_text("01\n")
        (folder / "ca.conf").write_text(CONFIG)
        subject = ["-subj", "/CN=The Company", "-addext", "basicConstraints=critical,CA:TRUE"]
        _openssl(folder, "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, "-days", "2", *_out("authority"))

    def issue(self, name: str, names: str = "DNS:localhost,IP:127.0.0.1", *, ends: str = "20991231000000Z") -> Path:
        """A certificate and its key, in one file."""
        subject = ["-config", "ca.conf", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"]
        _openssl(self.folder, "req", "-newkey", "rsa:2048", "-nodes", *subject, *_out(name, "csr"))
        signer = ["-config", "ca.conf", "-batch", "-notext", "-cert", "authority.pem", "-keyfile", "authority.key"]
        dates = ["-startdate", "20200101000000Z", "-enddate", ends]
        _openssl(self.folder, "ca", *signer, *dates, "-in", f"{name}.csr", "-out", f"{name}.crt")
        both = self.folder / f"{name}.pem"
        both.write_text((self.folder / f"{name}.crt").read_text() + (self.folder / f"{name}.key").read_text())
        return both


class Handler(BaseHTTPRequestHandler):
    """Answers JSON to everything."""

    body: object = {"model_class": "understudy", "status": "UP", "projects": []}

    def do_GET(self) -> None:
        content = json.dumps(self.body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


class Recorder(Handler):
    """As a proxy, which refuses what it is asked and remembers it."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(f"{self.requestline}\n{self.headers}")
        self.send_error(502, "the proxy reaches nobody")

    do_CONNECT = do_GET


class Quiet(ThreadingHTTPServer):
    """Clients that hang up in a handshake are none of its errors."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def over_tls(certificate: Path) -> Iterator[str]:
    """The URL of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Quiet(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with serving(server):
        yield f"https://localhost:{server.server_port}"


@contextmanager
def recording_proxy() -> Iterator[tuple[str, list[str]]]:
    """(its URL, what it was asked)."""
    seen: list[str] = []
    server = Quiet(("127.0.0.1", 0), type("OneRecorder", (Recorder,), {"seen": seen}))
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}", seen


def _out(name: str, ending: str = "pem") -> list[str]:
    return ["-keyout", f"{name}.key", "-out", f"{name}.{ending}"]


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
