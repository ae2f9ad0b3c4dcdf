"""The client: answers, errors, retries, credentials; and that no secret ever leaves it."""

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.config import incluster_config
from scripted_apiserver import TOKEN, ScriptedServer, answer, hang, listing, pod, refuse, status_of, stream

from gpuspawner.cluster.client import ApiError, Client, Connection, UnreachableError
from gpuspawner.errors import ConfigurationError

RECORDED = Path(__file__).parent.parent / "data" / "kubernetes-api"


def recorded(number: str) -> tuple[int, dict[str, Any]]:
    (path,) = RECORDED.glob(f"{number}-*.json")
    response = json.loads(path.read_text())["response"]
    return response["status"], response["body"]


def replay(number: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    status, body = recorded(number)
    return answer(body, status)


def kubeconfig(path: Path, url: str, **user: Any) -> Path:
    path.write_text(
        json.dumps(
            {
                "current-context": "one",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": user}],
                "contexts": [
                    {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "hub"}},
                    {"name": "two", "context": {"cluster": "c", "user": "u", "namespace": "other"}},
                ],
            }
        )
    )
    return path


@pytest.mark.parametrize(
    ("number", "status", "reason", "words"),
    [
        ("03", 409, "AlreadyExists", 'pods "alice" already exists'),
        ("05", 422, "Invalid", "metadata.name: Invalid value"),
        ("07", 400, "BadRequest", "json: cannot unmarshal"),
        ("33", 403, "Forbidden", "exceeded quota: students"),
    ],
)
async def test_a_recorded_refusal_is_an_error_with_its_fields(
    server: ScriptedServer, client: Client, number: str, status: int, reason: str, words: str
) -> None:
    server.on("POST", "pods", replay(number))
    with pytest.raises(ApiError) as caught:
        await client.create("pods", "demo", {"metadata": {"name": "x"}})
    assert (caught.value.status, caught.value.reason) == (status, reason)
    assert words in caught.value.message


async def test_the_requests_are_those_of_the_kubernetes_api(server: ScriptedServer, client: Client) -> None:
    for method in ("POST", "PATCH", "DELETE"):
        server.on(method, "pods", answer({"kind": "Pod"}))
    server.on("list", "pods", listing())
    await client.create("pods", "hub", {"kind": "Pod"})
    await client.patch("pods", "hub", "a", {"metadata": {}})
    await client.delete("pods", "hub", "a", grace_seconds=3, uid="u-1")
    await client.list("pods", "hub", label_selector="app=jupyterhub", limit=5)
    created, patched, deleted, listed = server.seen
    assert (created.path, created.body) == ("/api/v1/namespaces/hub/pods", {"kind": "Pod"})
    assert patched.headers["Content-Type"] == "application/merge-patch+json"
    assert deleted.path == "/api/v1/namespaces/hub/pods/a"
    assert deleted.body["gracePeriodSeconds"] == 3
    assert deleted.body["preconditions"] == {"uid": "u-1"}
    assert listed.query == {"labelSelector": "app=jupyterhub", "limit": "5"}
    assert {seen.headers["Authorization"] for seen in server.seen} == {f"Bearer {TOKEN}"}


async def test_a_name_cannot_leave_its_place_in_the_path(server: ScriptedServer, client: Client) -> None:
    server.on("list", "pods", answer({}))
    await client.get("pods", "hub", "../../nodes?x=")
    assert server.seen[0].query == {}
    assert server.seen[0].path.startswith("/api/v1/namespaces/hub/pods/")


async def test_the_last_lines_of_a_log_are_text_whatever_bytes_they_are(server: ScriptedServer, client: Client) -> None:
    async def log(request: web.Request) -> web.Response:
        return web.Response(body=b"Traceback\xff\nend\n")

    server.on("list", "pods", log)
    assert await client.pod_log("hub", "a", tail_lines=2, previous=True) == "Traceback\ufffd\nend\n"
    assert server.seen[0].query == {"tailLines": "2", "limitBytes": "16384", "previous": "true"}


