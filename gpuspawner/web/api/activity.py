"""``POST /hub/api/gpuspawner/activity``: a notebook server says what it uses of its GPU and CPU."""

from typing import ClassVar

from jupyterhub.user import User
from pydantic import AwareDatetime

from gpuspawner.activity.report import Report, read_report
from gpuspawner.web.api.base import ApiHandler, ForbiddenError, NotFoundError
from gpuspawner.web.api.operations import Answer, Operation, Operations

__all__ = ["ActivityHandler"]


class Known(Answer):
    """What the hub knows of the use of a server."""

    known_from: AwareDatetime


class ActivityHandler(ApiHandler):
    """Takes the samples of one server of whoever asks; a server's own token suffices."""

    operations: ClassVar[Operations] = {
        "POST": Operation(
            summary="Report what a notebook server uses of its GPU and CPU.",
            description="The extension of the notebook server does that.",
            scopes=("users:activity!user",),
            body=Report,
            example={"samples": [{"at": "2026-11-21T12:00:00Z", "gpu_memory": 1073741824, "cpu": 0.5}]},
            answer=Known,
            statuses={200: "Since when the use of this server is known without a gap."},
            errors=(404,),
        )
    }

    async def post(self) -> None:
        """Answers ``{"known_from": TIME}``: since when the hub knows the use of this server without a gap."""
        user = self.current_user
        if not isinstance(user, User) or not self.has_scope(f"users:activity!user={user.name}"):
            raise ForbiddenError("Only a user's own servers report their use.", "Send the server's own token.")
        report = read_report(self.get_json_body())
        watch = user.settings.get("gpuspawner_idle")
        known = watch.report(user.name, report) if watch is not None else None
        if known is None:
            raise NotFoundError("The hub knows no running server of that name.", "Report again in a minute.")
        self.answer({"known_from": known.isoformat()})
