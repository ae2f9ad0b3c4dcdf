"""A campus on loopback: a SAML identity provider, and Apache with Shibboleth's service provider in front of the hub.

What Apache is told of the hub is what ``docs/how-to/logins.md`` tells an administrator to write.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from identity_provider import form_of, words_of
from jupyterhub.utils import random_port
from running_hub import Person
from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
from saml2.config import IdPConfig
from saml2.saml import NAME_FORMAT_URI
from saml2.server import Server
from yarl import URL

IDP = "https://idp.ucsd.edu/idp/shibboleth"
SP = "https://hub.ucsd.edu/shibboleth"
SECRET = "0123456789abcdef0123456789abcdef"
PATIENCE = 30
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "logins.md"
HUB_ON_THE_PAGE = "Define HUB http://127.0.0.1:8000"
MODULES = ("mpm_event", "authn_core", "authz_core", "authz_user", "env", "headers", "proxy", "proxy_http", "shib")


class Campus:
    """What people reach: the hub at ``url``, through Apache, after the identity provider has asked who they are."""

    def __init__(self, url: str) -> None:
        self.url = URL(url)
        self.people: dict[str, Mapping[str, Any]] = {}

    def says(self, name: str, **attributes: Any) -> None:
        """From now on the identity provider says this of a person."""
        self.people[name] = {"eduPersonPrincipalName": [f"{name}@ucsd.edu"], **attributes}

    async def log_in(self, person: Person, name: str) -> aiohttp.ClientResponse:
        """Open the hub, say who one is at the identity provider, come back; the page that one then sees."""
        question = await person.session.get(self.url / "hub/login", params={"next": "/hub/home"})
        assert question.status == 200, await words_of(question)
        assert question.url.path == "/sso"
        action, fields = form_of(await question.text(), question.url)
        answer = await person.session.post(action, data={**fields, "name": name})
        action, fields = form_of(await answer.text(), answer.url)
        return await person.session.post(action, data=fields)

    async def get(self, person: Person, path: str, **kwargs: Any) -> aiohttp.ClientResponse:
        """A page below the campus's address."""
        return await person.session.get(self.url / path, **kwargs)