async def test_too_many_requests_is_tried_again_after_the_time_the_server_names(
    server: ScriptedServer, client: Client
) -> None:
    server.on("POST", "pods", refuse(429, "TooManyRequests", "", Retry_After="3"), answer({"kind": "Pod"}))
    assert await client.create("pods", "hub", {}) == {"kind": "Pod"}
    assert client.pauses == [3.0]  # type: ignore[attr-defined]


async def test_it_gives_up_on_a_server_that_stays_busy(server: ScriptedServer, client: Client) -> None:
    server.on("POST", "pods", refuse(429, "TooManyRequests", "busy", Retry_After="1"))
    with pytest.raises(ApiError) as caught:
        await client.create("pods", "hub", {})
    assert caught.value.retry_after == 1.0
    assert len(server.seen) == 6


async def test_a_server_error_without_a_time_to_wait_is_not_repeated(server: ScriptedServer, client: Client) -> None:
    server.on("POST", "pods", refuse(500, "InternalError", "boom"))
    with pytest.raises(ApiError, match="boom"):
        await client.create("pods", "hub", {})
    assert len(server.seen) == 1


async def test_a_proxy_page_instead_of_a_status_is_still_an_error(server: ScriptedServer, client: Client) -> None:
    async def page(request: web.Request) -> web.Response:
        return web.Response(status=502, text="<html>Bad Gateway</html>", content_type="text/html")

    async def welcome(request: web.Request) -> web.Response:
        return web.Response(text="<html>Welcome</html>", content_type="text/html")

    server.on("list", "pods", page, welcome)
    with pytest.raises(ApiError) as caught:
        await client.list("pods", "hub")
    assert caught.value.status == 502
    with pytest.raises(UnreachableError, match="is this a Kubernetes API server"):
        await client.list("pods", "hub")


async def test_no_server_no_answer_and_a_broken_answer_are_unreachable(server: ScriptedServer) -> None:
    impatient = Client(Connection(host=server.url, token=TOKEN), timeout=0.05)
    server.on("list", "pods", hang(), stream(b'{"kind": "PodLi', end="drop"))
    patient = Client(Connection(host=server.url, token=TOKEN))
    for client, words in ((impatient, "no answer in time"), (patient, "closed|broke|reset")):
        with pytest.raises(UnreachableError, match=words):
            await client.list("pods", "hub")
        await client.close()
    nobody = Client(Connection(host="http://127.0.0.1:1", token=TOKEN))
    with pytest.raises(UnreachableError, match="no connection to 127"):
        await nobody.list("pods", "hub")
    await nobody.close()


