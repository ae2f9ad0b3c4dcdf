"""``/hub/api/gpuspawner/grants``: more for a member or a workspace, until a date, with a reason."""

from typing import ClassVar, Literal

from pydantic import Field

from gpuspawner.budgets.granting import GrantRequest, grant_as_json
from gpuspawner.ledger.records import GrantFilter
from gpuspawner.membership.roles import Action
from gpuspawner.web.api import answers
from gpuspawner.web.api.base import ApiHandler
from gpuspawner.web.api.operations import OWN, Operation, Operations, Paged, Pages
from gpuspawner.web.granting import give, take_back

__all__ = ["GrantHandler", "GrantsHandler"]


class Which(Paged):
    """Which grants."""

    workspace: str | None = Field(default=None, description="Those in this workspace.")
    user: str | None = Field(default=None, description="Those to this member.")
    over: Literal["0", "1"] = Field(default="1", description="0: without those that are over.")


class Grants(Pages[answers.Grant]):
    """Grants, the newest first."""


class GrantsHandler(ApiHandler):
    """All grants that one may see, and new ones."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="The grants that you may see: your own, and those of workspaces that you may read.",
            scopes=(*OWN, Action.READ),
            query=Which,
            example={"workspace": "cse151a", "over": "0"},
            answer=Grants,
            errors=(503,),
        ),
        "POST": Operation(
            summary="Give a member of a workspace, or its pool, more service units.",
            scopes=(Action.ADMINISTER,),
            body=GrantRequest,
            example={
                "workspace": "cse151a",
                "user": "ada",
                "units": 5,
                "until": "2099-12-18",
                "reason": "Project week",
            },
            answer=answers.Grant,
            statuses={201: "The grant.", 200: "A grant with this `id` was there already; this is it."},
            errors=(404, 503),
        ),
    }

    async def get(self) -> None:
        """Those of ``?workspace=`` and ``?user=``; with ``?over=0`` without those that are over."""
        launcher = await self.ready_launcher()
        asked = self.query(Which)
        mine = self.current_user.name if self.is_self(getattr(self.current_user, "name", "")) else None
        readable = frozenset(name for name in launcher.settings.workspaces if self.may(Action.READ, name))
        if mine is None and not readable:
            self.require(Action.READ, asked.workspace)
        where = GrantFilter(
            workspace=asked.workspace,
            user=asked.user,
            at=launcher.now() if asked.over == "0" else None,
            seen_in=None if self.may(Action.READ) else readable,
            seen_by=mine,
        )
        page = await launcher.store.granted(where, after=asked.after, limit=asked.limit)
        self.answer({"items": [grant_as_json(grant) for grant in page.rows], "next": page.next})

    async def post(self) -> None:
        """See :class:`~gpuspawner.budgets.granting.GrantRequest`. One with the id of another grants nothing."""
        grant, fresh = await give(self, self.body(GrantRequest))
        self.answer(grant_as_json(grant), 201 if fresh else 200)


class GrantHandler(ApiHandler):
    """One grant."""

    operations: ClassVar[Operations] = {
        "DELETE": Operation(
            summary="Revoke a grant: what has been spent of it stays paid, the rest is gone.",
            scopes=(Action.ADMINISTER,),
            answer=answers.Grant,
            statuses={200: "The grant; repeating it changes nothing."},
            errors=(404, 503),
        )
    }

    async def delete(self, grant_id: str) -> None:
        """Revoke it: what has been spent of it stays paid, the rest is gone. Repeating it changes nothing."""
        self.answer(grant_as_json(await take_back(self, grant_id)))
