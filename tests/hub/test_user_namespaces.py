"""One namespace per user: made, seen, and never somebody else's."""

from typing import Any

from launching import environment, launch, named, stop

from gpuspawner.local.engine import Engine

GPU = {"profile": "pytorch", "gpu_class": "small"}
OWN = {
    "labels": {"pod-security.kubernetes.io/enforce": "restricted", "team": "{username}"},
    "annotations": {"contact": "{unescaped_username}"},
}


def pods(engine: Engine) -> list[tuple[str, str]]:
    found = engine.store.list("pods", None)[0]
    return sorted((pod["metadata"]["namespace"], pod["metadata"]["name"]) for pod in found)


async def test_each_user_has_a_namespace_with_all_that_is_theirs(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub(user_namespaces=OWN)
    for name in ("ada", "Bob@ucsd.edu"):
        await hub.login(name, "x")
    assert await launch(hub, "ada", GPU) == ""
    assert await launch(hub, "bob@ucsd.edu", GPU) == ""
    (_, bobs) = sorted(namespace for namespace, _ in pods(engine))
    assert ("user-ada", "jupyter-ada") in pods(engine)
    assert bobs.startswith("user-bob-ucsd-edu---")
    made = engine.store.get("namespaces", None, bobs)["metadata"]
    assert made["labels"]["team"] == bobs.removeprefix("user-")
    assert made["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert made["annotations"]["contact"] == "bob@ucsd.edu"
    assert made["annotations"]["hub.jupyter.org/username"] == "bob@ucsd.edu"
    assert list(named(engine, "persistentvolumeclaims", "user-ada")) == ["claim-ada"]
    assert list(named(engine, "secrets", "user-ada")) == ["jupyter-ada"]
    assert not named(engine, "secrets", "default")
    assert (await environment(hub, "ada"))["CUDA_VISIBLE_DEVICES"] in ("0", "1")
    refused = await launch(hub, "ada", GPU, "two")
    assert "holds 2 of 2 Small GPUs" in refused, "the quota counts over all namespaces"
    await stop(hub, "ada")
    assert [name for _, name in pods(engine)] == [name for namespace, name in pods(engine) if namespace == bobs]
    assert not named(engine, "secrets", "user-ada")


async def test_servers_in_their_namespaces_are_found_after_a_restart(start_gpu_hub: Any, engine: Engine) -> None:
    hub = await start_gpu_hub(user_namespaces={})
    await hub.login("ada", "x")
    assert await launch(hub, "ada", GPU) == ""
    hub = await start_gpu_hub(user_namespaces={})
    assert await hub.user("ada").spawner.poll() is None
    assert (await environment(hub, "ada"))["JUPYTERHUB_USER"] == "ada"
    assert len(hub.app.tornado_settings["gpuspawner_launcher"].usage()) == 1
    await stop(hub, "ada")
    assert pods(engine) == []
    assert await launch(hub, "ada", GPU) == "", "the namespace is there already"


async def test_a_user_called_like_a_namespace_of_somebody_else_does_not_get_into_it(
    start_gpu_hub: Any, engine: Engine
) -> None:
    hub = await start_gpu_hub(user_namespaces={"name": "{username}"})
    engine.store.create("namespaces", {"metadata": {"name": "monitoring"}, "spec": {}})
    eves = {"name": "taken", "labels": {"gpuspawner/hub": "jupyterhub"}}
    eves["annotations"] = {"hub.jupyter.org/username": "eve"}
    engine.store.create("namespaces", {"metadata": eves, "spec": {}})
    for name in ("monitoring", "taken", "default"):
        await hub.login(name, "x")
        assert f"namespaces/{name}" in await launch(hub, name, {"profile": "cpu"})
    assert pods(engine) == []


async def test_a_namespace_goes_with_its_user_where_the_hub_says_so(start_gpu_hub: Any, engine: Engine) -> None:
    for keep in (True, False):
        hub = await start_gpu_hub(user_namespaces={"delete_with_user": not keep})
        for name in ("ada", "bob"):
            await hub.login(name, "x")
            assert await launch(hub, name, {"profile": "cpu"}) == ""
            await stop(hub, name)
        assert (await hub.api("DELETE", "users/ada")).status == 204
        left = {name for name in named(engine, "namespaces", None) if name.startswith("user-")}
        assert left == ({"user-ada", "user-bob"} if keep else {"user-bob"})


POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "servers", "labels": {"team": "research"}},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
}


async def test_a_namespace_has_its_policies_before_the_first_server_and_keeps_up_with_the_configuration(
    start_gpu_hub: Any, engine: Engine
) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notebook"}, "data": {"a": "{username}"}}
    hub = await start_gpu_hub(user_namespaces={"objects": [POLICY, settings]})
    await hub.login("ada", "x")
    assert await launch(hub, "ada", {"profile": "cpu"}) == ""
    made = engine.store.get("networkpolicies.networking.k8s.io", "user-ada", "servers")
    assert made["spec"] == POLICY["spec"]
    assert made["metadata"]["labels"] == {
        "team": "research",
        "app": "jupyterhub",
        "app.kubernetes.io/managed-by": "gpuspawner",
        "gpuspawner/hub": "jupyterhub",
    }
    [pod] = engine.store.list("pods", "user-ada")[0]
    assert int(made["metadata"]["resourceVersion"]) < int(pod["metadata"]["resourceVersion"])
    assert engine.store.get("configmaps", "user-ada", "notebook")["data"] == {"a": "{username}"}, "as it is written"

    await stop(hub, "ada")
    closed = {**POLICY, "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}}
    hub = await start_gpu_hub(user_namespaces={"objects": [closed, {**settings, "data": {"b": "2"}}]})
    assert await launch(hub, "ada", {"profile": "cpu"}) == ""
    assert engine.store.get("networkpolicies.networking.k8s.io", "user-ada", "servers")["spec"] == closed["spec"]
    assert engine.store.get("configmaps", "user-ada", "notebook")["data"] == {"b": "2"}


async def test_no_server_starts_in_a_namespace_that_cannot_have_its_policies(
    start_gpu_hub: Any, engine: Engine
) -> None:
    wrong = {**POLICY, "spec": {"podSelector": {}, "policyTypes": ["Sideways"]}}
    hub = await start_gpu_hub(user_namespaces={"objects": [wrong]})
    await hub.login("ada", "x")
    assert "Sideways" in await launch(hub, "ada", {"profile": "cpu"})
    assert pods(engine) == []
