"""The API of running servers: what ends them when, extending them, and stopping them with a message."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from gpuspawner.membership.roles import Action
from gpuspawner.schema import Schema, Seconds
from gpuspawner.sessions.lease import Lease
from gpuspawner.sessions.sessions import Sessions
from gpuspawner.web.api import answers
from gpuspawner.web.api.base import ApiHandler, BadBodyError, ForbiddenError, NotFoundError
from gpuspawner.web.api.operations import OWN, Answer, Operation, Operations
from gpuspawner.web.sessions import extend_server, session_json, sessions_of
from gpuspawner.web.steering import LONGEST_MESSAGE, steered

__all__ = ["ExtendHandler", "SessionsHandler", "StopHandler"]

_OWN = "users:activity"
"""JupyterHub's scope to say that a user is active, which every server's own token has for its user: whoever may say
that a server is in use may say that it is needed for longer."""


class Extend(Schema):
    """How much more time."""

    by: Seconds | Literal["max"] | None = Field(
        default=None,
        union_mode="left_to_right",
        description="Seconds or a duration such as `1h`, `max` for as much as possible; without it an hour, or what is "
        "left of it.",
    )


class Stop(Schema):
    """Why a server is stopped."""

    message: Annotated[str, Field(max_length=LONGEST_MESSAGE, description="What its member reads.")] = ""


class Running(Answer):
    """Running servers."""

    sessions: list[answers.Session]


class _ServerHandler(ApiHandler):
    """A handler about the servers of a user."""

    def found(self, user_name: str, server: str) -> tuple[Any, Sessions | None, Lease | None]:
        """The user, and their server if it runs; None for what is not there, of which nobody may learn."""
        user = self.find_user(user_name)
        sessions = sessions_of(user) if user is not None else None
        return user, sessions, sessions.lease(user_name, server) if sessions is not None else None

    def has(self, scope: str, user_name: str, server: str | None = None) -> bool:
        """Whether whoever asks has one of JupyterHub's scopes, for a user or for one server."""
        where = f"user={user_name}" if server is None else f"server={user_name}/{server}"
        return bool(self.has_scope(f"{scope}!{where}"))

    def forbidden(self, takes: str) -> ForbiddenError:
        """For whoever may not, and for servers that do not exist."""
        return ForbiddenError(f"{self.asker} may not do this.", f"It takes {takes}.")


class SessionsHandler(_ServerHandler):
    """``GET /sessions/{user}``: the running servers of a user, and when each ends."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="The running servers of a user, and when each ends.",
            description="Of others those in the workspaces that you may read.",
            scopes=(*OWN, Action.READ),
            answer=Running,
        )
    }

    def get(self, user_name: str) -> None:
        """Those that whoever asks may see."""
        user, sessions, _ = self.found(user_name, "")
        own = self.has(_OWN, user_name) or self.has("read:servers", user_name)
        leases = sessions.leases(user_name) if sessions is not None else []
        seen = [lease for lease in leases if own or self.may(Action.READ, lease.workspace)]
        if not own and not seen:
            raise self.forbidden(f"the scope read:servers!user={user_name}, or {Action.READ} of the workspace")
        watch = user.settings.get("gpuspawner_idle") if user is not None else None
        told = [
            session_json(lease, sessions, watch and watch.verdict(*lease.key)) for lease in seen if sessions is not None
        ]
        self.answer({"sessions": told})


class ExtendHandler(_ServerHandler):
    """``POST /sessions/{user}/{server}/extend``, without ``/{server}`` for the default one.

    ``{"by": "1h"}`` asks for that much more; ``{"by": "max"}`` for as much as possible; without it for an hour, or for
    what is left of it.
    """

    operations: ClassVar[Operations] = {
        "POST": Operation(
            summary="Give a running server more time.",
            scopes=("users:activity!user", "servers!user", Action.MANAGE),
            body=Extend,
            example={"by": "1h"},
            answer=answers.Session,
            statuses={200: "The server as it is then."},
            errors=(404, 503),
        )
    }

    async def post(self, user_name: str, server_name: str | None = None) -> None:
        """The server as it is then."""
        server = server_name or ""
        user, sessions, lease = self.found(user_name, server)
        allowed = (
            self.has(_OWN, user_name)
            or self.has("servers", user_name, server)
            or (lease is not None and self.may(Action.MANAGE, lease.workspace))
        )
        if not allowed:
            raise self.forbidden(f"the scope {_OWN}!user={user_name}, or {Action.MANAGE} of the workspace")
        if sessions is None or lease is None:
            raise NotFoundError("The server does not run.", "Start it.")
        asked = self.body(Extend).by
        self.answer(session_json(await extend_server(user, server, asked, by=self.asker), sessions))


class StopHandler(_ServerHandler):
    """``POST /sessions/{user}/{server}/stop``: a manager stops a member's server, or calls its launch off.

    ``{"message": "..."}`` tells why."""

    operations: ClassVar[Operations] = {
        "POST": Operation(
            summary="Stop the server of a member, or call its launch off, and tell them why.",
            description="It is in the audit log. One's own server is stopped by JupyterHub's API.",
            scopes=(Action.MANAGE, "delete:servers"),
            body=Stop,
            example={"message": "The exam begins at noon."},
            answer=None,
            statuses={204: "It has stopped.", 202: "It will stop."},
            errors=(404,),
        )
    }

    async def post(self, user_name: str, server_name: str | None = None) -> None:
        """204 once it has stopped; 202 where that takes longer, or JupyterHub cannot do it just now and will later."""
        server = server_name or ""
        _, sessions, _ = self.found(user_name, server)
        found = steered(self.launcher, sessions, user_name, server) if sessions is not None else None
        managed = found is not None and self.may(Action.MANAGE, found.workspace)
        if not (managed or self.has("delete:servers", user_name, server)):
            raise self.forbidden(f"the scope {Action.MANAGE} of the workspace")
        if found is None or sessions is None:
            raise NotFoundError("The server does not run.")
        if self.is_self(user_name):
            raise BadBodyError("It is your own server.", "Stop it on the hub's home page, or by JupyterHub's own API.")
        stopped = await found.stop(self.launcher, sessions, self.asker, self.body(Stop).message)
        self.set_status(204 if stopped else 202)
