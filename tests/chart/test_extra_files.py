"""Files that the values put into the hub and into servers."""

import base64
import json
from typing import Any

import kubernetes_validate
import pytest
from helm_python import HelmRenderError
from rendering import Manifests, decoded, render

FILES = {
    "logo": {"mountPath": "/usr/share/logo.svg", "stringData": "<svg>{{ 1 }}</svg>\n"},
    "settings": {"mountPath": "/etc/app.json", "data": {"a": [1, 2]}},
    "list": {"mountPath": "/etc/app.yaml", "data": ["x"]},
    "picture": {"mountPath": "/srv/picture.png", "binaryData": "iVBO\nRw0K"},
    "key": {"mountPath": "/srv/saml.pem", "stringData": "-----BEGIN PRIVATE KEY-----", "secret": True, "mode": 0o400},
    "theirs": {"mountPath": "/etc/ca.crt", "from": {"configMap": "institution", "key": "ca.crt"}},
    "token": {"mountPath": "/etc/token", "from": {"secret": "vault", "key": "t"}},
}


def files(manifests: Manifests, name: str) -> dict[str, str]:
    """The texts in both objects."""
    found = manifests.one("ConfigMap", f"{name}-files")
    binary = {key: base64.b64decode(value).decode("latin-1") for key, value in found["binaryData"].items()}
    return found["data"] | binary | decoded(manifests.one("Secret", f"{name}-secret-files"))


def mounted(spec: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """By path: the object and the key that is mounted there."""
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    found = {}
    for mount in spec["containers"][0]["volumeMounts"]:
        volume = volumes.get(mount["name"], {})
        source = volume.get("configMap") or volume.get("secret") or {}
        if mount.get("subPath") == "file":
            assert mount["readOnly"]
            [item] = source["items"]
            assert item["path"] == "file"
            found[mount["mountPath"]] = (source.get("name") or source["secretName"], item["key"])
    return found


WHERE = {
    "/usr/share/logo.svg": ("gpuspawner-{}-files", "logo"),
    "/etc/app.json": ("gpuspawner-{}-files", "settings"),
    "/etc/app.yaml": ("gpuspawner-{}-files", "list"),
    "/srv/picture.png": ("gpuspawner-{}-files", "picture"),
    "/srv/saml.pem": ("gpuspawner-{}-secret-files", "key"),
    "/etc/ca.crt": ("institution", "ca.crt"),
    "/etc/token": ("vault", "t"),
}


def where(name: str) -> dict[str, tuple[str, str]]:
    return {path: (source.format(name), key) for path, (source, key) in WHERE.items()}


def test_files_of_the_hub_are_mounted_where_the_values_say() -> None:
    manifests = render({"hub": {"extraFiles": FILES}})
    for item in manifests:
        kubernetes_validate.validate(item, "1.37", strict=True)
    assert mounted(manifests.pods()["Deployment/gpuspawner-hub"]["spec"]) == where("hub")
    assert files(manifests, "hub") == {
        "logo": "<svg>{{ 1 }}</svg>\n",
        "settings": json.dumps({"a": [1, 2]}, indent=2),
        "list": "- x",
        "picture": base64.b64decode("iVBORw0K").decode("latin-1"),
        "key": "-----BEGIN PRIVATE KEY-----",
    }


def test_files_of_servers_are_in_their_namespace_and_in_every_servers_pod() -> None:
    manifests = render({"singleuser": {"namespace": "students", "extraFiles": FILES}})
    made = manifests.one("ConfigMap", "singleuser-files"), manifests.one("Secret", "singleuser-secret-files")
    assert {item["metadata"]["namespace"] for item in made} == {"students"}
    values = json.loads(manifests.one("ConfigMap", "values")["data"]["values.json"])
    [patch] = values["release"]["podTemplates"]
    assert patch["spec"]["containers"][0]["name"] == "notebook"
    assert mounted(patch["spec"]) == where("singleuser")


def test_a_file_of_no_object_makes_none() -> None:
    manifests = render({"hub": {"extraFiles": {"theirs": FILES["theirs"]}}})
    assert manifests.maybe("ConfigMap", "hub-files") is None
    assert manifests.maybe("Secret", "hub-secret-files") is None


def test_data_has_the_format_that_the_path_ends_in() -> None:
    with pytest.raises(
        HelmRenderError, match=r"extraFiles[.]a[.]data: found the path /a[.]ini, allowed: one that ends in"
    ):
        render({"hub": {"extraFiles": {"a": {"mountPath": "/a.ini", "data": {}}}}})


def test_a_service_account_of_servers_is_made_without_its_token() -> None:
    role = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/datasets"}
    manifests = render({"singleuser": {"serviceAccount": {"create": True, "annotations": role}}})
    account = manifests.one("ServiceAccount", "singleuser")
    assert account["automountServiceAccountToken"] is False
    assert account["metadata"]["annotations"] == role
    values = json.loads(manifests.one("ConfigMap", "values")["data"]["values.json"])
    spec = {"serviceAccountName": "gpuspawner-singleuser", "automountServiceAccountToken": False}
    assert values["release"]["podTemplates"] == [{"spec": spec}]


def test_the_servers_namespace_is_restricted_and_outlives_the_release() -> None:
    [namespace] = render({"singleuser": {"namespace": "students", "createNamespace": True}}).all("Namespace")
    assert namespace["metadata"]["name"] == "students"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert namespace["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
