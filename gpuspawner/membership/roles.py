"""Who may see and steer what: roles in workspaces, and JupyterHub's groups, roles and scopes that carry them. Pure."""

from collections.abc import Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any

__all__ = [
    "ADMINISTRATORS",
    "CUSTOM_SCOPES",
    "Action",
    "Role",
    "allowed_workspaces",
    "group_of",
    "may",
    "may_somewhere",
    "role_specs",
    "standing_of",
]


class Role(StrEnum):
    """What somebody is in a workspace, or, as an administrator, in all of them.

    A manager is a member, too; an auditor only reads, and an administrator is a member of nothing by that alone.
    """

    MEMBER = "member"
    MANAGER = "manager"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


class Action(StrEnum):
    """What a request wants to do; the value is JupyterHub's scope for it."""

    READ = "custom:gpuspawner:read"
    """See who the members of a workspace are and what they use."""
    MANAGE = "custom:gpuspawner:manage"
    """Steer a workspace: stop a member's server there, with a message."""
    ADMINISTER = "custom:gpuspawner:admin"
    """Grant more to a person or a workspace."""


CUSTOM_SCOPES: Mapping[str, Mapping[str, Any]] = {
    Action.READ.value: {"description": "See the members of workspaces and what they use."},
    Action.MANAGE.value: {
        "description": "Steer workspaces: stop the servers of their members.",
        "subscopes": [Action.READ.value],
    },
    Action.ADMINISTER.value: {
        "description": "Administer all workspaces: grant more to a person or a workspace.",
        "subscopes": [Action.MANAGE.value, Action.READ.value],
    },
}
"""What goes into ``c.JupyterHub.custom_scopes``."""

ADMINISTRATORS = "gpuspawner:administrators"
"""JupyterHub's group of the administrators. No workspace can have a name with a colon."""

_SUFFIXES = {Role.MEMBER: "", Role.MANAGER: ":managers", Role.AUDITOR: ":auditors"}

# JupyterHub: "extremely privileged ... tantamount to superuser". Whoever has it could take any role of ours.
_SUPERUSER = "admin:users"


def group_of(workspace: str, role: Role) -> str:
    """JupyterHub's group that holds those who have a role in a workspace, such as ``cse151a:managers``."""
    return ADMINISTRATORS if role is Role.ADMINISTRATOR else workspace + _SUFFIXES[role]


def standing_of(group: str) -> tuple[str, Role]:
    """The workspace (none for administrators) and the role that a group of ours stands for."""
    if group == ADMINISTRATORS:
        return "", Role.ADMINISTRATOR
    workspace, _, _ = group.partition(":")
    return workspace, next(role for role in _SUFFIXES if group_of(workspace, role) == group)


def may(scopes: Collection[str], action: Action, workspace: str | None = None) -> bool:
    """Whether a request with these scopes may do something in a workspace or, without one, in all of them.

    ``scopes`` are JupyterHub's expanded scopes (``handler.expanded_scopes``, or ``scopes`` of HubOAuth's user model).
    JupyterHub's own administrators may do everything.
    """
    if _SUPERUSER in scopes or action.value in scopes:
        return True
    return workspace is not None and f"{action.value}!group={workspace}" in scopes


def may_somewhere(scopes: Collection[str], action: Action) -> bool:
    """Whether a request with these scopes may do something in at least one workspace."""
    return may(scopes, action) or any(scope.startswith(f"{action.value}!group=") for scope in scopes)


def allowed_workspaces(scopes: Collection[str], action: Action, workspaces: Iterable[str]) -> frozenset[str]:
    """Those of some workspaces in which a request with these scopes may do something."""
    return frozenset(name for name in workspaces if may(scopes, action, name))


def role_specs(groups: Iterable[str]) -> list[dict[str, Any]]:
    """JupyterHub's roles for these groups of ours, as in ``c.JupyterHub.load_roles``; members need none.

    Beside our own scopes they carry those of JupyterHub with which its REST API tells who is in the workspace. Nothing
    of JupyterHub's own lets a manager stop a server: it knows no workspaces, so it would be every server of a member,
    also in workspaces that are none of the manager's business.
    """
    return [_role_spec(group) for group in sorted(groups) if standing_of(group)[1] is not Role.MEMBER]


def _role_spec(group: str) -> dict[str, Any]:
    workspace, role = standing_of(group)
    if role is Role.ADMINISTRATOR:
        return {
            "name": "gpuspawner-administrator",
            "description": "Administrators of all workspaces",
            "scopes": [Action.ADMINISTER.value, "list:users", "list:groups", "read:groups"],
            "groups": [group],
        }
    action = Action.MANAGE if role is Role.MANAGER else Action.READ
    here = f"!group={workspace}"
    return {
        "name": f"gpuspawner-{role.value}-{workspace}",
        "description": f"{role.value.capitalize()}s of {workspace}",
        "scopes": [action.value + here, "list:users" + here, "list:groups" + here, "read:groups" + here],
        "groups": [group],
    }
