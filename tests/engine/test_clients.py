"""Real clients on the API server: kubectl, and the official Python client."""

import asyncio
import base64
import json
import os
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web
from kubernetes.aio import client, watch
from running_api import TOKEN, claim, pod, running_api

from gpuspawner.local.apiserver.application import make_app
from gpuspawner.local.apiserver.binding import bind
from gpuspawner.local.apiserver.store import Store
from gpuspawner.local.apiserver.tls import server_context

PATIENCE = 60


@dataclass
class Kubectl:
    """kubectl on an API server of its own."""

    store: Store
    environment: dict[str, str]

    async def fails_or_not(self, *words: str, stdin: object = None) -> tuple[int, str, str]:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "kubectl", *words, stdin=pipe, stdout=pipe, stderr=pipe, env=self.environment
        )
        sent = json.dumps(stdin).encode() if stdin is not None else b""
        out, err = await asyncio.wait_for(process.communicate(sent), PATIENCE)
        return process.returncode or 0, out.decode(), err.decode()

    async def __call__(self, *words: str, stdin: object = None) -> str:
        code, out, err = await self.fails_or_not(*words, stdin=stdin)
        assert code == 0, err
        return out


@asynccontextmanager
async def running_kubectl(folder: Path) -> AsyncIterator[Kubectl]:
    context, ca = server_context(folder)
    store = Store()
    runner = web.AppRunner(make_app(store, TOKEN, ca=ca))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    cluster = {"server": url, "certificate-authority-data": base64.b64encode(ca.encode()).decode()}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "e", "cluster": cluster}],
        "users": [{"name": "e", "user": {"token": TOKEN}}],
        "contexts": [{"name": "e", "context": {"cluster": "e", "user": "e", "namespace": "demo"}}],
        "current-context": "e",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "KUBECONFIG": str(path)}
    try:
        yield Kubectl(store, environment)
    finally:
        await runner.cleanup()


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on the PATH")


@needs_kubectl
async def test_kubectl_makes_changes_and_deletes_pods(tmp_path: Path) -> None:
    async with running_kubectl(tmp_path) as kubectl:
        await kubectl("create", "namespace", "demo")
        assert "created" in await kubectl("apply", "-f", "-", stdin=pod("p", labels={"tier": "tin"}))
        assert "unchanged" in await kubectl("apply", "-f", "-", stdin=pod("p", labels={"tier": "tin"}))
        assert "configured" in await kubectl("apply", "-f", "-", stdin=pod("p", labels={"tier": "gold"}))
        await kubectl("label", "pod", "p", "a=b")
        await kubectl("annotate", "pod", "p", "note=hi")
        await kubectl("patch", "pod", "p", "-p", '{"metadata": {"labels": {"a": "c"}}}')
        found = json.loads(await kubectl("get", "pod", "p", "-o", "json"))
        assert found["metadata"]["labels"] == {"tier": "gold", "a": "c"}
        assert found["metadata"]["annotations"]["note"] == "hi"
        await kubectl("delete", "pod", "p")
        assert "NotFound" in (await kubectl.fails_or_not("get", "pod", "p"))[2]


@needs_kubectl
async def test_kubectl_is_told_of_a_typo(tmp_path: Path) -> None:
    wrong = pod("p")
    wrong["spec"]["containers"][0]["imag"] = "x"
    async with running_kubectl(tmp_path) as kubectl:
        await kubectl("create", "namespace", "demo")
        code, _, said = await kubectl.fails_or_not("create", "-f", "-", stdin=wrong)
        assert code == 1
        assert "unknown field" in said


@needs_kubectl
async def test_kubectl_shows_and_describes(tmp_path: Path) -> None:
    async with running_kubectl(tmp_path) as kubectl:
        await kubectl("create", "namespace", "demo")
        kubectl.store.create(
            "nodes", {"metadata": {"name": "a100-0"}, "spec": {}, "status": {"capacity": {"cpu": "8"}}}
        )
        await kubectl("create", "-f", "-", stdin=pod("p"))
        await kubectl("create", "-f", "-", stdin=claim("home"))
        bind(kubectl.store, "demo", "p", "a100-0")
        shown = await kubectl("get", "pods", "-o", "wide")
        assert shown.split()[:3] == ["NAME", "READY", "STATUS"]
        assert "a100-0" in shown
        assert "Bound" in await kubectl("get", "pvc")
        assert "standard (default)" in await kubectl("get", "storageclass")
        assert "Node:" in await kubectl("describe", "pod", "p")
        assert "demo" in await kubectl("describe", "node", "a100-0")
        assert "persistentvolumeclaims" in await kubectl("api-resources")
        assert await kubectl("auth", "can-i", "create", "pods") == "yes\n"


