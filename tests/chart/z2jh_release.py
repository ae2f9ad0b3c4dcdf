"""What a release of Zero-to-JupyterHub is for its hub: its configuration as mounted, and its service account.

Not that chart's code: the part of what its ``jupyterhub_config.py`` does that a hub with another spawner meets, in its
order. https://z2jh.jupyter.org/en/stable/resources/reference.html has the values.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config, dynamic

from gpuspawner.local.engine import Engine

__all__ = ["HUB_RULES", "NAMESPACE", "RELEASE", "become_its_hub", "write_release"]

RELEASE, NAMESPACE = "teaching", "jupyter"
_RBAC = "rbac.authorization.k8s.io/v1"

HUB_RULES: list[dict[str, Any]] = [
    {
        "apiGroups": [""],
        "resources": ["pods", "persistentvolumeclaims", "secrets", "services"],
        "verbs": ["get", "watch", "list", "create", "delete"],
    },
    {"apiGroups": [""], "resources": ["events"], "verbs": ["get", "watch", "list"]},
]
"""What that chart lets its hub do, in its namespace (its templates/hub/rbac.yaml)."""

_MODULE = '''
"""Values of the release, by their dotted path."""

from functools import reduce
from pathlib import Path

import yaml

VALUES = yaml.safe_load(Path(__file__).with_name("values.yaml").read_text())


def get_config(key, default=None):
    found = reduce(lambda at, part: at.get(part) if isinstance(at, dict) else None, key.split("."), VALUES)
    return default if found is None else found
'''

_CONFIG = """
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kubernetes_asyncio import client
from tornado.httpclient import AsyncHTTPClient
from z2jh import get_config

AsyncHTTPClient.configure("tornado.curl_httpclient.CurlAsyncHTTPClient")
c.JupyterHub.spawner_class = "kubespawner.KubeSpawner"
c.ConfigurableHTTPProxy.api_url = os.environ["PROXY_API_URL"]
c.ConfigurableHTTPProxy.should_start = False
c.JupyterHub.cleanup_servers = False
c.JupyterHub.last_activity_interval = 60
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = os.environ["HUB_URL"]
c.KubeSpawner.common_labels = {"app": "jupyterhub", "heritage": "jupyterhub", "release": get_config("Release.Name")}
c.KubeSpawner.namespace = os.environ["POD_NAMESPACE"]
c.KubeSpawner.image = "{name}:{tag}".format(**get_config("singleuser.image"))
c.KubeSpawner.start_timeout = get_config("singleuser.startTimeout", 300)
c.KubeSpawner.tolerations = [
    {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
]
c.KubeSpawner.profile_list = get_config("singleuser.profileList", [])
c.Spawner.consecutive_failure_limit = 5
c.JupyterHub.services = []
c.JupyterHub.load_roles = []
if get_config("cull.enabled", True):
    c.JupyterHub.services.append(
        {"name": "jupyterhub-idle-culler", "command": ["python3", "-m", "jupyterhub_idle_culler"]}
    )
c.Spawner.cmd = get_config("singleuser.cmd", "jupyterhub-singleuser")
if url := get_config("singleuser.defaultUrl"):
    c.Spawner.default_url = url
c.JupyterHub.cookie_secret = bytes.fromhex("ab" * 32)
c.CryptKeeper.keys = ["cd" * 32]
for section, traits in get_config("hub.config", {}).items():
    c[section].update(traits)
for _, snippet in sorted(get_config("hub.extraConfig", {}).items()):
    exec(snippet)
"""


def write_release(values: Mapping[str, Any], folder: Path) -> Path:
    """Write what the hub's pod has below /usr/local/etc/jupyterhub; returns its configuration file."""
    folder.mkdir()
    release = {"Release": {"Name": RELEASE, "Namespace": NAMESPACE, "Service": "Helm"}}
    (folder / "values.yaml").write_text(yaml.safe_dump({**values, **release}))
    (folder / "z2jh.py").write_text(_MODULE.lstrip())
    file = folder / "jupyterhub_config.py"
    file.write_text(_CONFIG.lstrip())
    return file


async def become_its_hub(engine: Engine, manifests: list[dict[str, Any]], kubeconfig: Path) -> None:
    """Make the service account ``hub`` with that chart's Role and these manifests, and a kubeconfig with its token.

    ClusterRoles among the manifests are bound to it as well.
    """
    engine.write_kubeconfig(kubeconfig, namespace=NAMESPACE)
    own = {"apiVersion": _RBAC, "kind": "Role", "metadata": {"name": "hub"}, "rules": HUB_RULES}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hub"}}
    theirs = [item for item in manifests if item["kind"] != "RoleBinding"]
    bindings = [_binding(role) for role in (own, *theirs)]
    await asyncio.to_thread(_apply, [account, own, *theirs, *bindings], kubeconfig)


def _binding(role: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": _RBAC,
        "kind": f"{role['kind']}Binding",
        "metadata": {"name": role["metadata"]["name"]},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role["kind"], "name": role["metadata"]["name"]},
        "subjects": [{"kind": "ServiceAccount", "name": "hub", "namespace": NAMESPACE}],
    }


def _apply(objects: list[dict[str, Any]], kubeconfig: Path) -> None:
    """As ``kubectl create --namespace`` does; then the token in the kubeconfig is the service account's."""
    with config.new_client_from_config(str(kubeconfig)) as api:
        cluster = dynamic.DynamicClient(api)
        for item in objects:
            kind = cluster.resources.get(api_version=item["apiVersion"], kind=item["kind"])
            kind.create(item, namespace=NAMESPACE if kind.namespaced else None)
        answer = client.CoreV1Api(api).create_namespaced_service_account_token("hub", NAMESPACE, {})
    found = json.loads(kubeconfig.read_text())
    found["users"][0]["user"]["token"] = answer.status.token
    kubeconfig.write_text(json.dumps(found))
