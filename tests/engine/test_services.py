"""Services on the engine: addresses, endpoints, connections, names and variables."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running_engine import Lab, running_engine

from gpuspawner.local.apiserver.store import Store
from gpuspawner.local.kubelet.service_names import ServiceNames

Object = dict[str, Any]
ANYWHERE = "0.0.0.0"  # noqa: S104 - which the engine makes the pod's own address
SERVICES = "/api/v1/namespaces/demo/services"
SERVER = "import socket, sys; s = socket.create_server((sys.argv[1], 8000)); print('up', flush=True)\n"
SERVER += "while True:\n c, _ = s.accept(); c.sendall(b'hello from ' + sys.argv[2].encode()); c.close()"


def service(name: str, **spec: Any) -> Object:
    return {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [port()]} | spec}


def port(name: str = "http", number: int = 80, target: int | str = 8000) -> Object:
    return {"name": name, "port": number, "targetPort": target}


async def serving(lab: Lab, name: str, app: str, **more: Any) -> None:
    """Run a pod that greets whoever connects to its port 8000."""
    container = {
        "command": ["python", "-c", SERVER, ANYWHERE, name],
        "ports": [{"name": "web", "containerPort": 8000}],
    }
    container |= more
    await lab.run(name, labels={"app": app}, container=container)
    await lab.ready(name)
    assert await lab.first_line(name) == "up"


async def backends(lab: Lab, name: str, number: int) -> Object:
    """The Endpoints once they have so many addresses."""

    def enough(obj: Object) -> bool:
        return sum(len(subset.get("addresses", [])) for subset in obj.get("subsets", [])) == number

    return await lab.until(name, enough, "endpoints")


async def greeting(address: str, number: int = 80) -> str:
    reader, writer = await asyncio.open_connection(address, number)
    text = (await reader.read()).decode()
    writer.close()
    return text


async def test_a_service_leads_to_its_ready_pods_in_turn(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        made = await lab.ok("POST", SERVICES, service("web", ports=[port(target="web")]))
        address = made["spec"]["clusterIP"]
        assert made["spec"]["clusterIPs"] == [address]
        with pytest.raises(ConnectionRefusedError):
            await greeting(address)
        await serving(lab, "one", "web")
        await serving(lab, "two", "web")
        endpoints = await backends(lab, "web", 2)
        assert {target["targetRef"]["name"] for target in endpoints["subsets"][0]["addresses"]} == {"one", "two"}
        assert endpoints["subsets"][0]["ports"] == [{"name": "http", "port": 8000, "protocol": "TCP"}]
        assert {await greeting(address) for _ in range(4)} == {"hello from one", "hello from two"}
        (sliced,) = [stored.obj for stored in lab.store.items("endpointslices.discovery.k8s.io", "demo")]
        assert [one["conditions"]["ready"] for one in sliced["endpoints"]] == [True, True]
        await lab.ok("DELETE", "/api/v1/namespaces/demo/pods/one")
        await lab.gone("one")
        await backends(lab, "web", 1)
        assert await greeting(address) == "hello from two"


async def test_a_pod_that_is_not_ready_gets_no_connections(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", SERVICES, service("web"))
        never = {"exec": {"command": ["false"]}}
        await lab.run("one", labels={"app": "web"}, container={"readinessProbe": never})

        def unready(obj: Object) -> bool:
            return any(subset.get("notReadyAddresses") for subset in obj.get("subsets", []))

        endpoints = await lab.until("web", unready, "endpoints")
        assert "addresses" not in endpoints["subsets"][0]


async def test_a_node_port_is_open_on_the_node(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        made = await lab.ok("POST", SERVICES, service("web", type="NodePort"))
        number = made["spec"]["ports"][0]["nodePort"]
        assert 30000 <= number < 32768
        await serving(lab, "one", "web")
        await backends(lab, "web", 1)
        assert await greeting("127.0.0.1", number) == "hello from one"


async def test_pods_reach_services_by_name_from_arguments_variables_and_files(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        made = await lab.ok("POST", SERVICES, service("web"))
        address = made["spec"]["clusterIP"]
        await lab.create("configmaps", {"metadata": {"name": "c"}, "data": {"url": "http://web.demo.svc:80/x"}})
        secret = {"metadata": {"name": "s"}, "stringData": {"url": "web.demo.svc.cluster.local, not web.other.svc"}}
        await lab.create("secrets", secret)
        volumes = [{"name": "c", "configMap": {"name": "c"}}, {"name": "s", "secret": {"secretName": "s"}}]
        mounts = [{"name": name, "mountPath": f"/etc/{name}"} for name in ("c", "s")]
        env = [
            {"name": "PLAIN", "value": "web.demo.svc"},
            {"name": "KEPT", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "url"}}},
            {"name": "FOLDER", "value": "/etc/c"},
        ]
        script = 'echo "$PLAIN|$KEPT|$(cat $FOLDER/url)|$WEB_SERVICE_HOST:$WEB_SERVICE_PORT_HTTP|web.demo.svc:80"; '
        container = {"volumeMounts": mounts, "env": env}
        said = await lab.output("ask", script + "cat /etc/s/url", container=container, volumes=volumes)
        url = f"http://{address}:80/x"
        assert said.splitlines() == [
            f"{address}|{url}|{url}|{address}:80|{address}:80",
            f"{address}, not web.other.svc",
        ]


async def test_pods_are_told_where_the_api_is(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        said = await lab.output("ask", 'echo "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT"')
        assert said.strip() == lab.engine.url


async def test_a_service_keeps_its_address_and_its_node_port(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        made = await lab.ok("POST", SERVICES, service("web", type="NodePort"))
        changed = await lab.ok("PUT", f"{SERVICES}/web", service("web", type="NodePort", ports=[port(number=81)]))
        assert changed["spec"]["clusterIP"] == made["spec"]["clusterIP"]
        assert changed["spec"]["ports"][0]["nodePort"] == made["spec"]["ports"][0]["nodePort"]
        status, answer = await lab.call("PUT", f"{SERVICES}/web", service("web", clusterIP="127.128.0.9"))
        assert (status, "may not change once set" in answer["message"]) == (422, True)
        await lab.ok("DELETE", f"{SERVICES}/web")
        again = await lab.ok("POST", SERVICES, service("web"))
        assert again["spec"]["clusterIP"] == made["spec"]["clusterIP"]


async def test_a_headless_service_and_one_elsewhere_have_no_address(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        headless = await lab.ok("POST", SERVICES, service("set", clusterIP="None"))
        assert headless["spec"]["clusterIP"] == "None"
        outside = await lab.ok("POST", SERVICES, service("db", type="ExternalName", externalName="db.example.org"))
        assert "clusterIP" not in outside["spec"]
        names = ServiceNames(lab.store)
        assert names.resolve("db.demo.svc:5432 set.demo.svc") == "db.example.org:5432 set.demo.svc"


@given(st.text("abc.-/: svclustero", max_size=40))
def test_a_text_without_names_of_services_stays_as_it_is(text: str) -> None:
    assert ServiceNames(Store()).resolve(text) == text


def test_only_whole_names_are_replaced() -> None:
    store = Store()
    about = {"name": "hub", "namespace": "demo"}
    store.create("services", {"metadata": about, "spec": {"clusterIP": "127.128.0.1", "ports": []}})
    resolve = ServiceNames(store).resolve
    assert resolve("http://hub.demo.svc:8081/hub") == "http://127.128.0.1:8081/hub"
    for text in ("x.hub.demo.svc", "hub.demo.svc-2", "hub.demo.svc.example.org", "hub.demo.svcs", "a-hub.demo.svc"):
        assert resolve(text) == text
    assert resolve("--target=hub.demo.svc.") == "--target=127.128.0.1."
