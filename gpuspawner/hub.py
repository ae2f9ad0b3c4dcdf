"""``configure(c)``, the last line of a ``jupyterhub_config.py``: checks the configuration and registers the pages."""

from typing import Any

from jupyterhub.auth import Authenticator
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from gpuspawner.config import Settings, load_settings, section_of
from gpuspawner.membership.login_facts import authenticator_named, configured
from gpuspawner.membership.roles import CUSTOM_SCOPES, role_specs
from gpuspawner.spawner import GPUSpawner
from gpuspawner.web import handlers, template_dir, template_vars
from gpuspawner.web.endings import announcements

__all__ = ["configure"]

_CSP = "gpuspawner_csp"
_SHARED = ("gpu_classes", "profiles", "workspaces", "pod_template")


class _Shared(dict[str, Any]):
    """A part of the configuration that all spawners share; nobody changes it.

    traitlets copies each value deeply into each spawner: 2.5 ms and 124 kB a spawner with 30 profiles and 50
    workspaces of 200 members.
    """

    def __deepcopy__(self, memo: object) -> "_Shared":
        return self


def configure(c: Config) -> None:
    """Make a hub a gpuspawner hub; call it last in ``jupyterhub_config.py``::

        from gpuspawner import configure, with_workspaces

        c.JupyterHub.authenticator_class = with_workspaces("pam")
        c.GPUSpawner.profiles = {...}
        configure(c)

    The spawner becomes gpuspawner unless the file names another one, and the hub's pages show why a launch was
    refused and what to do next. On top of every page a member reads how a server of theirs has ended. Managers,
    auditors and administrators get roles of JupyterHub with gpuspawner's own scopes.

    Raises
    ------
    ConfigurationError
        Which stops the hub: every mistake of the ``GPUSpawner`` section, one line each.
    """
    settings = load_settings(section_of(c), inherited=GPUSpawner.class_trait_names())
    _add_roles(c, settings)
    for name in _SHARED:
        if type(c.GPUSpawner.get(name)) is dict:
            c.GPUSpawner[name] = _Shared(c.GPUSpawner[name])
    if "spawner_class" not in c.JupyterHub:
        c.JupyterHub.spawner_class = "gpuspawner"
    c.JupyterHub.template_paths.insert(0, str(template_dir))
    theirs = c.JupyterHub.template_vars
    theirs = theirs.to_dict().get("update", {}) if isinstance(theirs, LazyConfigValue) else theirs
    policy = {_CSP: theirs[_CSP], "gpuspawner_form_action": ""} if _CSP in theirs else {}
    c.JupyterHub.template_vars.update({**template_vars(), **announcements(theirs), **policy})
    c.JupyterHub.extra_handlers.extend(handlers())


def _add_roles(c: Config, settings: Settings) -> None:
    """Where the authenticator manages the roles, JupyterHub takes none from here; ours returns them itself."""
    c.JupyterHub.custom_scopes.update({name: dict(scope) for name, scope in CUSTOM_SCOPES.items()})
    kind = c.JupyterHub.get("authenticator_class", "default")
    kind = authenticator_named(kind) if isinstance(kind, str) else kind
    if isinstance(kind, type) and issubclass(kind, Authenticator) and configured(kind, c, "manage_roles"):
        return
    theirs = c.JupyterHub.load_roles
    if isinstance(theirs, LazyConfigValue):
        said = theirs.to_dict()
        theirs = [*said.get("extend", []), *said.get("prepend", [])]
    known = {role["name"] for role in theirs}
    roles = role_specs(settings.groups_with_roles())
    c.JupyterHub.load_roles.extend(role for role in roles if role["name"] not in known)
