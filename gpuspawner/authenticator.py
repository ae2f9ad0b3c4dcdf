"""Login -> workspaces: any JupyterHub authenticator, which then also keeps the groups of the workspaces up to date."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from types import new_class
from typing import Any

from jupyterhub import orm
from jupyterhub.auth import Authenticator, PAMAuthenticator
from jupyterhub.user import User
from jupyterhub.utils import maybe_future
from tornado.httpclient import HTTPClientError

from gpuspawner._native import mend_handlers
from gpuspawner.config import Settings, load_settings, section_of
from gpuspawner.errors import ConfigurationError
from gpuspawner.logins.unix_groups import unix_groups
from gpuspawner.membership.current import Memberships
from gpuspawner.membership.groups import give_roles, has_role
from gpuspawner.membership.handlers import group_handlers
from gpuspawner.membership.log import MembershipLog
from gpuspawner.membership.login_facts import authenticator_named, notices_of
from gpuspawner.membership.roles import Role, role_specs
from gpuspawner.membership.rules import Login

__all__ = ["WorkspaceAuthenticator", "claims_of", "current_workspaces", "managed_workspaces", "with_workspaces"]

# Where authenticators keep what the identity provider said, inside auth_state. LTI 1.3's auth_state is the claims.
PROFILES = ("oauth_user", "cilogon_user", "user_attributes")
SECRET_WORDS = ("token", "password", "secret")


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
    managers and auditors, and the administrators, are in groups of their own (see :mod:`gpuspawner.membership.roles`),
    whose roles JupyterHub's REST API obeys. This class writes those groups itself and leaves ``manage_groups`` as it
    is, because ``manage_groups`` would replace *all* groups of a user at each login and forbid
    ``JupyterHub.load_groups``. So every other group is left alone, whoever made it. A group that is named as a
    workspace is the workspace's, whoever made it: its rules decide who is in it. An authenticator with
    ``manage_groups`` or ``manage_roles`` of its own keeps it: ours are added to the groups and roles it returns.

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
    workspace_memberships: Memberships

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        spawner_class = getattr(self.parent, "spawner_class", None)
        self.workspace_settings = settings = load_settings(
            section_of(self.config), spawner_class.class_trait_names() if spawner_class else None
        )
        self.workspace_memberships = Memberships(settings, lambda: self.workspace_clock(), self._normalized)
        for notice in notices_of(settings, type(self), self.config, self.workspace_memberships.rosters.current):
            self.log.warning("gpuspawner: %s", notice)
        self._managed_roles: list[dict[str, Any]] = []
        self._asked_for_handlers = False

    @property
    def workspace_log(self) -> MembershipLog:
        """Every change of membership; subscribe to it."""
        return self.workspace_memberships.log

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
        if not self._asked_for_handlers and getattr(app, "db", None) is not None:
            self._asked_for_handlers = True
            asyncio.get_running_loop().call_soon(_begin_launcher, app)
            self.workspace_memberships.begin(app.db)
            give_roles(app.db, self._managed_roles)
            ours = role_specs(self.workspace_settings.groups_with_roles())
            if any(orm.Role.find(app.db, role["name"]) is None for role in ours):
                self.log.warning(
                    "gpuspawner: managers, auditors and administrators lack their roles; configure(c) makes them and "
                    "goes last into the configuration file"
                )
        return [*mend_handlers(super().get_handlers(app)), *group_handlers()]

    async def workspace_close(self) -> None:
        """Stop looking at the rosters."""
        await self.workspace_memberships.close()

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
        wanted = self.workspace_memberships.logged_in(name, claims, orm.User.find(handler.db, name))
        if self.manage_groups and model.get("groups") is not None:
            return {**model, "groups": self.workspace_memberships.with_others(model["groups"], wanted)}
        return model

    async def add_user(self, user: Any) -> None:
        """Add a user as the base does; JupyterHub calls this in the middle of a first login, too."""
        await maybe_future(super().add_user(user))
        self.workspace_memberships.added(getattr(user, "orm_user", user))

    def delete_user(self, user: Any) -> Any:
        """Forget what is remembered of a user: somebody else may come to have the name."""
        self.workspace_memberships.forget(user.name)
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
        wanted = self.workspace_memberships.refreshed(user.orm_user, claims, whole)
        if model and self.workspace_memberships.is_too_old(user.name):
            return False
        if self.manage_groups and found.get("groups") is not None:
            return {**found, "groups": self.workspace_memberships.with_others(found["groups"], wanted)}
        return model

    def _normalized(self, name: str) -> str:
        try:
            return str(self.normalize_username(name))
        except (KeyError, ValueError):  # PAM may ask the system, which knows no such account yet
            return name

    async def _unix_claims(self, name: str) -> dict[str, Any]:
        """PAM says nothing of a login but that it is right; its claims are the Unix groups as they are now."""
        if not isinstance(self, PAMAuthenticator):
            return {}
        groups = await asyncio.to_thread(unix_groups, name)
        return {} if groups is None else {"groups": groups}

    def _profile(self) -> str | None:
        """OAuthenticator's subclasses name the key of auth_state that holds the provider's answer."""
        return getattr(self, "user_auth_state_key", None)


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
        login = replace(authenticator.workspace_memberships.login(user.name), day=now.date())
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
