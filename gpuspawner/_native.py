"""NativeAuthenticator on JupyterHub 6."""

from collections.abc import Sequence
from typing import Any

from jupyterhub.handlers import BaseHandler

__all__ = ["mend_handlers"]


class _NoStatsd:
    """As much of a statsd client as the login handler uses; it measures nothing."""

    def timer(self, name: str) -> "_NoStatsd":
        return self

    def start(self) -> "_NoStatsd":
        return self

    def stop(self, send: bool = True) -> None:
        pass


def mend_handlers(handlers: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """An authenticator's handlers, able to run on this JupyterHub.

    NativeAuthenticator's login handler (up to 1.3, the newest) times each login with ``self.statsd``, which JupyterHub
    6 has removed (jupyterhub/jupyterhub#5407): every login would end as "500 Internal Server Error".
    """
    if hasattr(BaseHandler, "statsd"):
        return list(handlers)
    return [(path, _with_statsd(handler), *rest) for path, handler, *rest in handlers]


def _with_statsd(handler: Any) -> Any:
    if (handler.__module__, handler.__name__) != ("nativeauthenticator.handlers", "LoginHandler"):
        return handler
    return type(handler.__name__, (handler,), {"statsd": _NoStatsd(), "__module__": handler.__module__})