@contextmanager
def campus(hub: str) -> Iterator[Campus]:
    """A campus whose Apache stands before the hub at this address."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="campus-")))
        folder.chmod(0o755)  # Apache's children are nobody in particular
        public = f"http://127.0.0.1:{random_port()}"
        place = Campus(public)
        _make_keys(folder)
        (folder / "sp.xml").write_text(_SP_METADATA.format(sp=SP, url=public))
        idp_url = running.enter_context(_identity_provider(place, folder))
        certificate = "".join((folder / "cert.pem").read_text().splitlines()[1:-1])
        (folder / "idp.xml").write_text(_IDP_METADATA.format(idp=IDP, url=idp_url, certificate=certificate))
        (folder / "attribute-map.xml").write_text(_ATTRIBUTES)
        (folder / "shibboleth2.xml").write_text(_SHIBBOLETH.format(sp=SP, idp=IDP, folder=folder))
        (folder / "console.logger").write_text(_LOGGER)
        (folder / "apache.conf").write_text(_apache(folder, public, hub))

        shibd = [_program("shibd"), "-F", "-f", "-c", f"{folder}/shibboleth2.xml", "-p", f"{folder}/shibd.pid"]
        running.enter_context(_started(shibd, folder / "shibd.log", lambda: (folder / "shibd.sock").exists()))
        apache = [_program("apache2"), "-D", "FOREGROUND", "-f", f"{folder}/apache.conf"]
        running.enter_context(_started(apache, folder / "apache.log", lambda: (folder / "apache.pid").exists()))
        yield place


def _program(name: str) -> str:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") or name


@contextmanager
def _started(command: list[str], log: Path, is_up: Any) -> Iterator[None]:
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not is_up():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()


def _make_keys(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "idp.ucsd.edu")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )


@contextmanager
def _identity_provider(place: Campus, folder: Path) -> Iterator[str]:
    """pysaml2's identity provider, with a login page that believes everybody."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    url = f"http://127.0.0.1:{server.server_port}"
    saml = Server(
        config=IdPConfig().load(
            {
                "entityid": IDP,
                "service": {
                    "idp": {
                        "endpoints": {"single_sign_on_service": [(f"{url}/sso", BINDING_HTTP_REDIRECT)]},
                        "policy": {"default": {"name_form": NAME_FORMAT_URI, "attribute_restrictions": None}},
                    }
                },
                "key_file": str(folder / "key.pem"),
                "cert_file": str(folder / "cert.pem"),
                "metadata": {"local": [str(folder / "sp.xml")]},
            }
        )
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            hidden = "".join(f'<input type="hidden" name="{key}" value="{escape(asked[key])}">' for key in _ASKED)
            self.answer(f'<form method="post" action="/sso">{hidden}<input name="name"></form>')

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked = {name: values[0] for name, values in parse_qs(body).items()}
            request = saml.parse_authn_request(asked["SAMLRequest"], BINDING_HTTP_REDIRECT)
            wanted = saml.response_args(request.message, [BINDING_HTTP_POST])
            response = saml.create_authn_response(
                dict(place.people[asked["name"]]),
                userid=asked["name"],
                in_response_to=wanted["in_response_to"],
                destination=wanted["destination"],
                sp_entity_id=wanted["sp_entity_id"],
                name_id_policy=wanted.get("name_id_policy"),
                authn={"class_ref": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"},
                sign_assertion=True,
                sign_response=True,
            )
            page = saml.apply_binding(
                BINDING_HTTP_POST, str(response), wanted["destination"], asked["RelayState"], response=True
            )
            self.answer(page["data"])

        def answer(self, page: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server.RequestHandlerClass = Handler
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


_ASKED = ("SAMLRequest", "RelayState")

_SP_METADATA = """
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{sp}">
  <SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <AssertionConsumerService index="1" isDefault="true" Location="{url}/Shibboleth.sso/SAML2/POST"
                              Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"/>
  </SPSSODescriptor>
</EntityDescriptor>
"""

_IDP_METADATA = """
<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#"
                  entityID="{idp}">
  <IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <Extensions>
      <shibmd:Scope xmlns:shibmd="urn:mace:shibboleth:metadata:1.0" regexp="false">ucsd.edu</shibmd:Scope>
    </Extensions>
    <KeyDescriptor use="signing">
      <ds:KeyInfo><ds:X509Data><ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>
    </KeyDescriptor>
    <SingleSignOnService Location="{url}/sso" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"/>
  </IDPSSODescriptor>
</EntityDescriptor>
"""

_ATTRIBUTES = """
<Attributes xmlns="urn:mace:shibboleth:2.0:attribute-map" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
  <Attribute name="urn:oid:1.3.6.1.4.1.5923.1.1.1.6" id="eppn">
    <AttributeDecoder xsi:type="ScopedAttributeDecoder" caseSensitive="false"/>
  </Attribute>
  <Attribute name="urn:oid:1.3.6.1.4.1.5923.1.1.1.9" id="affiliation">
    <AttributeDecoder xsi:type="ScopedAttributeDecoder" caseSensitive="false"/>
  </Attribute>
  <Attribute name="urn:oid:1.3.6.1.4.1.5923.1.1.1.7" id="entitlement"/>
  <Attribute name="urn:oid:1.3.6.1.4.1.5923.1.5.1.1" id="isMemberOf"/>
</Attributes>
"""

_SHIBBOLETH = """
<SPConfig xmlns="urn:mace:shibboleth:3.0:native:sp:config">
  <OutOfProcess logger="{folder}/console.logger"/>
  <InProcess logger="{folder}/console.logger"/>
  <UnixListener address="{folder}/shibd.sock"/>
  <ApplicationDefaults entityID="{sp}" REMOTE_USER="eppn" signing="false" encryption="false">
    <Sessions lifetime="28800" timeout="3600" relayState="ss:mem" checkAddress="false"
              handlerSSL="false" cookieProps="http" redirectLimit="exact">
      <SSO entityID="{idp}">SAML2</SSO>
      <Logout>Local</Logout>
    </Sessions>
    <MetadataProvider type="XML" validate="false" path="{folder}/idp.xml"/>
    <AttributeExtractor type="XML" validate="true" reloadChanges="false" path="{folder}/attribute-map.xml"/>
    <AttributeFilter type="XML" validate="true" path="/etc/shibboleth/attribute-policy.xml"/>
    <CredentialResolver type="File" key="{folder}/key.pem" certificate="{folder}/cert.pem"/>
  </ApplicationDefaults>
  <SecurityPolicyProvider type="XML" validate="true" path="/etc/shibboleth/security-policy.xml"/>
  <ProtocolProvider type="XML" validate="true" reloadChanges="false" path="/etc/shibboleth/protocols.xml"/>
</SPConfig>
"""

_LOGGER = """
log4j.rootCategory=WARN, console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%p %c %x: %m%n
"""


def _apache(folder: Path, public: str, hub: str) -> str:
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES)
    modules = modules.replace("shib_module", "mod_shib")
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
    on_the_page = re.findall(r"```apache\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(on_the_page) == 1
    assert HUB_ON_THE_PAGE in on_the_page[0]
    return f"""
ServerRoot {folder}
ServerName {public}
UseCanonicalName On
Listen {URL(public).authority}
PidFile {folder}/apache.pid
ErrorLog /dev/stderr
DefaultRuntimeDir {folder}
{user}
{modules}
ShibConfig {folder}/shibboleth2.xml
Define HUB_PROXY_SECRET {SECRET}
{on_the_page[0].replace(HUB_ON_THE_PAGE, f"Define HUB {hub}")}
"""
