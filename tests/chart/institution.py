"""An institution with a sensitive zone: its certificate authority, and the HTTP proxy that reads all that passes."""

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from subprocess import run
from zipfile import ZipFile

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

__all__ = ["REPOSITORY", "WHEEL", "Institution", "running_institution"]

REPOSITORY = "packages.example.org"
"""A public repository of packages, which is reached through the proxy only."""
WHEEL = "zoned-1.0-py3-none-any.whl"


@dataclass
class Institution:
    """What runs on loopback, and what has passed through it.

    Attributes
    ----------
    ca
        The certificates that everybody in the zone must trust, PEM.
    proxy
        URL of the HTTP proxy. Whatever host is asked for, the institution answers itself, by its own certificate, as
        proxies do that look into what passes.
    direct
        URL of the same answers without the proxy, for programs that cannot use one.
    asked
        ``METHOD target`` of each request to the proxy.
    """

    ca: str
    proxy: str
    direct: str
    asked: list[str] = field(default_factory=list)


@asynccontextmanager
async def running_institution(folder: Path) -> AsyncIterator[Institution]:
    """Run it while the block runs."""
    ca, certificate = _certificates(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    runner = web.AppRunner(_repository(folder))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    inside = runner.addresses[0][1]
    it = Institution(ca, "", f"https://127.0.0.1:{inside}")

    async def proxied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            it.asked.append(" ".join(head.split()[:2]))
            if head.startswith("CONNECT "):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", inside)
                await asyncio.gather(_pass_on(reader, far_writer), _pass_on(far_reader, writer))
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nplain\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxied, "127.0.0.1", 0)
    it.proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield it
    server.close()
    await runner.cleanup()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def _repository(folder: Path) -> web.Application:
    """``/hello``, a package index below ``/simple``, and a git repository ``/code.git`` as plain files."""
    git = folder / "code.git"
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    run(["git", "init", "--quiet", "--bare", str(git)], check=True)
    tree = run(["git", "-C", str(git), "mktree"], input=b"", capture_output=True, check=True).stdout.decode().strip()
    commit = run(
        ["git", *identity, "-C", str(git), "commit-tree", tree, "-m", "First"], capture_output=True, check=True
    )
    run(["git", "-C", str(git), "update-ref", "refs/heads/main", commit.stdout.decode().strip()], check=True)
    run(["git", "-C", str(git), "update-server-info"], check=True)

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello\n")

    async def index(request: web.Request) -> web.Response:
        return web.Response(text=f'<a href="/{WHEEL}">{WHEEL}</a>', content_type="text/html")

    async def wheel(request: web.Request) -> web.Response:
        return web.Response(body=_wheel())

    application = web.Application()
    application.router.add_get("/hello", hello)
    application.router.add_get("/simple/zoned/", index)
    application.router.add_get(f"/{WHEEL}", wheel)
    application.router.add_static("/code.git", git)
    return application


def _wheel() -> bytes:
    told = "zoned-1.0.dist-info"
    files = {
        f"{told}/METADATA": "Metadata-Version: 2.1\nName: zoned\nVersion: 1.0\n",
        f"{told}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{told}/RECORD": "",
    }
    written = BytesIO()
    with ZipFile(written, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return written.getvalue()


def _certificates(folder: Path) -> tuple[str, Path]:
    """The authority's certificate (PEM), and a file with the repository's certificate and key."""
    now = datetime.datetime.now(datetime.UTC)
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Hospital CA")])
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())

    def build(subject: x509.Name, public: ec.EllipticCurvePublicKey, *extensions: x509.ExtensionType) -> bytes:
        builder = (
            x509.CertificateBuilder(authority, subject, public, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    signs = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = build(authority, ca_key.public_key(), x509.BasicConstraints(ca=True, path_length=0), signs)
    names = x509.SubjectAlternativeName([x509.DNSName(REPOSITORY), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signs)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, REPOSITORY)])
    leaf = build(subject, key.public_key(), x509.BasicConstraints(ca=False, path_length=None), names, signed_by)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / "certificate.pem"
    file.write_bytes(leaf + private)
    return ca.decode(), file
