"""A learning management system on loopback: the platform's half of LTI 1.3, and people who open the hub from a course.

The messages are those of https://www.imsglobal.org/spec/lti/v1p3/ and https://www.imsglobal.org/spec/security/v1p0/.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import aiohttp
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from identity_provider import form_of, words_of
from jwt.algorithms import RSAAlgorithm
from markupsafe import escape
from running_hub import Person
from yarl import URL

CLAIM = "https://purl.imsglobal.org/spec/lti/claim"
CONTEXT_ID = f"{CLAIM}/context.id"
ROLES = f"{CLAIM}/roles"

COURSE_OFFERING = "http://purl.imsglobal.org/vocab/lis/v2/course#CourseOffering"
MEMBERSHIP = "http://purl.imsglobal.org/vocab/lis/v2/membership"
LEARNER = f"{MEMBERSHIP}#Learner"
INSTRUCTOR = f"{MEMBERSHIP}#Instructor"
ASSISTANT = f"{MEMBERSHIP}/Instructor#TeachingAssistant"

CLIENT_ID = "10000000000042"
DEPLOYMENT = "1:8865aa05b4b79b64a91a86042e43af5ea8ae79eb"
KEY_ID = "2026-09"


class LearningPlatform:
    """Registers one hub as a tool; signs who opens it, from which course, in which role."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.signs_with = self.key
        self.url = ""
        self.hub = URL()
        self.callback = ""
        self.page = ""
        self.launches: dict[str, Mapping[str, Any]] = {}

    def config(self, hub_port: int, host: str = "127.0.0.1") -> dict[str, Mapping[str, Any]]:
        """The sections of a hub on this port that this platform knows as a tool, at the address which browsers use."""
        self.hub = URL.build(scheme="http", host=host, port=hub_port, path="/hub")
        self.callback = str(self.hub / "lti13/oauth_callback")
        return {
            "LTI13Authenticator": {
                "issuer": self.url,
                "authorize_url": f"{self.url}/authorize",
                "jwks_endpoint": f"{self.url}/jwks",
                "client_id": {CLIENT_ID},
                "username_key": "preferred_username",
            },
            "Authenticator": {"allow_all": True},
            "JupyterHub": {"hub_bind_url": f"http://127.0.0.1:{hub_port}/hub/"},
        }

    def public_keys(self) -> dict[str, Any]:
        """The key set that tools fetch."""
        key = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**key, "kid": KEY_ID, "alg": "RS256", "use": "sig"}]}

    def authentication_response(self, asked: Mapping[str, str]) -> str:
        """The page that posts the signed message to the tool, for an authentication request as the security framework
        has it; a request that is not so fails the test that made it."""
        fixed = {
            "scope": "openid",
            "response_type": "id_token",
            "response_mode": "form_post",
            "prompt": "none",
            "client_id": CLIENT_ID,
            "redirect_uri": self.callback,
        }
        assert {name: asked.get(name) for name in fixed} == fixed
        now = int(time.time())
        message = {
            "iss": self.url,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            f"{CLAIM}/message_type": "LtiResourceLinkRequest",
            f"{CLAIM}/version": "1.3.0",
            f"{CLAIM}/deployment_id": DEPLOYMENT,
            f"{CLAIM}/target_link_uri": self.callback,
            f"{CLAIM}/resource_link": {"id": "notebook-of-week-3"},
            **self.launches[asked["lti_message_hint"]],
        }
        fields = {
            "id_token": jwt.encode(message, self.signs_with, algorithm="RS256", headers={"kid": KEY_ID}),
            "state": asked["state"],
        }
        return _form(asked["redirect_uri"], fields) + "<script>document.forms[0].submit()</script>"

    def link(self, name: str, course: str, *roles: str) -> dict[str, str]:
        """The link to the hub as somebody sees it in a course: what it makes their browser post to the hub."""
        hint = f"launch-{len(self.launches)}"
        self.launches[hint] = {
            "sub": f"user-of-{name}",
            "preferred_username": name,
            "email": f"{name}@ucsd.edu",
            f"{CLAIM}/context": {"id": course, "label": f"CSE {course}", "type": [COURSE_OFFERING]},
            f"{CLAIM}/roles": list(roles),
        }
        return {
            "iss": self.url,
            "login_hint": f"user-of-{name}",
            "lti_message_hint": hint,
            "target_link_uri": str(self.hub / "home"),
            "client_id": CLIENT_ID,
            "lti_deployment_id": DEPLOYMENT,
        }

    def course_page(self, name: str, course: str, *roles: str) -> str:
        """The address of a page of the course with a link to the hub, for a real browser."""
        self.page = _form(str(self.hub / "lti13/oauth_login"), self.link(name, course, *roles), "Notebooks")
        return f"{self.url}/course"

    async def signed_page(self, person: Person, name: str, course: str, *roles: str) -> "SignedPage":
        """Somebody clicks on the hub's link in a course: what the platform then makes their browser post to the hub."""
        page = await person.session.post(self.hub / "lti13/oauth_login", data=self.link(name, course, *roles))
        assert page.status == 200, await words_of(page)
        assert str(page.url.origin()) == self.url
        return SignedPage(*form_of(await page.text(), page.url))

    async def open_hub(self, person: Person, name: str, course: str, *roles: str) -> aiohttp.ClientResponse:
        """Somebody clicks on the hub's link in a course, in this role; the page of the hub that they then see."""
        page = await self.signed_page(person, name, course, *roles)
        person.name = name
        return await person.session.post(page.action, data=page.fields)


class SignedPage(NamedTuple):
    """A page of the platform that posts itself to the hub."""

    action: URL
    fields: dict[str, str]


def _form(action: str, fields: Mapping[str, str], button: str = "") -> str:
    hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(text)}">' for name, text in fields.items())
    click = f"<button>{button}</button>" if button else ""
    target = ' target="_blank"' if button else ""
    return f'<form method="post" action="{escape(action)}"{target}>{hidden}{click}</form>'


def _handler_of(platform: LearningPlatform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            if asked.path == "/jwks":
                self.answer("application/json", json.dumps(platform.public_keys()))
            elif asked.path == "/course":
                self.answer("text/html", platform.page)
            elif asked.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(asked.query).items()}
                self.answer("text/html", platform.authentication_response(query))
            else:
                self.send_error(404)

        def answer(self, kind: str, text: str) -> None:
            body = text.encode()
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@contextmanager
def learning_platform() -> Iterator[LearningPlatform]:
    """A platform in a thread of its own, because the authenticator waits for its keys with the hub's loop in hand."""
    platform = LearningPlatform()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(platform))
    platform.url = str(URL.build(scheme="http", host="127.0.0.1", port=server.server_port))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield platform
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
