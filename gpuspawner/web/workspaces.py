"""What handlers of workspaces share: which ones somebody may read or steer, and what the hub knows of one now."""

from typing import TYPE_CHECKING, Any

from jupyterhub.user import User

from gpuspawner.ledger.records import SessionFilter
from gpuspawner.limits.usage import Held
from gpuspawner.membership.directory import count_members, people_of
from gpuspawner.membership.people import Person, awaited
from gpuspawner.membership.roles import Action, allowed_workspaces
from gpuspawner.reports.days import Days
from gpuspawner.reports.members import (
    MemberLine,
    MembersAsked,
    begins_of,
    member_lines,
    members_page,
    use_by_member,
)
from gpuspawner.reports.queue import queue
from gpuspawner.reports.spending import Spending, spending
from gpuspawner.reports.use import Use, UseOverDays, use_over_days
from gpuspawner.reports.workspace_servers import Idle, ServerLine, running_lines, running_of, starting_lines
from gpuspawner.reports.workspaces import WorkspaceLine, workspace_line, workspace_lines
from gpuspawner.sessions.sessions import Sessions
from gpuspawner.web.asking import Asking, ForbiddenError, NotFoundError
from gpuspawner.web.kept import Kept
from gpuspawner.workspace import Workspace

if TYPE_CHECKING:
    from gpuspawner.launcher import Launcher

__all__ = ["AskingOfWorkspaces"]

_SOME_SECONDS = 5.0


class AskingOfWorkspaces(Asking):
    """Beside one of JupyterHub's handlers, as :class:`Asking` is."""

    authenticator: Any

    def readable(self, launcher: "Launcher") -> list[str]:
        """The workspaces that whoever asks may read, in the order of the configuration. Raises ``ForbiddenError``
        where there are none."""
        allowed = allowed_workspaces(self.expanded_scopes, Action.READ, launcher.settings.workspaces)
        if not allowed:
            raise ForbiddenError(f"{self.asker} manages no workspace.", f"It takes the scope {Action.READ}.")
        return [name for name in launcher.settings.workspaces if name in allowed]

    def space(self, launcher: "Launcher", name: str, action: Action = Action.READ) -> Workspace:
        """A workspace in which whoever asks may do something. Raises ``ForbiddenError``, ``NotFoundError``."""
        self.require(action, name)
        found = launcher.settings.workspaces.get(name)
        if found is None:
            raise NotFoundError(f"There is no workspace {name!r}.", "See GET /hub/api/gpuspawner/workspaces.")
        return found

    def lines(self, launcher: "Launcher", names: list[str]) -> tuple[WorkspaceLine, ...]:
        """Some workspaces as they are now."""
        members = count_members(self.db, names)
        return workspace_lines(names, launcher.settings, launcher.usage(), launcher.accounts, members, launcher.now())

    def line(self, launcher: "Launcher", space: Workspace) -> WorkspaceLine:
        """One workspace as it is now."""
        members = count_members(self.db, [space.name]).get(space.name, 0)
        held = self.held(launcher, space)
        return workspace_line(space, launcher.settings, held, launcher.accounts, members, launcher.now())

    @staticmethod
    def held(launcher: "Launcher", space: Workspace) -> list[Held]:
        """What the servers of a workspace hold."""
        return [one for one in launcher.usage() if one.workspace == space.name]

    async def member_lines(self, launcher: "Launcher", space: Workspace) -> list[MemberLine]:
        """Everybody in a workspace, and what they used in this period; without what is left. Who they are and what they
        used may be some seconds old. Raises ``StoreUnavailableError``."""

        async def known() -> tuple[list[Person], list[str], dict[str, Use]]:
            now = launcher.now()
            since = begins_of(space, launcher.settings, now)
            used = await use_by_member(launcher.store, space.name, launcher.accounts, since, now)
            people = people_of(self.db, space.name)
            memberships = getattr(self.authenticator, "workspace_memberships", None)
            new = awaited(space, memberships.login, {one.name for one in people}) if memberships is not None else []
            return people, new, used

        return member_lines(*await self._kept.get(("members", space.name), known), self.held(launcher, space))

    async def who_uses_most(
        self, launcher: "Launcher", space: Workspace, count: int
    ) -> tuple[Use, tuple[MemberLine, ...]]:
        """What all used in this period, and those who used most; they may be some seconds old. Raises
        ``StoreUnavailableError``."""

        async def known() -> tuple[Use, tuple[MemberLine, ...]]:
            lines = await self.member_lines(launcher, space)
            asked = MembersAsked(sort="units", descending=True, limit=count)
            most = members_page(lines, space.name, launcher.accounts, asked, launcher.now())
            return sum((one.use for one in lines), Use()), most.lines

        return await self._kept.get(("most", space.name, count), known)

    async def use_by_day(self, launcher: "Launcher", space: Workspace, days: int) -> UseOverDays:
        """What a workspace used on each of so many days, today included; it may be some seconds old. Raises
        ``StoreUnavailableError``."""

        async def used() -> UseOverDays:
            now, settings = launcher.now(), launcher.settings
            shown, where = Days.up_to(now, days, settings.timezone), SessionFilter(workspace=space.name)
            return await use_over_days(launcher.store, where, shown, settings, launcher.accounts, now)

        return await self._kept.get(("use", space.name, days), used)

    async def spending(self, launcher: "Launcher", space: Workspace) -> Spending | None:
        """What a workspace has spent in each period of its budget; it may be some seconds old. Raises
        ``StoreUnavailableError``."""

        async def spent() -> Spending | None:
            return await spending(space, launcher.store, launcher.settings, launcher.accounts, launcher.now())

        return await self._kept.get(("spending", space.name), spent)

    def starting(self, launcher: "Launcher", space: Workspace) -> list[ServerLine]:
        """The launches under way in a workspace, those that wait longest first."""
        settings, now = launcher.settings, launcher.now()
        launches = queue(launcher.under_way, settings, launcher.outlook, now, workspaces=[space.name])
        return starting_lines(launches, self.held(launcher, space), settings)

    def running(self, launcher: "Launcher", space: Workspace) -> list[Held]:
        """The servers of a workspace that are not being launched, the one that ends first first."""
        return running_of(self.held(launcher, space), launcher.under_way)

    def running_lines(self, launcher: "Launcher", held: list[Held]) -> list[ServerLine]:
        """What is known of some of :meth:`running`."""
        return running_lines(held, self.sessions, launcher.accounts, self._idle(), launcher.now())

    @property
    def sessions(self) -> Sessions:
        """The running servers of the hub; ask for the launcher first."""
        found: Sessions = self._somebody().spawner.sessions
        return found

    def _somebody(self) -> Any:
        """A user of the hub, who leads to what its spawners share."""
        return self.current_user if isinstance(self.current_user, User) else self._any_user()

    @property
    def _kept(self) -> Kept:
        """One for the hub."""
        kept: Kept = self._somebody().settings.setdefault("gpuspawner_kept", Kept(_SOME_SECONDS))
        return kept

    @property
    def looks_for_idleness(self) -> bool:
        """Whether servers of this hub end for being idle."""
        return self._somebody().settings.get("gpuspawner_idle") is not None

    def _idle(self) -> Idle:
        watch = self._somebody().settings.get("gpuspawner_idle")
        if watch is None:
            return lambda user, server: None
        verdict: Idle = watch.verdict
        return verdict
