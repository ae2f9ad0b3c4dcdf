"""What every page of ours shares: who sees it, how it is rendered, what follows a form, and errors as pages."""

from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from jupyterhub.handlers.base import BaseHandler
from jupyterhub.user import User
from jupyterhub.utils import url_path_join
from pydantic import BaseModel
from tornado.web import HTTPError

from gpuspawner.errors import LaunchError
from gpuspawner.web.asking import ApiError, Asking, ForbiddenError
from gpuspawner.web.policy import policy
from gpuspawner.web.said import Said, say

__all__ = ["PageHandler"]

M = TypeVar("M", bound=BaseModel)


class PageHandler(Asking, BaseHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """A page below ``/hub/gpuspawner/`` for users who have logged in; XSRF is checked as JupyterHub does.

    Handlers stay thin: they find out who asks, call a function of a room below, and :meth:`show` it. What they
    refuse they raise, as an ``ApiError`` or a ``LaunchError``: that becomes a page with reason and remedy.
    """

    async def prepare(self) -> None:
        """Send whoever has not logged in to the login; refuse services, which see no pages."""
        await super().prepare()
        if self.current_user is None:
            if self.request.method not in ("GET", "HEAD"):
                raise ForbiddenError("You are not logged in, so nothing was done.", "Log in and send it again.")
            self.redirect(f"{self.settings['login_url']}?{urlencode({'next': self.request.uri})}")
        elif not isinstance(self.current_user, User):
            raise ForbiddenError("Only people see pages.", "Use the REST API.")

    @property
    def content_security_policy(self) -> str:
        """JupyterHub's, and ours."""
        return "; ".join(part for part in (policy(self.settings), super().content_security_policy) if part)

    def url(self, *path: str) -> str:
        """Where a page of the hub is: ``self.url("gpuspawner", "workspaces", name)``; names are quoted."""
        return str(url_path_join(self.hub.base_url, *map(quote, path)))

    def form(self, model: type[M]) -> M:
        """The fields of a posted form, checked. Raises ``BadBodyError`` with every mistake in them."""
        fields = (name for name in self.request.body_arguments if name != "_xsrf")
        return self.checked(model, {name: self.get_body_argument(name) for name in fields})

    async def show(self, template: str, /, **variables: Any) -> None:
        """Answer with a template of ours, rendered in the frame.

        None of ours waits for anything, and Jinja takes half the time where nothing may.
        """
        self.finish(self.render_template(template, sync=True, **variables))

    def back(self, path: str, sentence: str = "", *, kind: str = "success", remedy: str = "") -> None:
        """After a form: go on to a page of the hub, where what became of it is told once.

        ``kind`` is ``success``, ``info``, ``warning`` or ``danger``. A path that is not the hub's own leads home.
        """
        if sentence:
            say(self.current_user, Said(sentence, kind, remedy))
        parts = urlsplit(path)
        inside = parts.path.startswith(self.hub.base_url) and not parts.scheme and not parts.netloc
        self.redirect(path if inside and "\\" not in path else self.url("home"), status=303)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Tornado's; a refusal is not an error of the hub."""
        if isinstance(value, ApiError | LaunchError):
            self.log.info("%s %s: %s", self.request.method, self.request.path, value)
            return
        super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """JupyterHub's, with reason and remedy for what we refuse."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        if not isinstance(error, ApiError | LaunchError):
            super().write_error(status_code, **kwargs)
            return
        self.set_status(error.status)
        self.set_header("Content-Type", "text/html")
        page = self.render_template(
            "error.html",
            sync=True,
            status_code=error.status,
            status_message=HTTPStatus(error.status).phrase,
            refused=error,
            request_method=self.request.method,
            exception=HTTPError(error.status),
        )
        self.finish(page)
