"""The other kinds of a chart: ingresses, network policies, budgets, scale, and kinds of other projects."""

from pathlib import Path
from typing import Any

import pytest
from running_api import running_api
from running_engine import running_engine
from workloads import APPS, job, pods, rolled_out, settled, workload

Object = dict[str, Any]
NETWORKING = "/apis/networking.k8s.io/v1/namespaces/demo"
POLICY = "/apis/policy/v1/namespaces/demo"


def path(**changes: Any) -> Object:
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    return {"path": "/", "pathType": "Prefix", "backend": backend} | changes


def ingress(*paths: Object) -> Object:
    return {"rules": [{"host": "hub.example.edu", "http": {"paths": list(paths)}}]}


def egress(**peer: Any) -> Object:
    return {"podSelector": {}, "egress": [{"to": [peer], "ports": [{"port": 443}]}]}


@pytest.mark.parametrize(
    ("url", "spec", "words"),
    [
        (f"{NETWORKING}/ingresses", {}, "either `defaultBackend` or `rules` must be specified"),
        (f"{NETWORKING}/ingresses", ingress(path(pathType=None)), "paths[0].pathType: Required value"),
        (f"{NETWORKING}/ingresses", ingress(path(path="hub")), "must be an absolute path"),
        (f"{NETWORKING}/ingresses", ingress(path(pathType="Regex")), 'supported values: "Exact"'),
        (f"{NETWORKING}/ingresses", ingress(path(backend={"service": {"name": "web"}})), "port name or number"),
        (f"{NETWORKING}/ingresses", ingress(), "rules[0].http.paths: Required value"),
        (f"{NETWORKING}/networkpolicies", egress(), "to[0]: Required value: must specify a peer"),
        (f"{NETWORKING}/networkpolicies", egress(ipBlock={"cidr": "10.0.0.0/33"}), "must be a valid CIDR address"),
        (
            f"{NETWORKING}/networkpolicies",
            egress(ipBlock={"cidr": "10.0.0.0/8", "except": ["169.254.169.254/32"]}),
            "must be a strict subset of `cidr`",
        ),
        (
            f"{NETWORKING}/networkpolicies",
            egress(ipBlock={"cidr": "10.0.0.0/8"}, podSelector={}),
            "may not specify both ipBlock and another peer",
        ),
        (
            f"{NETWORKING}/networkpolicies",
            {"podSelector": {}, "ingress": [{"ports": [{"port": 70000}]}]},
            "must be between 1 and 65535",
        ),
        (f"{NETWORKING}/networkpolicies", {"podSelector": {}, "policyTypes": ["Both"]}, 'supported values: "Egress"'),
        (f"{POLICY}/poddisruptionbudgets", {"minAvailable": 1, "maxUnavailable": 1}, "cannot be both set"),
        (f"{POLICY}/poddisruptionbudgets", {"maxUnavailable": -1}, "must be greater than or equal to 0"),
    ],
)
async def test_a_spec_that_kubernetes_refuses_is_refused(url: str, spec: Object, words: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        status, answer = await api.call("POST", url, {"metadata": {"name": "it"}, "spec": spec})
        assert status == 422
        assert words in answer["message"]


async def test_a_network_policy_says_which_directions_it_is_about() -> None:
    async with running_api() as api:
        await api.create_namespace()
        both = egress(ipBlock={"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]})
        made = await api.ok("POST", f"{NETWORKING}/networkpolicies", {"metadata": {"name": "it"}, "spec": both})
        assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
        assert made["spec"]["egress"][0]["ports"] == [{"port": 443, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("group", "plural", "kind"),
    [
        ("gateway.networking.k8s.io", "httproutes", "HTTPRoute"),
        ("monitoring.coreos.com", "prometheusrules", "PrometheusRule"),
        ("monitoring.coreos.com", "servicemonitors", "ServiceMonitor"),
    ],
)
async def test_kinds_of_other_projects_are_kept_as_they_come(group: str, plural: str, kind: str) -> None:
    async with running_api() as api:
        await api.create_namespace()
        url, spec = f"/apis/{group}/v1/namespaces/demo/{plural}", {"any": {"field": ["of", "theirs"]}}
        body = {"apiVersion": f"{group}/v1", "kind": kind, "metadata": {"name": "it"}, "spec": spec}
        assert (await api.ok("POST", url, body))["spec"] == spec
        change = {"spec": {"any": {"field": ["other"]}}}
        merge = {"Content_Type": "application/merge-patch+json"}
        changed = await api.ok("PATCH", f"{url}/it", change, **merge)
        assert (changed["spec"], changed["metadata"]["generation"]) == (change["spec"], 2)
        applied = {"Content_Type": "application/apply-patch+yaml"}
        again = await api.ok("PATCH", f"{url}/it?fieldManager=helm&force=true", body, **applied)
        assert again["spec"] == spec


async def test_a_workload_is_scaled_without_the_rest_of_it() -> None:
    async with running_api() as api:
        await api.create_namespace()
        await api.ok("POST", f"{APPS}/deployments", workload("web"))
        url = f"{APPS}/deployments/web/scale"
        scale = await api.ok("GET", url)
        assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == ("Scale", {"replicas": 1}, "app=it")
        scale["spec"]["replicas"] = 3
        assert (await api.ok("PUT", url, scale))["spec"] == {"replicas": 3}
        status, answer = await api.call("PUT", url, scale)
        assert (status, answer["reason"]) == (409, "Conflict")
        merge = {"Content_Type": "application/merge-patch+json"}
        await api.ok("PATCH", url, {"spec": {"replicas": 2}}, **merge)
        assert (await api.ok("GET", f"{APPS}/deployments/web"))["spec"]["replicas"] == 2


async def test_workloads_run_again_when_the_engine_starts_again(tmp_path: Path) -> None:
    async with running_engine(tmp_path) as lab:
        await lab.ok("POST", f"{APPS}/deployments", workload("web"))
        await rolled_out(lab, "web")
    async with running_engine(tmp_path) as lab:
        await settled(lab, lambda: any(pod["status"]["phase"] == "Running" for pod in pods(lab)))
        assert len(lab.store.items("replicasets.apps", "demo")) == 1


async def test_a_workload_whose_pods_would_be_refused_is_warned_of_where_the_namespace_says_so() -> None:
    async with running_api() as api:
        await api.create_namespace("demo", **{"pod-security.kubernetes.io/warn": "restricted"})
        async with api.request("POST", f"{APPS}/deployments", workload("web")) as response:
            warning = response.headers["Warning"]
        assert 'would violate PodSecurity \\"restricted:latest\\": allowPrivilegeEscalation != false' in warning
        nightly = {
            "metadata": {"name": "it"},
            "spec": {"schedule": "@daily", "jobTemplate": {"spec": job("it", "true")["spec"]}},
        }
        async with api.request("POST", "/apis/batch/v1/namespaces/demo/cronjobs", nightly) as response:
            assert (response.status, "runAsNonRoot != true" in response.headers["Warning"]) == (201, True)
