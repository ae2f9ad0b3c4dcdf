"""Values and secrets to sections of a configuration: what the chart derives, and what its user says over it. Pure."""

from collections.abc import Mapping, Sequence
from re import fullmatch
from typing import Any

from gpuspawner.errors import ConfigurationError
from gpuspawner.values.document import SECRET_CONFIG, Secrets, Values, merged
from gpuspawner.values.patches import join_patches

__all__ = ["FIRST_ADMINISTRATOR", "authenticator_of", "namespace_objects", "paths", "pod_template", "sections"]

FIRST_ADMINISTRATOR = "admin"
"""Who logs in with the generated password where the values name no administrator."""
_SHARED_PASSWORD = "(?i:shared-password)|(.*[.])?SharedPasswordAuthenticator"  # noqa: S105 - names of a class
_SQLITE = "sqlite:///jupyterhub.sqlite"
_ROUTES = 60
"""Seconds between two looks at the proxy's routes: so long nobody reaches their server after the proxy alone has
restarted. JupyterHub's own 300 are too many for it."""
Sections = dict[str, dict[str, Any]]


def sections(values: Values, secrets: Secrets) -> Sections:
    """Every section of the hub's configuration that follows from its values, as plain values.

    ``hub.config`` and ``hub.secretConfig`` win over what is derived, and are added to JupyterHub's services and roles.

    Raises
    ------
    ConfigurationError
        Where parts contradict each other, with the paths of both.
    """
    problems = [*_said_twice(values), *_said_elsewhere(values), *_database_problems(secrets)]
    if problems:
        raise ConfigurationError(problems)
    found = _over(_derived(values, secrets), merged(_said(values), secrets.config))
    hub = found["JupyterHub"]
    for trait, ours in (("services", _services(values, secrets)), ("load_roles", _roles(values))):
        theirs = hub.get(trait) or []
        if not isinstance(theirs, Sequence):
            continue
        names = {one.get("name") for one in theirs if isinstance(one, Mapping)}
        if entries := [*theirs, *(one for one in ours if one["name"] not in names)]:
            hub[trait] = entries
    return found


def authenticator_of(values: Values) -> tuple[str, Any]:
    """The authenticator to wrap, and the path of the value that names it."""
    for key, config in (("secretConfig", values.hub.secret_config), ("config", values.hub.config)):
        named = config.get("JupyterHub", {}).get("authenticator_class")
        if named is not None:
            return f"hub.{key}.JupyterHub.authenticator_class", named
    return "login.authenticator", values.login.authenticator


def pod_template(values: Values, theirs: Mapping[str, Any]) -> dict[str, Any]:
    """The chart's patches of every server's pod, and ``theirs`` over them."""
    joined: dict[str, Any] = {}
    for patch in (*(values.release.pod_templates if values.release else ()), theirs):
        joined = join_patches(joined, patch)
    return joined


def namespace_objects(values: Values, theirs: Sequence[Any]) -> list[Any]:
    """What the chart puts into each user's namespace, and ``theirs``, in place of the chart's of the same name."""
    named = {_object_name(one) for one in theirs}
    ours = values.release.namespace_objects if values.release else ()
    return [*(one for one in ours if _object_name(one) not in named), *theirs]


def _object_name(manifest: Any) -> tuple[Any, Any]:
    if not isinstance(manifest, Mapping) or not isinstance(manifest.get("metadata"), Mapping):
        return None, None
    return manifest.get("kind"), manifest["metadata"].get("name")


def paths(values: Values, secrets: Secrets) -> dict[str, str]:
    """The path in the values, or the secrets, of each trait of ``c.GPUSpawner`` that they set."""
    found = {trait: f"gpuspawner.{trait}" for trait in values.gpuspawner}
    for key, config in (("config", values.hub.config), ("secretConfig", values.hub.secret_config)):
        found |= {trait: f"hub.{key}.GPUSpawner.{trait}" for trait in config.get("GPUSpawner", {})}
    return found | {trait: f"{SECRET_CONFIG}.GPUSpawner.{trait}" for trait in secrets.config.get("GPUSpawner", {})}


def _over(base: Mapping[str, Mapping[str, Any]], *more: Mapping[str, Mapping[str, Any]]) -> Sections:
    """Sections, the traits of later ones in place of those of earlier ones."""
    found = {name: dict(traits) for name, traits in base.items()}
    for layer in more:
        for name, traits in layer.items():
            found[name] = {**found.get(name, {}), **traits}
    return found


