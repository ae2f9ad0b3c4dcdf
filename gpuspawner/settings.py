"""What the ``GPUSpawner`` section says: the whole of it, and those parts of it that have no room of their own."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime
from re import fullmatch
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from gpuspawner.catalog import Catalog
from gpuspawner.limits.cohort import Cohort
from gpuspawner.limits.limits import HubMember
from gpuspawner.membership.roles import ADMINISTRATORS, Role, group_of
from gpuspawner.membership.rules import Rule, rosters_in
from gpuspawner.names import USER_VARIABLES, expand, scope_of, variables_in
from gpuspawner.schema import Like, Schema
from gpuspawner.sessions.idle import IdlePolicy
from gpuspawner.storage import Storage
from gpuspawner.workspace import Workspace

__all__ = [
    "DNS_NAME",
    "FALLBACK_AFTER",
    "KEYS",
    "LEDGER_URL",
    "NAMESPACE_OBJECTS",
    "SECTION",
    "Connect",
    "DnsName",
    "Namespace",
    "OffPeak",
    "Settings",
    "UserNamespaces",
]

SECTION = "c.GPUSpawner"
"""How an administrator writes the section; every path begins with it."""
DNS_NAME = "{pod_name}.{namespace}.svc.cluster.local"
LEDGER_URL = "sqlite:///gpuspawner.sqlite"
FALLBACK_AFTER = 60
"""Seconds after which a launch moves to another class of its choice that has GPUs free."""

NAMESPACE_OBJECTS = {
    "ConfigMap": ("v1", "configmaps"),
    "LimitRange": ("v1", "limitranges"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "ResourceQuota": ("v1", "resourcequotas"),
}
"""What a user's namespace may have besides: by kind, the apiVersion and the resource."""

