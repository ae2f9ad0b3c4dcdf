"""The notices of whoever asks, as a list or as an event stream that a page or a notebook can show."""

from typing import ClassVar

from jupyterhub.user import User

from gpuspawner.sessions.notices import Notice, Withdrawn
from gpuspawner.web.api import answers
from gpuspawner.web.api.base import ForbiddenError, UnavailableError
from gpuspawner.web.api.operations import EVENTS, JSON, OWN, Answer, Operation, Operations
from gpuspawner.web.api.stream import StreamHandler, event
from gpuspawner.web.sessions import sessions_of

__all__ = ["NoticesHandler"]


class Told(Answer):
    """The notices that hold now, oldest first."""

    notices: list[answers.Notice]


class NoticesHandler(StreamHandler):
    """``GET /notices``: with ``Accept: text/event-stream`` as server-sent events, else what holds now.

    A notice is an event without a name, whose ``id`` a client sends back as ``Last-Event-ID``; one that no longer holds
    is an event ``withdrawn`` with ``{"id"}``.
    """

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="What you should know of your servers and budgets.",
            description="With `Accept: text/event-stream` as server-sent events without end: a notice is an event "
            "without a name, whose `id` is sent back as `Last-Event-ID`; one that no longer holds is an event "
            '`withdrawn` with `{"id"}`.',
            scopes=OWN,
            answer=Told,
            errors=(503,),
            media=(JSON, EVENTS),
        )
    }

    async def get(self) -> None:
        """The notices of whoever asks."""
        user = self.current_user
        if not isinstance(user, User):
            raise ForbiddenError("Only users have notices.", "Ask with the token of a user, or of a server.")
        if not self.reads_own(user.name):
            raise ForbiddenError(
                "This token may not read its user's notices.", f"It takes the scope read:servers!user={user.name}."
            )
        sessions = sessions_of(user)
        if sessions is None:
            raise UnavailableError("This hub has no GPU spawner.")
        if not self.wants_stream:
            self.answer({"notices": [notice.as_json() for notice in sessions.notices.of(user.name)]})
            return
        await self.stream(sessions.notices.listen(user.name, self.request.headers.get("Last-Event-ID", "")), _event)


def _event(what: Notice | Withdrawn) -> str:
    if isinstance(what, Withdrawn):
        return event({"id": what.id}, name="withdrawn")
    return event(what.as_json(), key=what.id)
