"""What every handler of the REST API shares: who asks, what they may, what they sent, and errors as JSON."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from jupyterhub import orm
from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.user import User
from pydantic import BaseModel, ValidationError
from tornado.web import HTTPError

from gpuspawner.errors import LaunchError
from gpuspawner.limits.trace import Check
from gpuspawner.membership.roles import Action, may
from gpuspawner.schema import problems_of
from gpuspawner.web.api.operations import Operations

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["ApiError", "ApiHandler", "BadBodyError", "ForbiddenError", "NotFoundError", "UnavailableError"]

M = TypeVar("M", bound=BaseModel)
_CODES = {400: "bad_request", 401: "not_logged_in", 403: "forbidden", 404: "not_found", 405: "method_not_allowed"}


class ApiError(Exception):
    """A request that is not answered as asked; ``reason`` and ``remedy`` are sentences for whoever reads it.

    A handler may as well raise a :class:`~gpuspawner.errors.LaunchError`.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, reason: str, remedy: str = "") -> None:
        self.reason = reason
        self.remedy = remedy
        self.checks: tuple[Check, ...] = ()
        super().__init__(f"{reason} {remedy}".rstrip())


class BadBodyError(ApiError):
    """The body or a query parameter of the request is not what this endpoint takes."""

    code = "bad_request"
    status = 400


class ForbiddenError(ApiError):
    """Whoever asks may not do this; what does not exist is refused the same way, so that nothing can be found out."""

    code = "forbidden"
    status = 403


class NotFoundError(ApiError):
    """What the request names does not exist."""

    code = "not_found"
    status = 404


class UnavailableError(ApiError):
    """The hub cannot answer now; to ask again later is worth it."""

    code = "unavailable"
    status = 503


class ApiHandler(APIHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """A handler below ``/hub/api/gpuspawner/``, for logged-in users and tokens; XSRF is checked as JupyterHub does.

    Handlers stay thin: they find out who asks, call a pure function, and :meth:`answer`.
    """

    operations: ClassVar[Operations] = {}
    """What each method takes and answers; a test refuses a method that is not declared."""

    async def prepare(self) -> None:
        """Turn away whoever is nobody."""
        await super().prepare()
        if self.current_user is None:
            raise ForbiddenError(
                "This request is by nobody the hub knows.", "Log in, or send a token: Authorization: token TOKEN."
            )

    @property
    def asker(self) -> str:
        """Who asks, for logs and the audit: a user's name, or ``service:NAME``."""
        who = self.current_user
        return f"service:{who.name}" if isinstance(who, orm.Service) else str(who.name)

    def is_self(self, user: str) -> bool:
        """Whether this user asks for themselves."""
        return isinstance(self.current_user, User) and self.current_user.name == user

    def may(self, action: Action, workspace: str | None = None) -> bool:
        """Whether whoever asks may do something in a workspace, or, without one, in all of them.

        JupyterHub's administrators may do all.
        """
        return may(self.expanded_scopes, action, workspace)

    def require(self, action: Action, workspace: str | None = None) -> None:
        """Go on only if whoever asks may do this. Raises ``ForbiddenError``."""
        if not self.may(action, workspace):
            where = f"{action}!group={workspace}" if workspace else action
            raise ForbiddenError(f"{self.asker} may not do this.", f"It takes the scope {where}.")

    @property
    def launcher(self) -> "Launcher":
        """The hub's one launcher. Raises ``UnavailableError`` where the hub's spawner is another."""
        found = self.settings.get("gpuspawner_launcher")
        if found is None:
            asker = self.current_user
            user = asker if isinstance(asker, User) else self._any_user()
            found = getattr(user.spawner, "launcher", None) if user is not None else None
        if found is None:
            raise UnavailableError("This hub has no GPU spawner in use yet.", "Ask again once somebody has logged in.")
        launcher: Launcher = found
        return launcher

    async def ready_launcher(self) -> "Launcher":
        """The launcher, once it knows the balances. Raises ``UnavailableError``."""
        launcher = self.launcher
        if not await launcher.books.ready():
            raise UnavailableError("The ledger has not answered yet.", "Ask again in a minute.")
        return launcher

    def _any_user(self) -> Any:
        first = self.db.query(orm.User).first()
        return None if first is None else self.users[first]

    def user_named(self, name: str) -> Any:
        """JupyterHub's user of this name. Raises ``NotFoundError``; check first who may ask for them."""
        user = self.find_user(name)
        if user is None:
            raise NotFoundError(f"The hub knows no user {name!r}.", "Check the name; users appear with a first login.")
        return user

    def body(self, model: type[M]) -> M:
        """The JSON body, checked. Raises ``BadBodyError`` with every mistake in it."""
        found = self.get_json_body()
        if found is not None and not isinstance(found, Mapping):
            raise BadBodyError("The body must be a JSON object.", "Send one, such as {}.")
        return self.checked(model, found or {})

    def query(self, model: type[M]) -> M:
        """The query parameters, checked; several of one name are a list. Raises ``BadBodyError``."""
        given = {key: self.get_arguments(key) for key in self.request.query_arguments if key != "_xsrf"}
        return self.checked(model, {key: found[0] if len(found) == 1 else found for key, found in given.items()})

    def checked(self, model: type[M], found: Mapping[str, Any]) -> M:
        """Values from outside, checked. Raises ``BadBodyError`` with every mistake in them."""
        try:
            return model.model_validate(found)
        except ValidationError as error:
            problems = "; ".join(problem.lstrip(".") for problem in problems_of("", error, model))
            raise BadBodyError(
                f"The request cannot be understood: {problems}.", "Correct it and send it again."
            ) from None

    def answer(self, found: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.set_header("Content-Type", "application/json")
        self.write(json.dumps(found))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Tornado's; a refusal is not an error of the hub."""
        if isinstance(value, ApiError | LaunchError):
            self.log.info("%s %s: %s", self.request.method, self.request.path, value)
            return
        super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Tornado's; answers with ``code``, ``reason``, ``remedy``, and JupyterHub's ``status`` and ``message``."""
        error = (kwargs.get("exc_info") or (None, None, None))[1]
        super().write_error(status_code, **kwargs)  # rolls back the database, and sets headers
        self._write_buffer.clear()
        if isinstance(error, ApiError | LaunchError):
            self.set_status(error.status)
            told = {"code": error.code, "reason": error.reason, "remedy": error.remedy}
            checks = {"checks": [check.as_json() for check in error.checks]} if error.checks else {}
            if isinstance(error, LaunchError) and error.remedies:
                checks["remedies"] = [remedy.as_json() for remedy in error.remedies]
        else:
            told, checks = _told_of(status_code, error), {}
        message = f"{told['reason']} {told['remedy']}".rstrip()
        self.answer({**told, "status": self.get_status(), "message": message, **checks}, self.get_status())


def _told_of(status: int, error: BaseException | None) -> dict[str, str]:
    """What to say of an error that is none of ours; of one that nobody expected, nothing."""
    if isinstance(error, HTTPError):
        said = error.log_message or error.reason or ""
        if error.log_message and error.args:
            said = error.log_message % error.args
        return {"code": _CODES.get(status, "error"), "reason": said or "This is not possible.", "remedy": ""}
    return {
        "code": "internal",
        "reason": "Something went wrong inside the hub.",
        "remedy": "Tell the administrator; the log has it.",
    }
