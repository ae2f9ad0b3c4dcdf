"""The restricted zone in servers: what the rendered values put into their pods, and what programs make of it there."""

import json
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from helm_python.errors import HelmRenderError
from institution import REPOSITORY, WHEEL, Institution, running_institution
from mounted import mount
from pod_security import violations
from rendered_servers import server_pod, settings_of
from rendering import merged, render
from running_engine import Lab, running_engine
from traitlets.config import Config

from gpuspawner import load_values
from gpuspawner.companions import build_namespace_objects
from gpuspawner.config import load_settings, section_of

CA = "/etc/gpuspawner/ca/ca-bundle.crt"
CA_VARIABLES = {
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "GIT_PROXY_SSL_CAINFO",
}
FULL = {
    "zone": "restricted",
    "restrictedZone": {
        "httpProxy": {"url": "http://192.0.2.10:3128", "noProxy": ["pacs.hospital.example", "10.20.0.0/16"]},
        "caBundle": {"configMap": "hospital-ca", "key": "bundle.pem"},
        "downloads": False,
    },
}


def notebook(pod: dict[str, Any]) -> dict[str, Any]:
    [container] = [one for one in pod["spec"]["containers"] if one["name"] == "notebook"]
    return container


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["value"] for one in notebook(pod)["env"] if "value" in one}


def test_whoever_installs_a_restricted_zone_is_told_to_see_that_it_is_closed() -> None:
    assert "open where the cluster's network plugin enforces none" in render(FULL).notes
    assert "network plugin" not in render().notes


def test_an_open_zone_adds_nothing_to_servers() -> None:
    manifests = render({**FULL, "zone": "open"})
    assert settings_of(manifests).pod_template == settings_of(render()).pod_template
    assert manifests.maybe("ConfigMap", "notebook") is None


def test_servers_of_a_restricted_zone_know_the_proxy_in_both_spellings_and_what_needs_none() -> None:
    told = environment(server_pod(render(FULL)))
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        assert told[name] == told[name.lower()] == "http://192.0.2.10:3128"
    assert told["NO_PROXY"] == told["no_proxy"]
    without = told["NO_PROXY"].split(",")
    assert {"localhost", "127.0.0.1", "::1", ".svc", ".svc.cluster.local"} <= set(without)
    assert {"pacs.hospital.example", "10.20.0.0/16"} <= set(without)
    [hub] = [render(FULL).one("Service", "hub")["metadata"]["name"]]
    assert {hub, f"{hub}.jupyter"} <= set(without)


def test_the_bundle_of_certificates_is_mounted_and_every_variable_points_at_it() -> None:
    pod = server_pod(render(FULL))
    told = environment(pod)
    assert {name for name, value in told.items() if value == CA} >= CA_VARIABLES
    [mount] = [one for one in notebook(pod)["volumeMounts"] if Path(CA).parent == Path(one["mountPath"])]
    [volume] = [one for one in pod["spec"]["volumes"] if one["name"] == mount["name"]]
    assert mount["readOnly"]
    assert volume["configMap"]["name"] == "hospital-ca"
    assert volume["configMap"]["items"] == [{"key": "bundle.pem", "path": "ca-bundle.crt"}]


def test_the_bundle_stands_also_where_programs_look_that_read_no_variable() -> None:
    system = "/etc/ssl/certs/ca-certificates.crt"
    pod = server_pod(render(merged(FULL, {"restrictedZone": {"caBundle": {"mountPaths": [system]}}})))
    [mount] = [one for one in notebook(pod)["volumeMounts"] if one["mountPath"] == system]
    assert mount["subPath"] == "ca-bundle.crt"
    assert mount["readOnly"]