@needs_kubectl
async def test_kubectl_creates_by_its_own_commands(tmp_path: Path) -> None:
    async with running_kubectl(tmp_path) as kubectl:
        await kubectl("create", "namespace", "demo")
        await kubectl("create", "configmap", "c", "--from-literal=a=b")
        await kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
        await kubectl("create", "quota", "q", "--hard=pods=3,requests.nvidia.com/gpu=2")
        await kubectl("create", "serviceaccount", "robot")
        await kubectl("create", "priorityclass", "exam", "--value=1000")
        store = kubectl.store
        assert store.get("configmaps", "demo", "c")["data"] == {"a": "b"}
        assert store.get("secrets", "demo", "s")["data"] == {"a": base64.b64encode(b"b").decode()}
        assert store.get("resourcequotas", "demo", "q")["status"]["hard"] == {
            "pods": "3",
            "requests.nvidia.com/gpu": "2",
        }
        assert store.get("priorityclasses.scheduling.k8s.io", None, "exam")["value"] == 1000


@needs_kubectl
async def test_kubectl_watches(tmp_path: Path) -> None:
    async with running_kubectl(tmp_path) as kubectl:
        await kubectl("create", "namespace", "demo")
        await kubectl("create", "-f", "-", stdin=pod("first"))
        process = await asyncio.create_subprocess_exec(
            "kubectl", "get", "pods", "--watch", "-o", "name", stdout=asyncio.subprocess.PIPE, env=kubectl.environment
        )
        assert process.stdout
        try:
            assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"pod/first\n"
            await kubectl("create", "-f", "-", stdin=pod("second"))
            assert await asyncio.wait_for(process.stdout.readline(), PATIENCE) == b"pod/second\n"
        finally:
            process.terminate()
            await process.wait()


@needs_kubectl
async def test_kubectl_applies_on_the_server(tmp_path: Path) -> None:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}
    async with running_kubectl(tmp_path) as kubectl:
        await kubectl("create", "namespace", "demo")
        await kubectl("apply", "--server-side", "-f", "-", stdin=body)
        body["data"] = {"a": "2"}
        command = ("apply", "--server-side", "--field-manager=other", "-f", "-")
        code, _, said = await kubectl.fails_or_not(*command, stdin=body)
        assert code == 1
        assert 'conflict with "kubectl"' in said
        await kubectl(*command, "--force-conflicts", stdin=body)
        assert kubectl.store.get("configmaps", "demo", "c")["data"] == {"a": "2"}


async def test_the_official_client_creates_watches_and_deletes() -> None:
    async with running_api() as api:
        await api.create_namespace()
        configuration = client.Configuration(host=api.url)
        configuration.api_key = {"authorization": f"Bearer {TOKEN}"}
        async with client.ApiClient(configuration) as connection:
            core = client.CoreV1Api(connection)
            version = (await core.list_namespaced_pod("demo")).metadata.resource_version
            created = await core.create_namespaced_pod("demo", pod("p", labels={"tier": "gold"}))
            assert created.status.phase == "Pending"
            await core.patch_namespaced_pod("p", "demo", {"metadata": {"annotations": {"a": "b"}}})
            await core.delete_namespaced_pod("p", "demo")
            seen = []
            async with watch.Watch() as watcher:
                stream = watcher.stream(core.list_namespaced_pod, "demo", resource_version=version, timeout_seconds=30)
                async for event in stream:
                    seen.append(event["type"])
                    if event["type"] == "DELETED":
                        break
            assert seen == ["ADDED", "MODIFIED", "DELETED"]
            with pytest.raises(client.ApiException) as missing:
                await core.read_namespaced_pod("p", "demo")
            assert missing.value.status == 404


async def test_the_certificate_is_kept_private_and_trusted_by_itself(tmp_path: Path) -> None:
    _, first = server_context(tmp_path)
    _, second = server_context(tmp_path)
    assert first == second
    assert (tmp_path / "apiserver.key").stat().st_mode & 0o077 == 0
    assert ssl.create_default_context(cadata=first).get_ca_certs()
