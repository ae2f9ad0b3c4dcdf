"""Canaille on loopback: an OpenID Connect provider as institutions run it, with accounts, passwords and groups."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import aiohttp
from canaille import create_app
from canaille.app import models
from canaille.backends import Backend
from flask import Flask
from identity_provider import form_of, words_of
from joserfc.jwk import RSAKey
from running_hub import Person
from werkzeug.serving import make_server

CLIENT = {"client_id": "the-hub", "client_secret": "secret-of-the-hub"}


class Directory:
    """A running Canaille; its people and groups can be changed at any time."""

    def __init__(self, url: str, app: Flask) -> None:
        self.url = url
        self._app = app

    def knows(self, hub: str) -> dict[str, Mapping[str, Any]]:
        """Register a hub at this address; the sections of its configuration."""
        with self._app.app_context():
            self._save(
                models.Client(
                    client_name="Notebooks",
                    client_uri=hub,
                    redirect_uris=[f"{hub}/hub/oauth_callback"],
                    grant_types=["authorization_code", "refresh_token"],
                    response_types=["code"],
                    scope=["openid", "profile", "email", "groups"],
                    token_endpoint_auth_method="client_secret_post",
                    **CLIENT,
                )
            )
        return {
            "GenericOAuthenticator": {
                **CLIENT,
                "authorize_url": f"{self.url}/oauth/authorize",
                "token_url": f"{self.url}/oauth/token",
                "userdata_url": f"{self.url}/oauth/userinfo",
                "username_claim": "sub",
                "scope": ["openid", "profile", "email", "groups"],
            },
            "Authenticator": {"allow_all": True},
        }

    def has(self, name: str, password: str) -> None:
        """Somebody has an account."""
        with self._app.app_context():
            self._save(
                models.User(
                    user_name=name,
                    formatted_name=name.title(),
                    family_name=name.title(),
                    emails=[f"{name}@ucsd.edu"],
                    password=password,
                )
            )

    def group(self, group: str, *members: str) -> None:
        """From now on these are the members of a group."""
        with self._app.app_context():
            backend = Backend.instance
            found = backend.get(models.Group, display_name=group) or models.Group(display_name=group)
            found.members = [backend.get(models.User, user_name=name) for name in members]
            self._save(found)

    async def log_in(self, person: Person, name: str, password: str) -> aiohttp.ClientResponse:
        """Click on the hub's login, log in at the directory, come back; the page that one then sees."""
        page = await person.get("oauth_login", params={"next": "/hub/home"})
        for answer in ({"login": name}, {"password": password}):
            assert page.status == 200, await words_of(page)
            action, fields = form_of(await page.text(), page.url)
            page = await person.session.post(action, data={**fields, **answer})
        return page

    @staticmethod
    def _save(what: Any) -> None:
        Backend.instance.save(what)


@contextmanager
def directory() -> Iterator[Directory]:
    """A Canaille of its own, in a thread, which keeps everything in memory."""
    server = make_server("localhost", 0, lambda *_: [], threaded=True)
    host = f"localhost:{server.server_port}"
    app = create_app(
        {
            "SECRET_KEY": "secret-of-the-directory",
            "SERVER_NAME": host,
            "PREFERRED_URL_SCHEME": "http",
            "CANAILLE": {"DATABASE": "memory", "LOGGING": {"version": 1, "disable_existing_loggers": False}},
            "CANAILLE_OIDC": {
                "ACTIVE_JWKS": [RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True)],
                "REQUIRE_NONCE": False,  # GenericOAuthenticator sends none
            },
        }
    )
    server.app = app
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield Directory(f"http://{host}", app)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