_Url = Annotated[str, Like("https?://.+", "a URL such as https://10.0.0.1:6443")]
DnsName = Annotated[str, Like(".*[{]pod_name[}].*", "a host name with {pod_name}, such as {pod_name}.{namespace}.svc")]
_HOUR = "([01][0-9]|2[0-3]):[0-5][0-9]"
_Hours = Annotated[str, Like(f"{_HOUR}-{_HOUR}", "hours such as 01:00-16:00")]
Namespace = Annotated[
    str, Like("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "a namespace: 1 to 63 characters of a-z, 0-9 and '-'")
]


def _some_hours(hours: str) -> str:
    begins, _, ends = hours.partition("-")
    if begins == ends:
        raise ValueError("hours that begin and end at different times")
    return hours


def _namespace_template(template: str) -> str:
    unknown = [name for name in variables_in(template) if name not in USER_VARIABLES]
    sample = str(expand(template, dict.fromkeys(USER_VARIABLES, "x")))
    if unknown or not scope_of(template)[0] or fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", sample) is None:
        raise ValueError("the name of a namespace with {username} and, if need be, {hubnamespace} and {hub_name}")
    return template


def _namespace_object(manifest: dict[str, Any]) -> dict[str, Any]:
    version, _ = NAMESPACE_OBJECTS.get(str(manifest.get("kind")), (None, None))
    metadata = manifest.get("metadata")
    if version is None or manifest.get("apiVersion") != version:
        kinds = ", ".join(f"{kind} ({version})" for kind, (version, _) in NAMESPACE_OBJECTS.items())
        raise ValueError(f"a manifest of {kinds}")
    if not isinstance(metadata, dict) or not fullmatch(
        "[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?", str(metadata.get("name"))
    ):
        raise ValueError("a manifest with metadata.name, of a-z, 0-9, '-' and '.'")
    if "namespace" in metadata:
        raise ValueError("no metadata.namespace: it is made in the namespace of each user")
    return manifest


class UserNamespaces(Schema):
    """A namespace for each user, made at their first launch.

    One that exists already is used only if it bears the label ``gpuspawner/hub`` with this hub's name, and no
    annotation ``hub.jupyter.org/username`` with another user's.
    """

    name: Annotated[str, AfterValidator(_namespace_template)] = Field(
        default="{hubnamespace}-{username}", description="Name of the namespace."
    )
    labels: dict[str, str] = Field(default_factory=dict, description="Its labels; variables may stand in the values.")
    annotations: dict[str, str] = Field(
        default_factory=dict, description="Its annotations; variables may stand in the values."
    )
    objects: list[Annotated[dict[str, Any], AfterValidator(_namespace_object)]] = Field(
        default_factory=list,
        description="What each of these namespaces has before the first server in it: manifests of NetworkPolicy, "
        "ResourceQuota, LimitRange and ConfigMap, each as it stands here. They are applied at a user's first launch "
        "after the hub has started; one that is taken out here stays where it is.",
    )
    delete_with_user: bool = Field(
        default=False, description="Delete the namespace, and all that is in it, of a user who is deleted."
    )


class Connect(Schema):
    """How to reach the Kubernetes API; without any key the pod's own service account, else the default kubeconfig."""

    kubeconfig: str | None = Field(default=None, description="Path of a kubeconfig file.")
    context: str | None = Field(default=None, description="Context of the kubeconfig.")
    in_cluster: bool | None = Field(default=None, description="Use the pod's service account, or do not.")
    host: _Url | None = Field(default=None, description="URL of the API server.")
    token_file: str | None = Field(default=None, description="File that holds the bearer token for host.")
    ca: str | None = Field(default=None, description="File that holds the CA bundle of host.")
    verify: bool = Field(default=True, description="Check the certificate of host.")


class OffPeak(Schema):
    """Hours in which everything costs fewer service units."""

    hours: Annotated[_Hours, AfterValidator(_some_hours)] = Field(
        description="The hours, as the clock on the wall shows them, such as 01:00-16:00 or 22:00-06:00. An hour that "
        "the clocks repeat in autumn counts twice; one that they leave out in spring does not count."
    )
    rate: float = Field(ge=0, description="What of the full price is due in these hours: 0.5 is half of it.")
    timezone: str | None = Field(default=None, description="Time zone of the hours, instead of the hub's.")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the ``GPUSpawner`` section says. ``notices`` name what is allowed but can hardly be meant."""

    catalog: Catalog
    workspaces: Mapping[str, Workspace]
    administrators: tuple[Rule, ...]
    longest_login: int | None
    cohorts: Mapping[str, Cohort]
    per_member: HubMember
    timezone: ZoneInfo
    namespace: str
    hub_name: str
    pod_template: Mapping[str, Any]
    storage: Storage | None
    image_pull_secrets: tuple[str, ...]
    token_in_secret: bool
    connect: Connect
    user_namespaces: UserNamespaces | None
    services: bool
    dns_name: str
    off_peak: OffPeak | None
    cpu_rate: float
    fallback_after: int | None
    idle: IdlePolicy | None
    ledger_url: str
    notices: tuple[str, ...]
    profiles_by_user: bool = False
    """Whether profiles are worked out for each user; the catalog then has none until :func:`with_profiles`."""

    def workspace_title(self, name: str) -> str:
        """What people read for a workspace; its name where there is none of it any more."""
        return self.workspaces[name].title if name in self.workspaces else name

    def cohort_of(self, workspace: str) -> Cohort | None:
        """The cohort that a workspace shares hardware with."""
        return next((cohort for cohort in self.cohorts.values() if workspace in cohort.workspaces), None)

    def patches(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Every patch of the pod, with its place in the section."""
        yield "pod_template", self.pod_template
        for key, entries in (
            ("workspaces", self.workspaces),
            ("profiles", self.catalog.profiles),
            ("gpu_classes", self.catalog.gpu_classes),
        ):
            for name, entry in entries.items():
                yield f"{key}[{name!r}].pod", entry.pod

    def today(self) -> date:
        """The day of the hub's time zone."""
        return datetime.now(self.timezone).date()

    def rules(self) -> Iterator[tuple[str, Role, tuple[Rule, ...]]]:
        """All membership rules, with their place in the section and the role they are about."""
        for name, space in self.workspaces.items():
            yield f"workspaces[{name!r}].members", Role.MEMBER, space.members
            yield f"workspaces[{name!r}].managers", Role.MANAGER, space.managers
            yield f"workspaces[{name!r}].auditors", Role.AUDITOR, space.auditors
        yield "administrators", Role.ADMINISTRATOR, self.administrators

    def rosters(self) -> frozenset[str]:
        """The paths of all roster files."""
        return frozenset(path for _, _, rules in self.rules() for path in rosters_in(rules))

    def groups_with_roles(self) -> frozenset[str]:
        """JupyterHub's groups whose members may see or steer a workspace, or all of them."""
        found = {
            group_of(name, role)
            for name, space in self.workspaces.items()
            for role in (Role.MANAGER, Role.AUDITOR)
            if space.has(role)
        }
        return frozenset(found | ({ADMINISTRATORS} if self.administrators else set()))


KEYS = frozenset(field.name for field in fields(Settings)) - {"catalog", "notices", "profiles_by_user"} | {
    "gpu_classes",
    "profiles",
}
