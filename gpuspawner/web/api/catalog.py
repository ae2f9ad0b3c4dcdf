"""``/hub/api/gpuspawner/catalog`` and ``/entitlements``: what there is to choose, and what a member may have now."""

from datetime import date
from typing import Any, ClassVar

from jupyterhub.user import User
from pydantic import AwareDatetime, Field

from gpuspawner.authenticator import current_workspaces
from gpuspawner.limits.checks import day_of
from gpuspawner.limits.offers import offer_as_json
from gpuspawner.membership.roles import Action
from gpuspawner.reports.catalog import on_offer
from gpuspawner.schema import Schema
from gpuspawner.web.api import answers
from gpuspawner.web.api.base import ApiHandler, ForbiddenError, UnavailableError
from gpuspawner.web.api.offers import WorkspaceOffer
from gpuspawner.web.api.operations import OWN, Answer, Operation, Operations
from gpuspawner.web.entitled import offers_to

__all__ = ["CatalogHandler", "EntitlementsHandler"]

_FIRST_SYNC = 5.0


class Amount(Answer):
    """What a member may choose."""

    default: float
    min: float
    max: float


class Profile(Answer):
    """A ready-made environment."""

    name: str
    title: str
    description: str
    image: str
    images: list[str] = Field(description="Patterns of images that may be named instead.")
    gpu_classes: list[str]
    gpus: Amount
    cpu: Amount = Field(description="Cores.")
    memory: Amount = Field(description="Bytes.")
    runtime: Amount = Field(description="Seconds.")
    wait: Amount = Field(description="Seconds that it may wait for a GPU or for room.")
    extend_to: int | None = Field(description="Seconds that a running server can last at most; null: not extended.")
    apps: list[answers.App]


class GPUClass(Answer):
    """A band of GPUs."""

    name: str
    title: str
    description: str
    memory: int | None = Field(description="Bytes that a program can count on.")
    rate: float = Field(description="Service units per GPU and hour.")


class Space(Answer):
    """A workspace, and what it offers today."""

    name: str
    title: str
    starts: date | None
    ends: date | None
    profiles: list[str]
    gpu_classes: list[str]


class Hours(Answer):
    """Hours in which everything costs fewer service units."""

    hours: str
    rate: float = Field(description="What of the full price is due.")
    timezone: str


class Catalog(Answer):
    """What there is to choose."""

    workspaces: list[Space]
    profiles: list[Profile]
    gpu_classes: list[GPUClass]
    cpu_rate: float = Field(description="Service units per core and hour.")
    off_peak: Hours | None


class Entitlements(Answer):
    """What a member may have now."""

    user: str
    server: str
    at: AwareDatetime
    budgets_known: bool = Field(description="False: the ledger has not answered yet, and budgets are not looked at.")
    workspaces: list[WorkspaceOffer]


class Whose(Schema):
    """Of whom."""

    user: str = Field(default="", description="The name of a member; without it, yourself.")
    server: str = Field(default="", description="The server to be launched; what it holds itself does not count.")


class CatalogHandler(ApiHandler):
    """What the workspaces of whoever asks offer, and those that they may read."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="The profiles and GPU classes of your workspaces, and of those that you may read.",
            description="As the configuration has it today; what of it you may have now, `/entitlements` tells.",
            scopes=(*OWN, Action.READ),
            answer=Catalog,
            errors=(500, 503),
        )
    }

    async def get(self) -> None:
        """The catalog, with the profiles of one's own where each user has theirs."""
        user, launcher = self.current_user, self.launcher
        now = launcher.now()
        spaces = {name for name in launcher.settings.workspaces if self.may(Action.READ, name)}
        settings = launcher.settings
        if isinstance(user, User) and self.is_self(user.name):
            spaces |= current_workspaces(user, now)
            settings = await user.spawner.my_settings()
        elif not spaces:
            raise ForbiddenError(f"{self.asker} may not do this.", f"It takes the scope {Action.READ} of a workspace.")
        self.answer(on_offer(settings, spaces, day_of(now, settings)).as_json())


class EntitlementsHandler(ApiHandler):
    """What a member may choose now, as the launch form has it."""

    operations: ClassVar[Operations] = {
        "GET": Operation(
            summary="What a member may start now: every choice with its bounds, what bounds it, and what is free.",
            description="Of yourself in all of your open workspaces; of others in those that you may read.",
            scopes=(*OWN, Action.READ),
            query=Whose,
            example={"user": "ada"},
            answer=Entitlements,
            errors=(404, 500, 503),
        )
    }

    async def get(self) -> None:
        """Nothing is started."""
        asked, launcher = self.query(Whose), self.launcher
        name = asked.user or getattr(self.current_user, "name", "")
        now, own = launcher.now(), self.is_self(name)
        readable = {space for space in launcher.settings.workspaces if own or self.may(Action.READ, space)}
        found: Any = self.find_user(name)
        spaces = set() if found is None else current_workspaces(found, now) & readable
        if not spaces and not own:
            self.require(Action.READ)
        user = self.user_named(name)
        if not await launcher.synced(_FIRST_SYNC):
            raise UnavailableError("The hub has not read the cluster yet.", "Ask again in a few seconds.")
        settings, known = await user.spawner.my_settings(), await launcher.books.ready()
        offers = await offers_to(name, spaces, settings, launcher, now, server=asked.server)
        self.answer(
            {
                "user": name,
                "server": asked.server,
                "at": now.isoformat(timespec="seconds"),
                "budgets_known": known,
                "workspaces": [offer_as_json(offer) for offer in offers],
            }
        )