async def test_the_token_is_in_no_log_exception_or_representation(
    server: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    connection = Connection(host=server.url, token=TOKEN)
    client = Client(connection, timeout=0.05)
    server.on("list", "pods", refuse(401, "Unauthorized", "Unauthorized"), hang(), refuse(403, "Forbidden", "no"))
    told = [repr(connection), repr(await connection.load())]
    with caplog.at_level(logging.DEBUG):
        for _ in range(3):
            try:
                await client.list("pods", "hub")
            except (ApiError, UnreachableError) as error:
                told += [repr(error), "".join(traceback.format_exception(error))]
                told.append(repr(error.__cause__))
    await client.close()
    assert len(told) == 11
    assert told.count("None") == 3, "the original error carries the headers of the request"
    assert TOKEN not in "".join(told) + caplog.text


async def test_a_rotated_token_is_read_again_after_a_401(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gpuspawner.cluster.client._CREDENTIALS_AGE", 0.0)
    token = tmp_path / "token"
    token.write_text("old")
    client = Client(Connection(host=server.url, token_file=str(token)))
    server.on("list", "pods", listing(), refuse(401, "Unauthorized", "Unauthorized"), listing(pod("a")))
    await client.list("pods", "hub")
    token.write_text("new")
    assert (await client.list("pods", "hub"))["items"]
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer old", "Bearer old", "Bearer new"]
    await client.close()


async def test_credentials_that_stay_wrong_are_not_read_at_every_request(
    server: ScriptedServer, client: Client
) -> None:
    server.on("list", "pods", refuse(401, "Unauthorized", "Unauthorized"))
    for _ in range(3):
        with pytest.raises(ApiError):
            await client.list("pods", "hub")
    assert len(server.seen) == 3


async def test_a_kubeconfig_and_its_contexts_are_understood(server: ScriptedServer, tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", server.url, token="from-kubeconfig")
    server.on("list", "pods", listing())
    for context, namespace in ((None, "hub"), ("two", "other")):
        client = Client(Connection(kubeconfig=str(path), context=context))
        assert await client.default_namespace() == namespace
        await client.list("pods", namespace)
        assert server.seen[-1].headers["Authorization"] == "Bearer from-kubeconfig"
        await client.close()


async def test_an_exec_plugin_of_the_kubeconfig_is_asked_for_the_token(server: ScriptedServer, tmp_path: Path) -> None:
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "fresh"},
    }
    plugin = {"apiVersion": credential["apiVersion"], "command": "echo", "args": [json.dumps(credential)]}
    path = kubeconfig(tmp_path / "config", server.url, exec=plugin)
    server.on("list", "pods", listing())
    client = Client(Connection(kubeconfig=str(path)))
    await client.list("pods", "hub")
    assert server.seen[0].headers["Authorization"] == "Bearer fresh"
    await client.close()


async def test_in_a_cluster_the_service_account_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"token": "sa-token", "ca.crt": "CA", "namespace": "hub-ns\n"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    credentials = await Connection().load()
    assert credentials.configuration.host == "https://10.0.0.1:443"
    assert credentials.namespace == "hub-ns"
    assert (await credentials.configuration.auth_settings())["BearerToken"]["value"] == "bearer sa-token"


@pytest.mark.parametrize(
    ("mounted", "named", "source"),
    [(True, True, "the pod's"), (True, False, "the pod's"), (False, False, "the pod's"), (False, True, "kubeconfig")],
)
def test_a_pod_without_a_token_uses_the_kubeconfig_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounted: bool, named: bool, source: str
) -> None:
    if mounted:
        (tmp_path / "token").write_text("sa-token")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    if named:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    assert Connection().source.startswith(source)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        ("{}", "kubeconfig"),
        ('{"current-context": "x", "contexts": []}', "Expected object with name x"),
        (": : :", "kubeconfig"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_a_mistake_in_the_configuration(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "config"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=words):
        await Connection(kubeconfig=str(path)).load()


async def test_a_mistake_in_a_kubeconfig_is_told_without_its_secrets(tmp_path: Path) -> None:
    content = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {}}],
        "users": [{"name": "u", "usr": {"token": TOKEN}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigurationError) as caught:
        await Connection(kubeconfig=str(path)).load()
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


def test_settings_that_contradict_each_other_are_all_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Connection(token="a", token_file="b", in_cluster=True)
    assert len(caught.value.problems) == 2


async def test_many_requests_share_one_reading_of_the_credentials(
    server: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = []
    load = Connection.load

    async def counting(self: Connection) -> Any:
        loads.append(1)
        return await load(self)

    monkeypatch.setattr(Connection, "load", counting)
    server.on("list", "pods", listing())
    client = Client(Connection(host=server.url))
    await asyncio.gather(*[client.list("pods", "hub") for _ in range(20)])
    await client.close()
    assert len(loads) == 1


def test_retry_after_is_read_from_the_status_too() -> None:
    error = ApiError.from_status(429, status_of(429, "TooManyRequests", "slow", retryAfterSeconds=4))
    assert error.retry_after == 4.0
