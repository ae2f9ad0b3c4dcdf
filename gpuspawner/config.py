"""The ``GPUSpawner`` section of the configuration, parsed and checked as a whole: every mistake is told at once."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from gpuspawner.catalog import Catalog, GPUClass, Profile
from gpuspawner.errors import ConfigurationError
from gpuspawner.schema import Bytes, Name, NameList, PodPatch, Schema, nearest, problems_of
from gpuspawner.workspace import Workspace

__all__ = ["Connect", "OffPeak", "Settings", "Storage", "load_settings", "section_of"]

M = TypeVar("M", bound=BaseModel)
_SECTION = "c.GPUSpawner"
_RESERVED = {"any", "none"}


class Storage(Schema):
    """A member's home: one PersistentVolumeClaim per user, mounted in all their servers."""

    size: Bytes = Field(default=10 * 2**30, description="Storage request of the claim.")
    storage_class: str | None = Field(default=None, description="StorageClass; without it the cluster's default.")
    access_modes: NameList = Field(default=("ReadWriteOnce",), description="Access modes of the claim.")
    mount_path: str = Field(default="/home/jovyan", pattern="^/", description="Where it is mounted.")


class Connect(Schema):
    """How to reach the Kubernetes API; without any key the pod's own service account, else the default kubeconfig."""

    kubeconfig: str | None = Field(default=None, description="Path of a kubeconfig file.")
    context: str | None = Field(default=None, description="Context of the kubeconfig.")
    in_cluster: bool | None = Field(default=None, description="Use the pod's service account, or do not.")
    host: str | None = Field(default=None, pattern="^https?://", description="URL of the API server.")
    token_file: str | None = Field(default=None, description="File that holds the bearer token for host.")
    ca: str | None = Field(default=None, description="File that holds the CA bundle of host.")
    verify: bool = Field(default=True, description="Check the certificate of host.")


