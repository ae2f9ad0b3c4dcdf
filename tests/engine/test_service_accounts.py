"""A pod of the engine is its service account: it finds the API and its token, and may do what its roles say."""

import asyncio
import json
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import jwt
import pytest
from running_engine import Lab, running_engine

Object = dict[str, Any]
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/demo"
HUB: Object = {"serviceAccountName": "hub"}
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"


@pytest.fixture
async def lab(tmp_path: Path) -> Any:
    async with running_engine(tmp_path) as found:
        await found.create("serviceaccounts", {"metadata": {"name": "hub"}})
        yield found


async def test_kubectl_in_a_pod_is_the_pods_service_account(lab: Lab) -> None:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    await lab.ok("POST", f"{RBAC}/roles", {"metadata": {"name": "hub"}, "rules": rules})
    role = {"metadata": {"name": "hub"}, "roleRef": {"kind": "Role", "name": "hub"}}
    role["subjects"] = [{"kind": "ServiceAccount", "name": "hub"}]
    await lab.ok("POST", f"{RBAC}/rolebindings", role)
    script = "kubectl get pods -o name; kubectl auth whoami -o json; kubectl get secrets"
    await lab.run("a", script, **HUB)
    await lab.ended("a")
    text = await lab.log("a")
    assert text.startswith("pod/a\n")
    who = json.loads(text[text.index("{") : text.rindex("}") + 1])["status"]["userInfo"]
    assert who["username"] == "system:serviceaccount:demo:hub"
    assert who["extra"]["authentication.kubernetes.io/pod-name"] == ["a"]
    assert 'cannot list resource "secrets" in API group "" in the namespace "demo"' in text


async def test_kubectl_creates_tokens_and_asks_what_they_may(lab: Lab, tmp_path: Path) -> None:
    lab.engine.write_kubeconfig(tmp_path / "config", namespace="demo")

    async def kubectl(*arguments: str) -> str:
        command = ("kubectl", "--kubeconfig", str(tmp_path / "config"), "--cache-dir", str(tmp_path / "cache"))
        process = await asyncio.create_subprocess_exec(*command, *arguments, stdout=PIPE, stderr=STDOUT)
        output, _ = await process.communicate()
        return output.decode().strip()

    await kubectl("create", "role", "hub", "--verb=get,list", "--resource=pods,pods/log")
    await kubectl("create", "rolebinding", "hub", "--role=hub", "--serviceaccount=demo:hub")
    token = await kubectl("create", "token", "hub")
    assert token.count(".") == 2, token
    asked = ("--token", token, "auth", "can-i")
    (tmp_path / "config").write_text((tmp_path / "config").read_text().replace(lab.engine.token, token))
    assert await kubectl(*asked, "list", "pods") == "yes"
    assert await kubectl(*asked, "get", "pods", "--subresource=log") == "yes"
    assert (await kubectl(*asked, "delete", "pods")).startswith("no")
    assert (await kubectl(*asked, "list", "nodes")).endswith("no")
    listed = await kubectl(*asked, "--list")
    assert [line.split() for line in listed.splitlines() if line.startswith("pods ")] == [
        ["pods", "[]", "[]", "[get", "list]"]
    ]


async def test_a_pods_token_is_no_more_when_the_pod_is_gone(lab: Lab) -> None:
    token = await lab.output("a", 'cat "$TOKEN"', **HUB, container={"env": [{"name": "TOKEN", "value": TOKEN}]})

    async def status() -> int:
        async with lab.request("GET", "/apis", token=token) as response:
            return int(response.status)

    assert jwt.decode(token, options={"verify_signature": False})["kubernetes.io"]["pod"]["name"] == "a"
    assert await status() == 200
    await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/a?gracePeriodSeconds=0")
    assert await status() == 401


async def test_a_pod_that_wants_no_token_has_none(lab: Lab) -> None:
    said = await lab.output("a", 'echo "config=$KUBECONFIG"', automountServiceAccountToken=False)
    assert said.strip() == "config="


async def test_a_projected_token_is_for_the_audience_that_it_names(lab: Lab) -> None:
    source = {"serviceAccountToken": {"path": "vault", "audience": "vault", "expirationSeconds": 600}}
    volumes = [{"name": "identity", "projected": {"sources": [source]}}]
    mount = [{"name": "identity", "mountPath": "/identity"}]
    container = {"volumeMounts": mount, "env": [{"name": "FILE", "value": "/identity/vault"}]}
    token = await lab.output("a", 'cat "$FILE"', **HUB, volumes=volumes, container=container)
    claims = jwt.decode(token, options={"verify_signature": False})
    assert claims["aud"] == ["vault"]
    assert claims["sub"] == "system:serviceaccount:demo:hub"