def _said(values: Values) -> Sections:
    """What the values say. Mappings of ``hub.secretConfig`` are joined with what the others say of the same trait, at
    every depth, so that only the secret part of it need be there."""
    return merged(_over(values.hub.config, {"GPUSpawner": values.gpuspawner}), values.hub.secret_config)


def _derived(values: Values, secrets: Secrets) -> Sections:
    release = values.release
    hub: dict[str, Any] = {
        "base_url": values.hub.base_url,
        "cleanup_servers": False,  # a hub that restarts leaves servers alone
        "authenticator_class": values.login.authenticator,
        "last_activity_interval": _ROUTES,
        "db_url": _SQLITE,
        "upgrade_db": secrets.database_url is None,  # JupyterHub keeps a copy of a SQLite file, and of nothing else
    }
    spawner: dict[str, Any] = {}
    proxy: dict[str, Any] = {"should_start": False}
    if release is not None:
        hub |= {"hub_bind_url": f"http://:{release.hub_port}", "hub_connect_url": release.hub_url}
        proxy["api_url"] = release.proxy_api_url
        spawner |= {"hub_name": release.name, "namespace": release.user_namespace}
        if release.image_pull_secrets:
            spawner["image_pull_secrets"] = list(release.image_pull_secrets)
    if secrets.database_url is not None:
        hub["db_url"], spawner["ledger_url"] = _database(secrets.database_url), secrets.database_url
    if secrets.cookie_secret is not None:
        hub["cookie_secret"] = secrets.cookie_secret
    if secrets.proxy_token is not None:
        proxy["auth_token"] = secrets.proxy_token
    found: Sections = {"JupyterHub": hub, "ConfigurableHTTPProxy": proxy}
    if secrets.crypt_keys:
        found["CryptKeeper"] = {"keys": list(secrets.crypt_keys)}
    return found | _login(values, secrets) | {"GPUSpawner": spawner}


def _login(values: Values, secrets: Secrets) -> Sections:
    """Only the generated password makes an administrator nobody has named: elsewhere ``admin`` may be anybody."""
    found: Sections = {}
    administrators = list(values.login.administrators)
    _, named = authenticator_of(values)
    if secrets.admin_password is not None and fullmatch(_SHARED_PASSWORD, str(named)):
        administrators = administrators or [FIRST_ADMINISTRATOR]
        found["SharedPasswordAuthenticator"] = {"admin_password": secrets.admin_password}
    if administrators:
        # Of JupyterHub, an administrator may log in only where somebody is allowed to, by name or at all.
        found["Authenticator"] = {"admin_users": administrators, "allowed_users": administrators}
        if not _allows_by_name(values):
            # Else whoever has logged in once is allowed for ever, also when they have left the groups that let them in.
            found["Authenticator"]["allow_existing_users"] = False
    return found


def _allows_by_name(values: Values) -> bool:
    said = _said(values).items()
    return any("allowed_users" in traits for section, traits in said if section.endswith("Authenticator"))


def _database(url: str) -> str:
    """With the driver that gpuspawner brings, where the URL names none."""
    return "postgresql+psycopg:" + url.removeprefix("postgresql:") if url.startswith("postgresql:") else url


def _database_problems(secrets: Secrets) -> list[str]:
    url = secrets.database_url
    if url is None or fullmatch("(sqlite|postgresql)([+][a-z0-9]+)?:.+", url):
        return []
    found = url.partition(":")[0] if ":" in url else "no URL"
    return [f"database-url: found {found!r}, allowed: postgresql://USER:PASSWORD@HOST/DATABASE"]


def _said_twice(values: Values) -> list[str]:
    return [
        f"hub.config.GPUSpawner.{trait}: gpuspawner.{trait} says it, too; keep one of them"
        for trait in values.hub.config.get("GPUSpawner", {})
        if trait in values.gpuspawner
    ]


def _said_elsewhere(values: Values) -> list[str]:
    """What the chart itself must know, too: its probes and its proxy ask the hub below this path."""
    said = "base_url" in values.hub.config.get("JupyterHub", {})
    return ["hub.config.JupyterHub.base_url: say it as hub.baseUrl, which the chart reads, too"] if said else []


def _services(values: Values, secrets: Secrets) -> list[dict[str, Any]]:
    tokens = secrets.service_tokens
    return [
        {**({"api_token": tokens[name]} if name in tokens else {}), **service, "name": name}
        for name, service in sorted(values.hub.services.items())
    ]


def _roles(values: Values) -> list[dict[str, Any]]:
    return [{**role, "name": name} for name, role in sorted(values.hub.load_roles.items())]
