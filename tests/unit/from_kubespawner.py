"""The pod and claim that KubeSpawner makes of its traits, and that gpuspawner makes of a section; for comparison."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from small_hub import MONDAY
from traitlets.config import Config

from gpuspawner.admission import Capacity, admit
from gpuspawner.companions import build_claim
from gpuspawner.config import Settings, load_settings
from gpuspawner.pod import build_pod
from gpuspawner.request import parse_request
from gpuspawner.server import Server


class Ours:
    """What gpuspawner makes of a section for one user's server."""

    def __init__(self, section: dict[str, Any], user: str = "ada", server: str = "", **options: Any) -> None:
        self.section = section
        self.settings: Settings = load_settings(section)
        who = {"user": user, "server": server}
        asked = parse_request(options, workspaces=["everyone"], settings=self.settings, now=MONDAY, **who)
        self.granted = admit(asked, self.settings, [], Capacity(), MONDAY)
        environment = section.get("environment", {})
        running = Server(environment, None, [], templates=environment)
        self.pod: dict[str, Any] = build_pod(self.granted, running, self.settings)
        self.claim = build_claim(user, self.settings, server=server, workspace="everyone", profile=asked.profile)


class Theirs:
    """What KubeSpawner makes of its traits for one user's server."""

    def __init__(self, traits: dict[str, Any], user: str = "ada", server: str = "") -> None:
        with patch("kubespawner.spawner.load_config"), patch("kubespawner.spawner.shared_client"):
            self.spawner = KubeSpawner(
                _mock=True,
                config=Config(KubeSpawner=traits),
                user=_user(user),
                orm_spawner=SimpleNamespace(name=server, server=None),
            )
        self.spawner.hub = SimpleNamespace(
            public_host="", url="", base_url="/hub/", api_url="", server=SimpleNamespace(base_url="/hub/")
        )
        self.pod: dict[str, Any] = {}
        self.claim: dict[str, Any] = {}

    async def made(self, **options: str) -> "Theirs":
        """With its manifests, for these choices of profile and options."""
        self.spawner.user_options = options
        await self.spawner.load_user_options()
        self.spawner.get_env = lambda: self.spawner._expand_env(self.spawner.environment)
        to_plain = ApiClient.sanitize_for_serialization
        serializer = ApiClient.__new__(ApiClient)
        self.pod = _filled(to_plain(serializer, await self.spawner.get_pod_manifest()))
        self.claim = _filled(to_plain(serializer, self.spawner.get_pvc_manifest()))
        return self


def _filled(manifest: Any) -> Any:
    """Without fields that are empty, which Kubernetes takes for absent."""
    if isinstance(manifest, dict):
        filled = {key: _filled(value) for key, value in manifest.items()}
        return {key: value for key, value in filled.items() if value not in (None, {}, [])}
    return [_filled(one) for one in manifest] if isinstance(manifest, list) else manifest


def _user(name: str) -> Any:
    return SimpleNamespace(name=name, id=7, url=f"/user/{name}/", escaped_name=name)


def field(manifest: Any, path: str) -> Any:
    """What stands at a path such as ``spec.containers[notebook].env[HOME].value``; None where there is nothing."""
    found = manifest
    for step in path.replace("[", ".[").split("."):
        if found is None:
            return None
        if step.startswith("["):
            wanted = step[1:-1]
            found = next((one for one in found if wanted in (one.get("name"), one.get("mountPath"))), None)
        else:
            found = found.get(step)
    return found
