"""Stands where the load balancer of an emulated deployment would be: a proxy that clients of its URL are sent to, and that
answers as a Yelb without votes does. No task runs in these accounts; test_voter.py has a real Yelb."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from pathlib import Path
from urllib.parse import urlsplit

from .authority import Authority


class LoadBalancer:
    def __init__(self, directory: Path) -> None:
        self.authority = Authority("Stand-in of a public authority")
        self.directory = directory
        self.trusted = directory / "authorities.pem"
        self.trusted.write_text(self.authority.pem)
        self.votes = {"outback": 0, "bucadibeppo": 0, "ihop": 0, "chipotle": 0}
        self.asked: list[str] = []
        balancer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                balancer.asked.append(url.path)
                status, body = balancer.answer(url.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_CONNECT(self) -> None:
                host = self.path.partition(":")[0]
                self.send_response(200)
                self.end_headers()
                self.connection = balancer.context(host).wrap_socket(self.connection, server_side=True)
                self.rfile = self.connection.makefile("rb")
                self.wfile = self.connection.makefile("wb", 0)
                self.close_connection = False

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def variables(self) -> dict[str, str]:
        """What sends a program that opens URLs here, but for those of this machine."""
        proxy = f"http://127.0.0.1:{self.server.server_port}"
        return {
            "http_proxy": proxy,
            "https_proxy": proxy,
            "no_proxy": "127.0.0.1,localhost",
            "SSL_CERT_FILE": str(self.trusted),
        }

    def answer(self, path: str) -> tuple[int, bytes]:
        if path == "/":
            return 200, b"<!doctype html><html></html>"
        if path == "/readyz":
            return 200, b'{"status":"ready"}'
        if path == "/api/getvotes":
            return 200, json.dumps([{"name": name, "value": value} for name, value in self.votes.items()]).encode()
        if path == "/api/hostname":
            return 200, b"a-task"
        name = path.removeprefix("/api/")
        if name in self.votes:
            self.votes[name] += 1
            return 200, str(self.votes[name]).encode()
        return 404, b""

    def context(self, host: str) -> ssl.SSLContext:
        directory = self.directory / host
        self.authority.issue(directory, host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
        return context

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
