"""Log in whom the web server in front of the hub has authenticated: by Shibboleth, SAML, Kerberos or else."""

import hmac
import re
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.handlers import LogoutHandler
from jupyterhub.user import User
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import HTTPError
from traitlets import Dict, List, Unicode, default

from gpuspawner.errors import ConfigurationError

__all__ = ["TrustedHeaderAuthenticator", "values_of"]

SHORTEST_SECRET = 32

# What Apache writes for a variable that is not set: RequestHeader set X-Mail %{mail}e
UNSET = "(null)"

_OTHER_WAY = (
    "Not logged in: this request did not come through your institution's login. "
    "Open the hub at the address your institution gives for it; its administrators find more in the hub's log."
)
_NOBODY = (
    "Not logged in: your institution's login did not say who you are. "
    "Log in there once more; if that does not help, tell the hub's administrators: they find more in the hub's log."
)


class TrustedHeaderAuthenticator(Authenticator):  # type: ignore[misc]  # JupyterHub is untyped
    """Log in as the web server in front of the hub says, in headers.

    For single sign-on that ends at the web server: Apache with ``mod_shib`` (Shibboleth) or ``mod_auth_mellon`` (SAML),
    nginx with ``auth_request``, an access proxy::

        c.JupyterHub.authenticator_class = with_workspaces("trusted-header")
        c.Authenticator.allow_all = True  # whom the web server lets in
        c.TrustedHeaderAuthenticator.proxy_secrets = [os.environ["HUB_PROXY_SECRET"]]
        c.TrustedHeaderAuthenticator.claim_headers = {"isMemberOf": "X-Is-Member-Of", "mail": "X-Mail"}

    Anybody can write a header, also a notebook server, which reaches the hub past every proxy. So headers count only
    beside the secret that the web server and the hub share, and only where the web server *sets* them: a header that
    comes twice is refused. The web server must send the secret to the hub's login and to no notebook server, whose
    owner would read it there; the page *Logins* has configurations that are right.

    The claims are those of ``claim_headers``, each a list of texts, and go into ``auth_state["user_attributes"]``. They
    are read at each login; where the web server authenticates the hub's other pages, too, also at each refresh, and
    then whoever comes as somebody else is asked to log in again.
    """

    username_header = Unicode("X-Remote-User", config=True, help="The header that says who it is.")

    claim_headers = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        config=True,
        help="""
        What else the web server says, as claims for the rules of workspaces: claim to header, such as
        ``{"isMemberOf": "X-Is-Member-Of", "eduPersonScopedAffiliation": "X-Affiliation"}``.
        """,
    )

    separator = Unicode(
        ";",
        config=True,
        help="""
        What separates the values of one claim; a backslash before it makes it part of a value, as Shibboleth writes
        them. Empty: each header is one value.
        """,
    )

    proxy_secrets = List(
        Unicode(),
        config=True,
        help="""
        What the web server sends in ``secret_header``: at least 32 characters (``openssl rand -hex 32``). Several while
        one is being replaced. Required.
        """,
    )

    secret_header = Unicode("X-Proxy-Secret", config=True, help="The header that carries the secret.")

    trusted_proxies = List(
        Unicode(),
        config=True,
        help="""
        Addresses or networks from which the hub accepts such logins besides: of whatever connects to the hub itself,
        which is JupyterHub's own proxy as a rule (``["127.0.0.1"]``). What other proxies say of addresses
        (``X-Forwarded-For``) does not count. Empty: any, the secret alone decides.
        """,
    )

    logout_redirect_url = Unicode(
        config=True,
        help="""
        Where to go after logging out of the hub: the web server's own logout, such as
        ``"/Shibboleth.sso/Logout"``. Without it the next click logs in again, and a page says so.
        """,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        problems = list(self._mistakes())
        if problems:
            raise ConfigurationError([f"c.TrustedHeaderAuthenticator.{problem}" for problem in problems])

    @default("auto_login")
    def _auto_login(self) -> bool:
        """There is no form: who is not logged in is told by the headers."""
        return True

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """JupyterHub's own login, and a logout that goes on to the web server's."""
        return [*super().get_handlers(app), ("/logout", _LogoutHandler)]

    async def authenticate(self, handler: Any, data: Any = None) -> dict[str, Any]:
        """Who the headers say this is.

        Raises :exc:`tornado.web.HTTPError` 403 with a sentence for the person; the log has the cause.
        """
        request: HTTPServerRequest = handler.request
        distrusted = self._distrusted(request)
        if distrusted:
            self.log.warning("No login by header: %s", distrusted)
            raise HTTPError(403, _OTHER_WAY)
        model = self._model(request.headers)
        if model is None:
            self.log.warning("No login by header: %s must come once and not empty", self.username_header)
            raise HTTPError(403, _NOBODY)
        return model

    async def refresh_user(self, user: User, handler: Any = None) -> Any:
        """What the headers of this request say of this user; True where they say nothing, False for somebody else."""
        if handler is None or self._distrusted(handler.request):
            return True
        model = self._model(handler.request.headers)
        if model is None:
            return True
        return model if self.normalize_username(model["name"]) == user.name else False

    def _distrusted(self, request: HTTPServerRequest) -> str:
        """Why the headers of this request do not count; empty if they do."""
        secrets = request.headers.get_list(self.secret_header)
        if not secrets:
            return f"{self.secret_header} is missing"
        if len(secrets) > 1 or not any(_same(secrets[0], known) for known in self.proxy_secrets):
            return f"{self.secret_header} is wrong"
        if self.trusted_proxies and not self._comes_from_a_trusted_proxy(request):
            return f"it came from {_peer(request) or 'nowhere'}, which is not in trusted_proxies"
        return ""

    def _comes_from_a_trusted_proxy(self, request: HTTPServerRequest) -> bool:
        try:
            address = ip_address(_peer(request))
        except ValueError:  # a Unix socket
            return False
        if isinstance(address, IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in _network(trusted) for trusted in self.trusted_proxies)

    def _model(self, headers: HTTPHeaders) -> dict[str, Any] | None:
        """JupyterHub's authentication model; None if the headers do not say who it is."""
        name = _text(headers, self.username_header)
        if not name:
            return None
        claims = {
            claim: values_of(_text(headers, header), self.separator) for claim, header in self.claim_headers.items()
        }
        return {"name": name, "auth_state": {"user_attributes": claims}}

    def _mistakes(self) -> list[str]:
        problems = []
        if not self.proxy_secrets:
            problems.append("proxy_secrets: found none, required: what the web server sends in secret_header")
        problems += [
            f"proxy_secrets[{at}]: found {len(secret)} characters, allowed: at least {SHORTEST_SECRET}"
            for at, secret in enumerate(self.proxy_secrets)
            if len(secret) < SHORTEST_SECRET
        ]
        named: Mapping[str, str] = {
            "username_header": self.username_header,
            "secret_header": self.secret_header,
            **{f"claim_headers[{claim!r}]": header for claim, header in self.claim_headers.items()},
        }
        problems += [
            f"{path}: found {header!r}, allowed: a header's name"
            for path, header in named.items()
            if not re.fullmatch(r"[A-Za-z0-9_-]+", header)
        ]
        problems += [
            f"{path}: found {header!r}, which carries the secret, allowed: any other header"
            for path, header in named.items()
            if path != "secret_header" and header.lower() == self.secret_header.lower()
        ]
        for at, trusted in enumerate(self.trusted_proxies):
            try:
                _network(trusted)
            except ValueError:
                problems.append(f"trusted_proxies[{at}]: found {trusted!r}, allowed: an address or a network (CIDR)")
        return problems


class _LogoutHandler(LogoutHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """Logs out of the hub, then of the web server."""

    async def render_logout_page(self) -> None:
        if self.authenticator.logout_redirect_url:
            self.redirect(self.authenticator.logout_redirect_url, permanent=False)
        else:
            await super().render_logout_page()


def values_of(text: str, separator: str = ";") -> list[str]:
    """The values of a claim that a web server wrote into one header, in their order.

    Shibboleth joins them with semicolons and puts a backslash before a semicolon that is part of a value:
    https://shibboleth.atlassian.net/wiki/spaces/SP3/pages/2065335257/AttributeAccess. Empty values are left out.
    """
    if not separator:
        return [text] if text else []
    parts = re.split(rf"(?<!\\){re.escape(separator)}", text)
    return [value for part in parts if (value := part.replace(f"\\{separator}", separator).strip())]


def _text(headers: HTTPHeaders, name: str) -> str:
    """A header's text; empty if it is absent, comes more than once, or was never set.

    Tornado reads the bytes as Latin-1, and web servers write what they know as UTF-8.
    """
    found = headers.get_list(name)
    if len(found) != 1 or found[0].strip() == UNSET:
        return ""
    try:
        return found[0].encode("latin-1").decode().strip()
    except UnicodeError:
        return found[0].strip()


def _same(found: str, known: str) -> bool:
    return hmac.compare_digest(found.encode(), known.encode())


def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text.strip())


def _peer(request: HTTPServerRequest) -> str:
    """The address that has connected to the hub, whatever headers say of others."""
    address = getattr(getattr(request.connection, "context", None), "address", None)
    return str(address[0]) if isinstance(address, tuple) and address else ""
