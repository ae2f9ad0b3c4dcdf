"""Login -> workspaces: any JupyterHub authenticator, which then also keeps the groups of the workspaces up to date."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cache
from importlib.metadata import entry_points
from types import new_class
from typing import Any

from jupyterhub import orm
from jupyterhub.auth import Authenticator
from jupyterhub.user import User
from jupyterhub.utils import maybe_future
from sqlalchemy.orm import object_session
from traitlets.utils.importstring import import_item

from gpuspawner._native import mend_handlers
from gpuspawner.config import Settings, load_settings, section_of
from gpuspawner.errors import ConfigurationError
from gpuspawner.schema import nearest
from gpuspawner.workspace import ClaimRule, Workspace

__all__ = ["WorkspaceAuthenticator", "claims_of", "current_workspaces", "managed_workspaces", "with_workspaces"]

ENTRY_POINTS = "jupyterhub.authenticators"

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
    found = _named(base) if isinstance(base, str) else base
    if isinstance(found, type) and issubclass(found, WorkspaceAuthenticator):
        return found
    if isinstance(found, type) and issubclass(found, Authenticator):
        return _subclass(found)
    raise ConfigurationError([f"with_workspaces: found {base!r}, allowed: an Authenticator class or its name"])


def _named(name: str) -> object:
    installed = {entry.name.lower(): entry for entry in entry_points(group=ENTRY_POINTS)}
    if name.lower() in installed:
        return installed[name.lower()].load()
    if "." in name:
        try:
            return import_item(name)
        except ImportError as error:
            raise ConfigurationError([f"with_workspaces: cannot import {name!r}: {error}"]) from error
    known = ", ".join(sorted(installed))
    hint = nearest(name, installed)
    raise ConfigurationError(
        [f"with_workspaces: no authenticator is called {name!r}{hint}" + ("" if known in hint else f" Known: {known}")]
    )


@cache
def _subclass(base: type[Authenticator]) -> type[Authenticator]:
    namespace = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    return new_class(base.__name__, (WorkspaceAuthenticator, base), exec_body=lambda body: body.update(namespace))


class WorkspaceAuthenticator(Authenticator):  # type: ignore[misc]  # JupyterHub is untyped
    """What :func:`with_workspaces` adds in front of an authenticator.

    A workspace's members are in the JupyterHub group of the workspace's name, where administrators see them. This class
    writes those groups itself and leaves ``manage_groups`` as it is, because ``manage_groups`` would replace *all*
    groups of a user at each login and forbid ``JupyterHub.load_groups``. So every other group is left alone, whoever
    made it. A group that is named as a workspace is the workspace's, whoever made it: its rules decide who is in it. An
    authenticator with ``manage_groups`` of its own keeps it: the workspaces are added to the groups it returns.

    Memberships are computed from the rules at every login and every refresh of a login:

    - by ``"*"`` and by name: always as they are now;
    - by claim: as the login's claims say. A refresh that brings none (most authenticators do not refresh, and
      ``auth_state`` is rarely stored) changes nothing: unknown is not "has left". Claims themselves are not stored;
    - by date: a member enters the group with the first login, also before the workspace starts, and leaves it once the
      workspace has ended. Launches ask :func:`current_workspaces`, which counts open workspaces only and needs no
      refresh to see that one has ended.

    An administrator of the hub is a member of nothing by that alone.
    """

    workspace_settings: Settings
    """The configuration of :class:`GPUSpawner`; a mistake in it stops the hub when the authenticator is made."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        spawner_class = getattr(self.parent, "spawner_class", None)
        self.workspace_settings = load_settings(
            section_of(self.config), spawner_class.class_trait_names() if spawner_class else None
        )
        self._newcomers: dict[str, frozenset[str]] = {}

    @classmethod
    def section_names(cls) -> list[str]:
        """The sections of the base, each once: twice would apply ``c.X.trait.append(...)`` twice."""
        names = dict.fromkeys(reversed(super().section_names()))
        return [name for name in reversed(names) if name != WorkspaceAuthenticator.__name__]

    def workspace_clock(self) -> datetime:
        """Now, in the hub's time zone; tests replace it."""
        return datetime.now(self.workspace_settings.timezone)

    def get_handlers(self, app: Any) -> list[tuple[Any, ...]]:
        """The base's own pages."""
        return mend_handlers(super().get_handlers(app))

    async def get_authenticated_user(self, handler: Any, data: Any) -> Any:
        """Log in as the base does; who passes is put into the groups of their workspaces."""
        model = await maybe_future(super().get_authenticated_user(handler, data))
        if not model:
            return model
        name = model["name"]
        belongs = self._belongs(name, claims_of(model, self._profile()))
        if self.manage_groups and model.get("groups") is not None:
            return {**model, "groups": self._with_groups(model["groups"], belongs)}
        user = orm.User.find(handler.db, name)
        if user is None:
            self._newcomers[name] = belongs
        else:
            self._fill(user, belongs)
        return model

    async def add_user(self, user: Any) -> None:
        """Add a user as the base does; JupyterHub calls this in the middle of a first login."""
        belongs = self._newcomers.pop(user.name, None)
        await maybe_future(super().add_user(user))
        if belongs is not None:
            self._fill(getattr(user, "orm_user", user), belongs)

    async def refresh_user(self, user: User, handler: Any = None) -> Any:
        """Refresh as the base does; memberships follow what it found out, and the calendar in any case."""
        model = await maybe_future(super().refresh_user(user, handler))
        found = model if isinstance(model, dict) else {}
        claims = claims_of(found, self._profile())
        # Only the whole of the claims can tell that somebody has left; groups alone, or renewed tokens, are a part.
        whole = bool(claims_of({"auth_state": found.get("auth_state")}, self._profile()))
        belongs = self._belongs(user.name, claims, () if whole else _group_names(user))
        if self.manage_groups and found.get("groups") is not None:
            return {**found, "groups": self._with_groups(found["groups"], belongs)}
        self._fill(user.orm_user, belongs)
        return model

    def _profile(self) -> str | None:
        """OAuthenticator's subclasses name the key of auth_state that holds the provider's answer."""
        return getattr(self, "user_auth_state_key", None)

    def _belongs(self, name: str, claims: Mapping[str, Any], groups: Collection[str] = ()) -> frozenset[str]:
        """The workspaces whose group this login belongs in; ``groups``: those it keeps unless claims can tell."""
        today = self.workspace_clock().date()
        return frozenset(
            space.name
            for space in self.workspace_settings.workspaces.values()
            if (space.ends is None or today <= space.ends) and _is_member(space, name, claims, groups)
        )

    def _with_groups(self, groups: Collection[str], belongs: frozenset[str]) -> list[str]:
        return sorted((set(groups) - self.workspace_settings.workspaces.keys()) | belongs)

    def _fill(self, user: orm.User, belongs: frozenset[str]) -> None:
        """Make the user's groups among the workspaces equal to ``belongs``, in the hub's own database session."""
        db: Any = object_session(user)
        held = {group.name: group for group in user.groups}
        left = (held.keys() & self.workspace_settings.workspaces.keys()) - belongs
        joined = belongs - held.keys()
        if not left and not joined:
            return
        for name in left:
            user.groups.remove(held[name])
        existing = {group.name: group for group in db.query(orm.Group).filter(orm.Group.name.in_(joined))}
        user.groups.extend(existing.get(name) or orm.Group(name=name) for name in sorted(joined))
        db.commit()
        self.log.info(
            "Workspaces of %s: joined %s, left %s", user.name, sorted(joined) or "none", sorted(left) or "none"
        )


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

    Membership by ``"*"``, by name and by date is computed here; membership by claim is read from the user's groups, as
    the last login or refresh left them. Neither waits for I/O. Without a :class:`WorkspaceAuthenticator` whatever fills
    those groups decides.
    """
    settings, now = _settings_and_time(user, at)
    groups = _group_names(user)
    return frozenset(
        name
        for name, space in settings.workspaces.items()
        if space.is_open(now.date()) and _is_member(space, user.name, {}, groups)
    )


def managed_workspaces(user: User, at: datetime | None = None) -> frozenset[str]:
    """Those of :func:`current_workspaces` which this user manages."""
    settings, _ = _settings_and_time(user, at)
    return frozenset(name for name in current_workspaces(user, at) if settings.workspaces[name].is_manager(user.name))


def _settings_and_time(user: User, at: datetime | None) -> tuple[Settings, datetime]:
    authenticator = user.authenticator
    if isinstance(authenticator, WorkspaceAuthenticator):
        return authenticator.workspace_settings, at or authenticator.workspace_clock()
    settings = user.settings.get("gpuspawner_settings")
    if settings is None:
        settings = user.settings["gpuspawner_settings"] = load_settings(section_of(user.settings["config"]))
    return settings, at or datetime.now(settings.timezone)


def _is_member(space: Workspace, name: str, claims: Mapping[str, Any], groups: Collection[str]) -> bool:
    if space.is_member(name, claims):
        return True
    return space.name in groups and any(isinstance(rule, ClaimRule) for rule in space.members)


def _group_names(user: User) -> frozenset[str]:
    return frozenset(group.name for group in user.orm_user.groups)
