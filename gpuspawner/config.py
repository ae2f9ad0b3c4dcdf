"""The ``GPUSpawner`` section of the configuration, parsed and checked as a whole: every mistake is told at once."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from re import fullmatch
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from traitlets.config import Config
from traitlets.config.loader import LazyConfigValue

from gpuspawner.catalog import Catalog, GPUClass, Profile
from gpuspawner.errors import ConfigurationError
from gpuspawner.limits.cohort import Cohort
from gpuspawner.limits.limits import HubMember
from gpuspawner.membership.rules import Rule, Rules
from gpuspawner.pod_patch import PodPatch, gpus_in
from gpuspawner.schema import Name, Schema, Seconds, SecretName, closest, nearest, problems_of
from gpuspawner.sessions.idle import IdlePolicy
from gpuspawner.settings import (
    DNS_NAME,
    FALLBACK_AFTER,
    KEYS,
    LEDGER_URL,
    SECTION,
    Connect,
    DnsName,
    Namespace,
    OffPeak,
    Settings,
    UserNamespaces,
)
from gpuspawner.settings_notices import hardly_meant
from gpuspawner.storage import Storage
from gpuspawner.workspace import Workspace

__all__ = [
    "DNS_NAME",
    "FALLBACK_AFTER",
    "KEYS",
    "LEDGER_URL",
    "SECTION",
    "Connect",
    "OffPeak",
    "Settings",
    "Storage",
    "UserNamespaces",
    "load_settings",
    "section_of",
    "with_profiles",
]

M = TypeVar("M", bound=BaseModel)
Ordered = TypeVar("Ordered", GPUClass, Profile, Workspace)
_RESERVED = {"any", "none"}
_Rate = Annotated[float, Field(ge=0)]


class _Administrators(Schema):
    administrators: Rules = ()


def section_of(config: Config) -> dict[str, Any]:
    """The ``GPUSpawner`` section of a traitlets configuration as plain values.

    ``c.GPUSpawner.profiles.update(...)`` and ``.append(...)`` on a list leave a lazy value behind; it begins empty.
    """
    plain = {}
    for key, value in config.get("GPUSpawner", {}).items():
        if not isinstance(value, LazyConfigValue):
            plain[key] = value
        elif changes := value.to_dict():
            plain[key] = value.get_value({} if "update" in changes else [])
    return plain


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


def with_profiles(settings: Settings, profiles: Any) -> Settings:
    """``settings`` with these profiles, written as in ``c.GPUSpawner.profiles``, in place of its own.

    Raises
    ------
    ConfigurationError
        With one line per mistake in them.
    """
    classes = settings.catalog.gpu_classes
    loader = _Loader({"profiles": profiles, "gpu_classes": {name: {} for name in classes}}, None)
    made = replace(settings, catalog=Catalog(classes, loader.profiles()))
    loader.check(made)
    return made


def _in_order(entries: dict[str, Ordered]) -> dict[str, Ordered]:
    """By ``order``; those of the same order as they are."""
    return dict(sorted(entries.items(), key=lambda item: item[1].order))


class _Loader:
    def __init__(self, section: Mapping[str, Any], inherited: Collection[str] | None) -> None:
        self.section = section
        self.inherited = inherited
        self.problems: list[str] = []

    def load(self) -> Settings:
        self._check_keys()
        catalog = Catalog(_in_order(self._named("gpu_classes", GPUClass)), self.profiles())
        workspaces = _in_order(self._named("workspaces", Workspace))
        off_peak = self._model("off_peak", OffPeak)
        timezone = self._timezone("timezone", self.section.get("timezone", "UTC"))
        if off_peak and off_peak.timezone:
            self._timezone("off_peak.timezone", off_peak.timezone)
        settings = Settings(
            catalog=catalog,
            workspaces=workspaces,
            administrators=self._administrators(),
            longest_login=self._value("longest_login", Seconds | None, None),
            cohorts=self._named("cohorts", Cohort),
            per_member=self._model("per_member", HubMember) or HubMember(),
            timezone=timezone or ZoneInfo("UTC"),
            namespace=self._value("namespace", Namespace, "default"),
            hub_name=self._value("hub_name", Name, "jupyterhub"),
            pod_template=self._value("pod_template", PodPatch, {}),
            storage=None if self.section.get("storage", {}) is None else self._model("storage", Storage) or Storage(),
            image_pull_secrets=self._value("image_pull_secrets", tuple[SecretName, ...], ()),
            token_in_secret=self._value("token_in_secret", bool, True),
            connect=self._model("connect", Connect) or Connect(),
            user_namespaces=self._user_namespaces(),
            services=self._value("services", bool, False),
            dns_name=self._value("dns_name", DnsName, DNS_NAME),
            off_peak=off_peak,
            cpu_rate=self._value("cpu_rate", _Rate, 0.0),
            fallback_after=self._value("fallback_after", Seconds | None, FALLBACK_AFTER),
            idle=self._idle(),
            ledger_url=self._ledger_url(),
            notices=(),
            profiles_by_user=callable(self.section.get("profiles")),
        )
        self.check(settings)
        return replace(settings, notices=tuple(hardly_meant(settings)))

    def profiles(self) -> dict[str, Profile]:
        """The profiles; none where they are a function of the user."""
        return {} if callable(self.section.get("profiles")) else _in_order(self._named("profiles", Profile))

    def check(self, settings: Settings) -> None:
        """Raise ``ConfigurationError`` for all mistakes, also those between the parts."""
        self._check_references()
        self._check_patches(settings)
        if self.problems:
            raise ConfigurationError(self.problems)

    def _user_namespaces(self) -> UserNamespaces | None:
        if self.section.get("user_namespaces") is None:
            return None
        return self._model("user_namespaces", UserNamespaces) or UserNamespaces()

    def _idle(self) -> IdlePolicy | None:
        """An empty mapping is a policy, too: the defaults."""
        return IdlePolicy() if self.section.get("idle") == {} else self._model("idle", IdlePolicy)

    def _ledger_url(self) -> str:
        """What was found is not told in full: it may hold a password."""
        url = self.section.get("ledger_url", LEDGER_URL)
        if isinstance(url, str) and fullmatch("(sqlite|postgresql)([+][a-z0-9]+)?:.+", url):
            return url
        found = repr(url.partition(":")[0]) if isinstance(url, str) else f"a {type(url).__name__}"
        self.problems.append(
            f"{SECTION}.ledger_url: found {found}, allowed: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"
        )
        return LEDGER_URL

    def _administrators(self) -> tuple[Rule, ...]:
        try:
            return _Administrators(administrators=self.section.get("administrators", ())).administrators
        except ValidationError as error:
            self.problems.extend(problems_of(SECTION, error, _Administrators))
            return ()

    def _check_keys(self) -> None:
        if self.inherited is None:
            return
        for key in self.section:
            if key not in KEYS and key not in self.inherited:
                self.problems.append(f"{SECTION}.{key}: unknown key{nearest(key, KEYS)}")

    def _named(self, key: str, model: type[M]) -> dict[str, M]:
        entries = self.section.get(key, {})
        path = f"{SECTION}.{key}"
        if not isinstance(entries, Mapping):
            self.problems.append(f"{path}: found {entries!r}, allowed: a mapping of names to their settings")
            return {}
        parsed: dict[str, M] = {}
        for name, entry in entries.items():
            where = f"{path}[{name!r}]"
            if not isinstance(entry, Mapping):
                self.problems.append(f"{where}: found {entry!r}, allowed: a mapping")
                continue
            if model is GPUClass and name in _RESERVED:
                self.problems.append(f"{where}: the name {name!r} has a meaning of its own; choose another")
            if "name" in entry:
                self.problems.append(f"{where}.name: unknown key; the name is {name!r} already")
            try:
                parsed[name] = model.model_validate({**entry, "name": name})
            except ValidationError as error:
                for problem in problems_of(where, error, model):
                    self.problems.append(problem.replace(f"{where}.name: found", f"{path}: found the name", 1))
        return parsed

    def _model(self, key: str, model: type[M]) -> M | None:
        value = self.section.get(key)
        if value is None or value == {}:
            return None
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self.problems.extend(problems_of(f"{SECTION}.{key}", error, model))
            return None

    def _value(self, key: str, kind: Any, default: Any) -> Any:
        try:
            return TypeAdapter(kind).validate_python(self.section.get(key, default))
        except ValidationError as error:
            self.problems.extend(problems_of(f"{SECTION}.{key}", error, Schema))
            return default

    def _timezone(self, key: str, name: Any) -> ZoneInfo | None:
        try:
            return ZoneInfo(name)
        except (KeyError, TypeError, ValueError, OSError):
            close = closest(name, available_timezones()) if isinstance(name, str) else None
            hint = f"; did you mean {close!r}?" if close else ""
            self.problems.append(
                f"{SECTION}.{key}: found {name!r}, allowed: an IANA time zone such as America/Los_Angeles{hint}"
            )
            return None

    def _check_references(self) -> None:
        """Read from the section as written, so that an entry with a mistake of its own is checked and known, too."""
        classes, profiles = self._declared("gpu_classes"), self._declared("profiles")
        for name, profile in self._written("profiles").items():
            self._known(f"{SECTION}.profiles[{name!r}].gpu_classes", "GPU class", profile.get("gpu_classes"), classes)
        for name, space in self._written("workspaces").items():
            path = f"{SECTION}.workspaces[{name!r}]"
            for where, entry in self._with_exceptions(path, space):
                self._known(f"{where}.profiles", "profile", entry.get("profiles"), profiles)
                for key in ("quota", "gpu_classes", "borrowing_limit"):
                    self._known(f"{where}.{key}", "GPU class", entry.get(key), classes)
        self._check_cohorts(classes)

    def _check_cohorts(self, classes: Collection[str] | None) -> None:
        spaces, owner = self._declared("workspaces"), dict[str, str]()
        for name, cohort in self._written("cohorts").items():
            path = f"{SECTION}.cohorts[{name!r}]"
            members = cohort.get("workspaces")
            self._known(f"{path}.workspaces", "workspace", members, spaces)
            for member in [members] if isinstance(members, str) else members if isinstance(members, list) else []:
                if owner.setdefault(str(member), name) != name:
                    self.problems.append(
                        f"{path}.workspaces: found {member!r}, which belongs to {owner[member]!r}, allowed: one cohort "
                        "for each workspace"
                    )
            for where, entry in self._with_exceptions(path, cohort):
                for key in ("quota", "reserve"):
                    self._known(f"{where}.{key}", "GPU class", entry.get(key), classes)

    def _with_exceptions(self, path: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """An entry and its exceptions as written, each with its place."""
        yield path, entry
        exceptions = entry.get("exceptions")
        for index, exception in enumerate(exceptions if isinstance(exceptions, list | tuple) else ()):
            if isinstance(exception, Mapping):
                yield f"{path}.exceptions[{index}]", exception

    def _declared(self, key: str) -> list[str] | None:
        """The names as written, or None where they cannot be told."""
        return list(self._written(key)) if isinstance(self.section.get(key, {}), Mapping) else None

    def _written(self, key: str) -> dict[str, Mapping[str, Any]]:
        """The entries of a mapping as written; what is no mapping is an empty one."""
        entries = self.section.get(key)
        if not isinstance(entries, Mapping):
            return {}
        return {name: entry if isinstance(entry, Mapping) else {} for name, entry in entries.items()}

    def _known(self, path: str, what: str, names: Any, known: Collection[str] | None) -> None:
        if isinstance(names, str):
            names = [names]
        if known is None:
            return
        for name in names if isinstance(names, list | tuple | Mapping) else ():
            if isinstance(name, str) and name not in known:
                self.problems.append(f"{path}: found {name!r}, which is no {what}{nearest(name, known)}")

    def _check_patches(self, settings: Settings) -> None:
        """A patch cannot ask for GPUs: no quota would count them."""
        resources = frozenset(offer.resource for offer in settings.catalog.offers() if offer.resource)
        for path, patch in settings.patches():
            for resource in dict.fromkeys(gpus_in(patch, resources)):
                self.problems.append(
                    f"{SECTION}.{path}: found {resource}, allowed: GPUs by gpus and gpu_classes only, so that the "
                    "quota counts them"
                )
