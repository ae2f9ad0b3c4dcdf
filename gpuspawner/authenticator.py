"""Login -> workspaces: any JupyterHub authenticator, which then also keeps the groups of the workspaces up to date."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from types import new_class
from typing import Any

from jupyterhub import orm
from jupyterhub.auth import Authenticator, PAMAuthenticator
from jupyterhub.user import User
from jupyterhub.utils import maybe_future
from sqlalchemy.orm import object_session
from tornado.httpclient import HTTPClientError

from gpuspawner._native import mend_handlers
from gpuspawner.config import Settings, load_settings, section_of
from gpuspawner.errors import ConfigurationError
from gpuspawner.group_handlers import group_handlers
from gpuspawner.groups import Groups, has_role, wanted_groups
from gpuspawner.login_facts import authenticator_named, notices_of
from gpuspawner.logins.unix_groups import unix_groups
from gpuspawner.membership import Login, addresses_in
from gpuspawner.membership_log import MembershipLog
from gpuspawner.roles import Role, role_specs
from gpuspawner.rosters import Rosters

__all__ = ["WorkspaceAuthenticator", "claims_of", "current_workspaces", "managed_workspaces", "with_workspaces"]

# Where authenticators keep what the identity provider said, inside auth_state. LTI 1.3's auth_state is the claims.
PROFILES = ("oauth_user", "cilogon_user", "user_attributes")
SECRET_WORDS = ("token", "password", "secret")
_AT_ONCE = 200


def with_workspaces(base: type[Authenticator] | str) -> type[Authenticator]:
    """An authenticator class that logs in as ``base`` does and turns each login into workspaces.

    ``base`` is a class, or a name of the entry point group ``jupyterhub.authenticators`` (``"pam"``,
    ``"generic-oauth"``), or the import path of a class::

        c.JupyterHub.authenticator_class = with_workspaces("native")
        c.NativeAuthenticator.open_signup = True

    The result is named as its base, so that the base's section of the configuration goes on to apply, and it is the
    same class each time. Who may log in remains the base's decision; see :class:`WorkspaceAuthenticator` for the rest.

    Raises :exc:`ConfigurationError` where ``base`` is no authenticator.
    """
    found = authenticator_named(base) if isinstance(base, str) else base
    if isinstance(found, type) and issubclass(found, WorkspaceAuthenticator):
        return found
    if isinstance(found, type) and issubclass(found, Authenticator):
        return _subclass(found)
    raise ConfigurationError([f"with_workspaces: found {base!r}, allowed: an Authenticator class or its name"])


@cache
def _subclass(base: type[Authenticator]) -> type[Authenticator]:
    namespace = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return new_class(base.__name__, (WorkspaceAuthenticator, base), exec_body=lambda body: body.update(namespace))


class WorkspaceAuthenticator(Authenticator):  # type: ignore[misc]  # JupyterHub is untyped
    """What :func:`with_workspaces` adds in front of an authenticator.

    A workspace's members are in the JupyterHub group of the workspace's name, where administrators see them; its
    managers and auditors, and the administrators, are in groups of their own (see :mod:`gpuspawner.roles`), whose roles
    JupyterHub's REST API obeys. This class writes those groups itself and leaves ``manage_groups`` as it is, because
    ``manage_groups`` would replace *all* groups of a user at each login and forbid ``JupyterHub.load_groups``. So every
    other group is left alone, whoever made it. A group that is named as a workspace is the workspace's, whoever made
    it: its rules decide who is in it. An authenticator with ``manage_groups`` or ``manage_roles`` of its own keeps it:
    ours are added to the groups and roles it returns.

    Memberships are computed from the rules at the start of the hub, at every login and every refresh of a login:

    - by ``"*"``, by name and by user names on a roster: always as they are now;
    - by claim: as the login's claims say; with PAM, as its Unix groups are (the claim ``groups``). A refresh that
      brings none (most authenticators do not refresh, and ``auth_state`` is rarely stored) changes nothing: unknown is
      not "has left". Claims themselves are not stored;
    - by e-mail address: as by claim; for rosters the verified addresses are remembered until the hub ends;
    - by date: a member enters the group with the first login, also before the workspace starts, and leaves it once the
      workspace has ended. Launches ask :func:`current_workspaces`, which counts open workspaces only and needs no
      refresh to see that one has ended.

    An administrator of the hub is a member of nothing by that alone.
    """

    workspace_settings: Settings
    """The configuration of :class:`GPUSpawner`; a mistake in it stops the hub when the authenticator is made."""
    workspace_log: MembershipLog
    """Every change of membership; subscribe to it."""
    workspace_rosters: Rosters
    roster_interval = 5.0
    """Seconds between two looks at the rosters."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        spawner_class = getattr(self.parent, "spawner_class", None)
        self.workspace_settings = settings = load_settings(
            section_of(self.config), spawner_class.class_trait_names() if spawner_class else None
        )
        self.workspace_rosters = Rosters(settings.rosters(), self._normalized)
        self.workspace_rosters.read()
        for notice in notices_of(settings, type(self), self.config, self.workspace_rosters.current):
            self.log.warning("gpuspawner: %s", notice)
        self._groups = Groups(settings)
        self.workspace_log = MembershipLog(self._groups.names, lambda: self.workspace_clock())
        self._newcomers: dict[str, frozenset[str]] = {}
        self._addresses: dict[str, frozenset[str]] = {}
        self._told_at: dict[str, datetime] = {}
        self._watching: asyncio.Task[None] | None = None
        self._started = False
        self._managed_roles: list[dict[str, Any]] = []

    @classmethod
    def section_names(cls) -> list[str]:
        """The sections of the base, each once: twice would apply ``c.X.trait.append(...)`` twice."""
        names = dict.fromkeys(reversed(super().section_names()))
        return [name for name in reversed(names) if name != WorkspaceAuthenticator.__name__]

    def workspace_clock(self) -> datetime:
        """Now, in the hub's time zone; tests replace it."""
        return datetime.now(self.workspace_settings.timezone)

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """The base's own pages, and those of JupyterHub that change groups.

        JupyterHub asks once, as soon as it knows its users, groups and roles.
        """
        if not self._started and getattr(app, "db", None) is not None:
            self._started = True
            self._db = app.db
            self.workspace_log.watch(app.db)
            self._groups.reconcile(app.db, self.workspace_login, "start")
            self._groups.give_roles(app.db, self._managed_roles)
            with suppress(RuntimeError):  # no loop: nobody is being served
                asyncio.get_running_loop().call_soon(_begin_launcher, app)
                if self.workspace_rosters:
                    self._watching = asyncio.get_running_loop().create_task(self._watch_rosters())
        return [*mend_handlers(super().get_handlers(app)), *group_handlers()]

    async def workspace_close(self) -> None:
        """Stop looking at the rosters."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def load_managed_roles(self) -> list[dict[str, Any]]:
        """The base's own roles, and ours, which ``configure(c)`` cannot load where the base manages the roles.

        Who has ours is said later: JupyterHub (to 6.1) fails at managed roles of groups with a ``KeyError``, unless
        ``reset_managed_roles_on_startup`` is set.
        """
        theirs = await maybe_future(super().load_managed_roles())
        known = {role["name"] for role in theirs}
        ours = role_specs(self.workspace_settings.groups_with_roles())
        self._managed_roles = [role for role in ours if role["name"] not in known]
        return [*theirs, *({**role, "groups": []} for role in self._managed_roles)]

    async def get_authenticated_user(self, handler: Any, data: Any) -> Any:
        """Log in as the base does; who passes is put into the groups of their workspaces."""
        model = await maybe_future(super().get_authenticated_user(handler, data))
        if not model:
            return model
        name = model["name"]
        claims = claims_of(model, self._profile()) | await self._unix_claims(name)
        self._told(name, claims)
        user = orm.User.find(handler.db, name)
        held = [group.name for group in user.groups] if user else ()
        wanted = wanted_groups(self.workspace_settings, self.workspace_login(name, claims, complete=True), held)
        if user is None:
            self._newcomers[name] = wanted
        else:
            self._fill(user, wanted, "login")
        if self.manage_groups and model.get("groups") is not None:
            return {**model, "groups": self._groups.with_others(model["groups"], wanted)}
        return model

    async def add_user(self, user: Any) -> None:
        """Add a user as the base does; JupyterHub calls this in the middle of a first login, too."""
        await maybe_future(super().add_user(user))
        wanted = self._newcomers.pop(user.name, None)
        if wanted is not None:
            self._fill(getattr(user, "orm_user", user), wanted, "login")
        elif self._started:
            self._forget(user.name)
            self._groups.reconcile(self._db, self.workspace_login, "new user", [user.name])

    def delete_user(self, user: Any) -> Any:
        """Forget what is remembered of a user: somebody else may come to have the name."""
        self._forget(user.name)
        return super().delete_user(user)

    async def refresh_user(self, user: User, handler: Any = None) -> Any:
        """Refresh as the base does; memberships follow what it found out, and the calendar in any case.

        A provider that cannot be reached has found out nothing, and whoever is logged in goes on.
        """
        try:
            model = await maybe_future(super().refresh_user(user, handler))
        except (OSError, HTTPClientError) as error:
            self.log.warning("The login of %s could not be refreshed and counts as it was: %s", user.name, error)
            model = True
        found = model if isinstance(model, dict) else {}
        unix = await self._unix_claims(user.name)
        claims = claims_of(found, self._profile()) | unix
        # Only the whole of the claims can tell that somebody has left; groups alone, or renewed tokens, are a part.
        whole = bool(unix or claims_of({"auth_state": found.get("auth_state")}, self._profile()))
        if whole:
            self._told(user.name, claims)
        login = self.workspace_login(user.name, claims, complete=whole)
        wanted = wanted_groups(self.workspace_settings, login, _group_names(user))
        self._fill(user.orm_user, wanted, "refresh")
        if model and self._too_old(user.name):
            return False
        if self.manage_groups and found.get("groups") is not None:
            return {**found, "groups": self._groups.with_others(found["groups"], wanted)}
        return model

    def workspace_login(self, name: str, claims: Mapping[str, Any] | None = None, complete: bool = False) -> Login:
        """What is known of a login today; ``complete``: whether ``claims`` are all it has."""
        today = self.workspace_clock().date()
        return Login(name, today, claims or {}, complete, self._addresses.get(name), self.workspace_rosters.current)

    async def workspace_reread(self) -> None:
        """Look for changes of the rosters; whoever is new on one, or gone, joins or leaves."""
        changed = await self.workspace_rosters.check()
        emails = {line.email for line in changed if line.email}
        names = {line.user for line in changed if line.user}
        names.update(name for name, addresses in self._addresses.items() if not emails.isdisjoint(addresses))
        ordered = sorted(names)
        for start in range(0, len(ordered), _AT_ONCE):
            self._groups.reconcile(self._db, self.workspace_login, "roster", ordered[start : start + _AT_ONCE])
            await asyncio.sleep(0)

    async def _watch_rosters(self) -> None:
        while True:
            await asyncio.sleep(self.roster_interval)
            try:
                await self.workspace_reread()
            except Exception:
                self.log.exception("Error while reading the rosters; memberships stay as they are")

    def _normalized(self, name: str) -> str:
        try:
            return str(self.normalize_username(name))
        except (KeyError, ValueError):  # PAM may ask the system, which knows no such account yet
            return name

    def _told(self, name: str, claims: Mapping[str, Any]) -> None:
        self._addresses[name] = addresses_in(claims)
        self._told_at[name] = self.workspace_clock()

    def _forget(self, name: str) -> None:
        self._addresses.pop(name, None)
        self._told_at.pop(name, None)

    def _too_old(self, name: str) -> bool:
        """Whether the claims of a login are older than they may be; a hub that restarts begins to count anew."""
        longest = self.workspace_settings.longest_login
        if longest is None:
            return False
        now = self.workspace_clock()
        return now - self._told_at.setdefault(name, now) >= timedelta(seconds=longest)

    async def _unix_claims(self, name: str) -> dict[str, Any]:
        """PAM says nothing of a login but that it is right; its claims are the Unix groups as they are now."""
        if not isinstance(self, PAMAuthenticator):
            return {}
        groups = await asyncio.to_thread(unix_groups, name)
        return {} if groups is None else {"groups": groups}

    def _profile(self) -> str | None:
        """OAuthenticator's subclasses name the key of auth_state that holds the provider's answer."""
        return getattr(self, "user_auth_state_key", None)

    def _fill(self, user: orm.User, wanted: frozenset[str], cause: str) -> None:
        db: Any = object_session(user)
        self._groups.fill(user, wanted, db, cause)


def _begin_launcher(app: Any) -> None:
    """Have cluster and ledger read as soon as the hub is up: what a hub before it left is not to wait for a member."""
    anybody = app.db.query(orm.User).first()
    if anybody is not None:
        getattr(app.users[anybody].spawner, "launcher", None)


def claims_of(model: Mapping[str, Any], profile: str | None = None) -> dict[str, Any]:
    """What membership rules may ask about a login, drawn from JupyterHub's authentication model.

    The provider's answer, wherever in ``auth_state`` the authenticator keeps it (``profile`` names a further place),
    over the rest of ``auth_state`` without its secrets; and ``groups``, where the model has them, together with the
    provider's claim of that name. Empty if the model says nothing.
    """
    state = model.get("auth_state")
    state = state if isinstance(state, Mapping) else {}
    profiles = [key for key in (*PROFILES, profile) if isinstance(state.get(key), Mapping)]
    claims = {
        key: value
        for key, value in state.items()
        if key not in profiles and not any(word in key.lower() for word in SECRET_WORDS)
    }
    for key in profiles:
        claims.update(state[key])
    if model.get("groups"):
        said = claims.get("groups", [])
        claims["groups"] = [*([said] if isinstance(said, str) else said), *model["groups"]]
    return claims


def current_workspaces(user: User, at: datetime | None = None) -> frozenset[str]:
    """The names of the workspaces in which this user may launch now (or at ``at``, in the hub's time zone).

    Membership by ``"*"``, by name, by roster and by date is computed here; membership by claim is read from the user's
    groups, as the last login or refresh left them. Neither waits for I/O. Without a :class:`WorkspaceAuthenticator`
    whatever fills those groups decides.
    """
    return _workspaces(user, Role.MEMBER, at)


def managed_workspaces(user: User, at: datetime | None = None) -> frozenset[str]:
    """Those of :func:`current_workspaces` which this user manages."""
    return _workspaces(user, Role.MANAGER, at)


def _workspaces(user: User, role: Role, at: datetime | None) -> frozenset[str]:
    authenticator = user.authenticator
    if isinstance(authenticator, WorkspaceAuthenticator):
        settings, now = authenticator.workspace_settings, at or authenticator.workspace_clock()
        login = replace(authenticator.workspace_login(user.name), day=now.date())
    else:
        settings = _settings_of(user)
        now = at or datetime.now(settings.timezone)
        login = Login(user.name, now.date())
    groups = _group_names(user)
    return frozenset(
        space.name
        for space in settings.workspaces.values()
        if space.is_open(login.day) and has_role(space, role, login, groups)
    )


def _settings_of(user: User) -> Settings:
    settings: Settings | None = user.settings.get("gpuspawner_settings")
    if settings is None:
        settings = user.settings["gpuspawner_settings"] = load_settings(section_of(user.settings["config"]))
    return settings


def _group_names(user: User) -> frozenset[str]:
    return frozenset(group.name for group in user.orm_user.groups)
