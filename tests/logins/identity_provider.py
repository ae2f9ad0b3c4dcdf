"""An OpenID Connect provider on loopback, the authenticators that log in at it, and people who do."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from html import unescape
from typing import Any

import aiohttp
import oidc_provider_mock
from running_hub import Person
from yarl import URL

CLIENT = {"client_id": "the-hub", "client_secret": "secret-of-the-hub"}


class IdentityProvider:
    """A running provider; what it says of people can be changed at any time."""

    def __init__(self, url: str, stop: Callable[[], None]) -> None:
        self.url = url
        self.stop = stop

    async def says(self, name: str, **claims: Any) -> None:
        """From now on the provider says this of a person."""
        await self._send("PUT", f"users/{name}", json={"preferred_username": name, **claims})

    async def revokes(self, name: str) -> None:
        """The provider forgets what it has issued for a person: their access and refresh tokens."""
        await self._send("POST", f"users/{name}/revoke-tokens")

    def endpoints(self) -> dict[str, Any]:
        """The traits of any OAuthenticator whose provider this is."""
        return {
            **CLIENT,
            "authorize_url": f"{self.url}/oauth2/authorize",
            "token_url": f"{self.url}/oauth2/token",
            "userdata_url": f"{self.url}/userinfo",
            "scope": ["openid", "profile", "email"],
        }

    def generic(self, **traits: Any) -> dict[str, Mapping[str, Any]]:
        """The sections of a hub that logs in with GenericOAuthenticator."""
        return {
            "GenericOAuthenticator": {**self.endpoints(), "username_claim": "preferred_username", **traits},
            "Authenticator": {"allow_all": True},
        }

    def cilogon(self, idp: str) -> dict[str, Mapping[str, Any]]:
        """The sections of a hub that logs in with CILogonOAuthenticator people of one institution, ``idp``."""
        return {
            "CILogonOAuthenticator": {
                **self.endpoints(),
                "allowed_idps": {
                    idp: {
                        "username_derivation": {
                            "username_claim": "eppn",
                            "action": "strip_idp_domain",
                            "domain": "ucsd.edu",
                        },
                        "allow_all": True,
                    }
                },
            },
        }

    async def _send(self, method: str, path: str, **kwargs: Any) -> None:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, f"{self.url}/{path}", **kwargs) as answer,
        ):
            assert answer.status == 204, await answer.text()


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """A provider of its own, in a thread: `oidc-provider-mock`, which is Authlib's OpenID Connect server."""
    with ExitStack() as running:
        server = running.enter_context(oidc_provider_mock.run_server_in_thread())
        yield IdentityProvider(f"http://localhost:{server.server_port}", running.close)


async def log_in_at_the_provider(person: Person, name: str) -> aiohttp.ClientResponse:
    """Click on the hub's login, say who one is at the provider, come back; the page that one then sees."""
    login = await person.get("oauth_login", params={"next": "/hub/home"})
    assert login.status == 200, await words_of(login)
    assert login.url.path == "/oauth2/authorize"
    person.name = name
    return await person.session.post(login.url, data={"sub": name})


async def words_of(page: aiohttp.ClientResponse) -> str:
    """What an error page of the hub says, status first."""
    found = re.search(r'<div class="error">(.*?)</div>', await page.text(), re.DOTALL)
    words = " ".join(unescape(re.sub(r"<[^>]+>", " ", found[1])).split()) if found else await page.text()
    return f"{page.status} {words}"


def form_of(page: str, at: URL) -> tuple[URL, dict[str, str]]:
    """Where a page's only form goes, and its hidden fields: what a script on the page would submit."""
    action = re.search(r'<form[^>]*\baction="([^"]*)"', page)
    assert action, page
    fields = dict(re.findall(r'<input[^>]*\bname="([^"]*)"[^>]*\bvalue="([^"]*)"', page))
    return at.join(URL(unescape(action[1]))), {name: unescape(value) for name, value in fields.items()}