class OffPeak(Schema):
    """Hours in which service units cost less."""

    hours: str = Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")
    rate: float = Field(ge=0)
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What the ``GPUSpawner`` section says. ``notices`` name what is read and checked but not enforced yet."""

    catalog: Catalog
    workspaces: Mapping[str, Workspace]
    timezone: ZoneInfo
    namespace: str
    hub_name: str
    pod_template: Mapping[str, Any]
    storage: Storage | None
    image_pull_secrets: tuple[str, ...]
    connect: Connect
    off_peak: OffPeak | None
    notices: tuple[str, ...]


_KEYS = frozenset(field.name for field in fields(Settings)) - {"catalog", "notices"} | {"gpu_classes", "profiles"}


def section_of(config: Config) -> dict[str, Any]:
    """The ``GPUSpawner`` section of a traitlets configuration as plain values."""
    section = config.get("GPUSpawner", {})
    return {key: value.get_value({}) if isinstance(value, LazyConfigValue) else value for key, value in section.items()}


def load_settings(section: Mapping[str, Any], inherited: Collection[str] | None = None) -> Settings:
    """Parse and check the ``GPUSpawner`` section, given as plain values.

    ``inherited`` are the further trait names the section may hold (JupyterHub's own, such as ``start_timeout``);
    without it keys that are not ours are passed over.

    Raises
    ------
    ConfigurationError
        With one line per mistake: its path, what was found, what is allowed.
    """
    return _Loader(section, inherited).load()


class _Loader:
    def __init__(self, section: Mapping[str, Any], inherited: Collection[str] | None) -> None:
        self.section = section
        self.inherited = inherited
        self.problems: list[str] = []

    def load(self) -> Settings:
        self._check_keys()
        catalog = Catalog(self._named("gpu_classes", GPUClass), self._named("profiles", Profile))
        workspaces = self._named("workspaces", Workspace)
        off_peak = self._model("off_peak", OffPeak)
        timezone = self._timezone("timezone", self.section.get("timezone", "UTC"))
        if off_peak and off_peak.timezone:
            self._timezone("off_peak.timezone", off_peak.timezone)
        settings = Settings(
            catalog=catalog,
            workspaces=workspaces,
            timezone=timezone or ZoneInfo("UTC"),
            namespace=self._value("namespace", Name, "default"),
            hub_name=self._value("hub_name", Name, "jupyterhub"),
            pod_template=self._value("pod_template", PodPatch, {}),
            storage=None if self.section.get("storage", {}) is None else self._model("storage", Storage) or Storage(),
            image_pull_secrets=self._value("image_pull_secrets", NameList, ()),
            connect=self._model("connect", Connect) or Connect(),
            off_peak=off_peak,
            notices=tuple(_notices(catalog, workspaces, off_peak)),
        )
        self._check_references(settings)
        if self.problems:
            raise ConfigurationError(self.problems)
        return settings

    def _check_keys(self) -> None:
        if self.inherited is None:
            return
        for key in self.section:
            if key not in _KEYS and key not in self.inherited:
                self.problems.append(f"{_SECTION}.{key}: unknown key{nearest(key, _KEYS)}")

    def _named(self, key: str, model: type[M]) -> dict[str, M]:
        entries = self.section.get(key, {})
        path = f"{_SECTION}.{key}"
        if not isinstance(entries, Mapping):
            self.problems.append(f"{path}: found {entries!r}, allowed: a mapping of names to {model.__name__} settings")
            return {}
        parsed: dict[str, M] = {}
        for name, entry in entries.items():
            where = f"{path}[{name!r}]"
            if not isinstance(entry, Mapping):
                self.problems.append(f"{where}: found {entry!r}, allowed: a mapping")
            elif name in _RESERVED:
                self.problems.append(f"{where}: the name {name!r} has a meaning of its own; choose another")
            else:
                try:
                    parsed[name] = model.model_validate({**entry, "name": name})
                except ValidationError as error:
                    self.problems.extend(problems_of(where, error, model))
        return parsed

    def _model(self, key: str, model: type[M]) -> M | None:
        value = self.section.get(key)
        if value is None or value == {}:
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self.problems.extend(problems_of(f"{_SECTION}.{key}", error, model))
            return None

    def _value(self, key: str, kind: Any, default: Any) -> Any:
        try:
            return TypeAdapter(kind).validate_python(self.section.get(key, default))
        except ValidationError as error:
            self.problems.extend(problems_of(f"{_SECTION}.{key}", error, Schema))
            return default

    def _timezone(self, key: str, name: Any) -> ZoneInfo | None:
        try:
            return ZoneInfo(name)
        except (KeyError, TypeError, ValueError, OSError):
            self.problems.append(
                f"{_SECTION}.{key}: found {name!r}, allowed: an IANA time zone such as America/Los_Angeles"
            )
            return None

    def _check_references(self, settings: Settings) -> None:
        classes = self._declared("gpu_classes")
        profiles = self._declared("profiles")
        for profile in settings.catalog.profiles.values():
            path = f"{_SECTION}.profiles[{profile.name!r}]"
            self._known(f"{path}.gpu_classes", "GPU class", profile.gpu_classes, classes)
        for space in settings.workspaces.values():
            path = f"{_SECTION}.workspaces[{space.name!r}]"
            self._known(f"{path}.profiles", "profile", space.profiles or (), profiles)
            self._known(f"{path}.quota", "GPU class", space.quota or (), classes)
            for index, exception in enumerate(space.exceptions):
                self._known(f"{path}.exceptions[{index}].quota", "GPU class", exception.quota, classes)

    def _declared(self, key: str) -> Collection[str]:
        """Names as written, so that an entry with a mistake of its own is not reported as unknown as well."""
        entries = self.section.get(key, {})
        return list(entries) if isinstance(entries, Mapping) else []

    def _known(self, path: str, what: str, names: Iterable[str], known: Collection[str]) -> None:
        for name in names:
            if name not in known:
                self.problems.append(f"{path}: found {name!r}, which is no {what}{nearest(name, known)}")


def _notices(catalog: Catalog, workspaces: Mapping[str, Workspace], off_peak: OffPeak | None) -> Iterable[str]:
    later = "is read and checked, but not enforced by this version"
    for profile in catalog.profiles.values():
        if profile.idle is not None:
            yield f"{_SECTION}.profiles[{profile.name!r}].idle {later}"
    for space in workspaces.values():
        if space.budget is not None:
            yield f"{_SECTION}.workspaces[{space.name!r}].budget {later}"
    if off_peak is not None:
        yield f"{_SECTION}.off_peak {later}"