def test_with_a_namespace_for_each_user_each_has_the_settings_that_its_servers_mount() -> None:
    file = {"mountPath": "/etc/motd", "stringData": "Welcome"}
    own = {"gpuspawner": {"user_namespaces": {}}, "singleuser": {"extraFiles": {"motd": file}}}
    manifests = render({**FULL, **own})
    assert manifests.maybe("ConfigMap", "notebook") is None
    assert manifests.maybe("ConfigMap", "singleuser-files") is None
    with pytest.raises(HelmRenderError, match="no namespace that gpuspawner"):
        render(merged(own, {"singleuser": {"extraFiles": {"motd": {"secret": True}}}}))
    made = {one["metadata"]["name"]: one for one in build_namespace_objects(settings_of(manifests))}
    mounted = {
        volume["configMap"]["name"]: [item["key"] for item in volume["configMap"]["items"]]
        for volume in server_pod(manifests)["spec"]["volumes"]
        if "configMap" in volume
    }
    for name in ("gpuspawner-notebook", "gpuspawner-singleuser-files"):
        assert set(mounted.pop(name)) == set(made[name]["data"])
    assert mounted == {"hospital-ca": ["bundle.pem"]}, "this one is the operator's to put there"


def test_the_hub_is_told_what_belongs_into_the_namespace_of_each_user(tmp_path: Path) -> None:
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "mine"}, "spec": {}}
    for said, names in (
        ({}, ["gpuspawner-singleuser", "gpuspawner-notebook"]),
        ({"objects": [quota]}, ["gpuspawner-singleuser", "gpuspawner-notebook", "mine"]),
    ):
        rendered = render({**FULL, "gpuspawner": {"user_namespaces": said}})
        c = Config()
        load_values(c, mount(rendered, "Deployment/gpuspawner-hub", "config", tmp_path))
        objects = load_settings(section_of(c)).user_namespaces.objects
        assert [one["metadata"]["name"] for one in objects] == names
    c = Config()
    load_values(c, mount(render(FULL), "Deployment/gpuspawner-hub", "config", tmp_path))
    assert load_settings(section_of(c)).user_namespaces is None


def test_a_proxy_with_a_password_is_in_a_secret_and_in_no_manifest() -> None:
    away = {"to": [{"ipBlock": {"cidr": "192.0.2.10/32"}}]}
    values = {"zone": "restricted", "restrictedZone": {"httpProxy": {"existingSecret": "zone-proxy", "egress": away}}}
    found = {one["name"]: one for one in notebook(server_pod(render(values)))["env"]}
    for name in ("HTTP_PROXY", "https_proxy"):
        assert found[name]["valueFrom"] == {"secretKeyRef": {"name": "zone-proxy", "key": "url"}}
    assert "NO_PROXY" in found


def test_the_operators_own_patch_is_merged_and_wins() -> None:
    own = {
        "spec": {
            "priorityClassName": "interactive",
            "containers": [
                {"name": "notebook", "env": [{"name": name, "value": "/own"} for name in ("PIP_CERT", "HF_HOME")]}
            ],
            "volumes": [{"name": "licences", "emptyDir": {}}],
        }
    }
    pod = server_pod(render({**FULL, "gpuspawner": {"pod_template": own}}))
    told = environment(pod)
    assert (told["PIP_CERT"], told["HF_HOME"], told["SSL_CERT_FILE"]) == ("/own", "/own", CA)
    assert pod["spec"]["priorityClassName"] == "interactive"
    assert {"licences", "gpuspawner-ca", "gpuspawner-jupyter"} <= {one["name"] for one in pod["spec"]["volumes"]}


@pytest.mark.parametrize("part", [{}, {"httpProxy": {"url": ""}}, {"caBundle": {"configMap": ""}}, {"downloads": True}])
def test_pods_of_a_restricted_zone_are_what_kubernetes_and_pod_security_admit(part: dict[str, Any]) -> None:
    manifests = render(merged(FULL, {"restrictedZone": part}))
    pod = server_pod(manifests)
    for version in ("1.30", "1.37"):
        kubernetes_validate.validate(pod, version, strict=True)
        for policy in manifests.all("NetworkPolicy"):
            kubernetes_validate.validate(policy, version, strict=True)
    assert not violations(pod)


