"""A single-user server in thirty lines: says what JupyterHub asks for, and shows its environment at /env."""

import json
import os
import ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Handler(BaseHTTPRequestHandler):
    """Answers any path: with the environment below /env, else with the version JupyterHub looks for."""

    def do_GET(self) -> None:
        """One answer for all."""
        shown = dict(os.environ) if self.path.endswith("/env") else {"version": "2.0"}
        body = json.dumps(shown).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the log of the pod short."""


url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
server = ThreadingHTTPServer((url.hostname or "127.0.0.1", url.port or 8888), Handler)
if "JUPYTERHUB_SSL_KEYFILE" in os.environ:
    certificate, key, authorities = (
        os.environ[f"JUPYTERHUB_SSL_{part}"] for part in ("CERTFILE", "KEYFILE", "CLIENT_CA")
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authorities)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
