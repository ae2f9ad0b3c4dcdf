"""Who asks, what they may, and how they are refused: shared by the handlers of pages and of the REST API."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from jupyterhub import orm
from jupyterhub.user import User
from pydantic import BaseModel, ValidationError

from gpuspawner.limits.trace import Check
from gpuspawner.membership.roles import Action, may
from gpuspawner.schema import problems_of

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["ApiError", "Asking", "BadBodyError", "ForbiddenError", "NotFoundError", "UnavailableError"]

M = TypeVar("M", bound=BaseModel)
_OWN = ("read:servers", "users:activity")


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


class Asking:
    """Beside one of JupyterHub's handlers: ``class PageHandler(Asking, BaseHandler)``."""

    current_user: Any
    db: Any
    expanded_scopes: Any
    find_user: Any
    get_arguments: Callable[[str], list[str]]
    has_scope: Callable[[str], bool]
    request: Any
    settings: dict[str, Any]
    users: Any

    @property
    def asker(self) -> str:
        """Who asks, for logs and the audit: a user's name, or ``service:NAME``."""
        who = self.current_user
        return f"service:{who.name}" if isinstance(who, orm.Service) else str(who.name)

    def is_self(self, user: str) -> bool:
        """Whether this user asks for themselves, with a token that may read about its user's servers.

        The tokens of their servers may; one that only tells a service who they are may not.
        """
        return isinstance(self.current_user, User) and self.current_user.name == user and self.reads_own(user)

    def reads_own(self, user: str) -> bool:
        """Whether whoever asks may read about this user, as the user and their servers may."""
        return any(self.has_scope(f"{scope}!user={user}") for scope in _OWN)

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
        user = self.current_user if self.is_self(name) else self.find_user(name)
        if user is None:
            raise NotFoundError(f"The hub knows no user {name!r}.", "Check the name; users appear with a first login.")
        return user

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