TOOLS = f"""
import json, os, shutil, subprocess, sys
from urllib.request import urlopen
HOST = "https://{REPOSITORY}"
def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else f"{{done.returncode}}: {{done.stderr.strip()[-300:]}}"
def of(what):
    try:
        return what()
    except Exception as error:
        return repr(error)
def asked_by_requests():
    import requests
    return requests.get(HOST + "/hello", timeout=60).text.strip()
pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--retries", "0"]
index = ["--index-url", HOST + "/simple", "--dest", "wheels", "zoned"]
node = "require('https').get(process.argv[1], r => r.on('data', d => process.stdout.write(d)))"
found = {{
    "requests": of(asked_by_requests),
    "urllib": of(lambda: urlopen(HOST + "/hello", timeout=60).read().decode().strip()),
    "curl": run("curl", "--silent", "--show-error", HOST + "/hello"),
    "plain curl": run("curl", "--silent", "--show-error", "http://{REPOSITORY}/hello"),
    "git": run("git", "ls-remote", "--symref", HOST + "/code.git", "main"),
    "pip": run(*pip, *index) or os.listdir("wheels"),
}}
if shutil.which("node"):
    found["node"] = run("node", "--eval", node, os.environ["DIRECT"] + "/hello")
print("found", json.dumps(found))
"""
"""What members run, in a script: each program by its own defaults, with nothing but the server's environment."""


async def launched(lab: Lab, institution: Institution, name: str, **zone: Any) -> dict[str, Any]:
    """What the programs say in a server of a zone, on the engine."""
    variables = {"DIRECT": institution.direct, "GIT_CONFIG_NOSYSTEM": "1", "PIP_CONFIG_FILE": "/dev/null"}
    own = {"name": "notebook", "env": [{"name": name, "value": value} for name, value in variables.items()]}
    values = {
        "zone": "restricted",
        "restrictedZone": {"httpProxy": {"url": institution.proxy}, **zone},
        "singleuser": {"namespace": "demo"},
        "gpuspawner": {"storage": {"home": False}, "pod_template": {"spec": {"containers": [own]}}},
    }
    pod = server_pod(render(values), {"profile": "notebook"}, user=name)
    notebook(pod)["image"] = "example.org/tools:1"
    created = await lab.create("pods", pod)
    ended = await lab.ended(created["metadata"]["name"])
    said = await lab.log(created["metadata"]["name"])
    assert ended["status"]["phase"] == "Succeeded", said
    found: dict[str, Any] = json.loads(said.partition("found ")[2])
    return found


async def test_programs_in_a_server_trust_what_the_institution_signs_and_go_through_its_proxy(tmp_path: Path) -> None:
    script = tmp_path / "tools.py"
    script.write_text(TOOLS)
    images = {"example.org/tools:1": [sys.executable, str(script)]}
    running = running_engine(tmp_path / "engine", images=images)
    async with running_institution(tmp_path) as institution, running as lab:
        bundle = {"metadata": {"name": "hospital-ca"}, "data": {"ca.crt": institution.ca}}
        await lab.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", **bundle})
        found = await launched(lab, institution, "ada", caBundle={"configMap": "hospital-ca"})
        hellos = {"requests": "hello", "urllib": "hello", "curl": "hello", "plain curl": "plain"}
        assert found.pop("node", "hello") == "hello"
        assert found.pop("git").endswith("\trefs/heads/main")
        assert found == {**hellos, "pip": [WHEEL]}
        through = [asked for asked in institution.asked if asked == f"CONNECT {REPOSITORY}:443"]
        assert len(through) >= 5, institution.asked
        assert f"GET http://{REPOSITORY}/hello" in institution.asked

        without = await launched(lab, institution, "grace")
        assert without.pop("plain curl") == "plain"
        refusals = ("CERTIFICATE_VERIFY_FAILED", "certificate", "No matching distribution", "UNABLE_TO_VERIFY")
        for program, said in without.items():
            assert any(refusal in str(said) for refusal in refusals), (program, said)
