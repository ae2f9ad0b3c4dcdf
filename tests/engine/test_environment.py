"""A container's variables, paths and addresses in the terms of this machine."""

import base64
from pathlib import Path
from typing import Any

import pytest

from gpuspawner.local.kubelet.env import ConfigError, expand, field_value, resolve_env, resource_value
from gpuspawner.local.kubelet.launch import Images
from gpuspawner.local.kubelet.rewrite import Rewriter
from gpuspawner.local.kubelet.volumes import VolumeError, mount_points, prepare_volumes

Object = dict[str, Any]
HERE = "127.64.0.9"
POD: Object = {
    "metadata": {
        "name": "alice",
        "namespace": "demo",
        "uid": "u-1",
        "labels": {"app": "hub", "a": 'say "hi"'},
        "annotations": {"note": "one\ntwo"},
    },
    "spec": {"nodeName": "t4-0", "serviceAccountName": "default", "containers": [{"name": "c"}]},
    "status": {"podIP": HERE, "hostIP": "127.0.0.1"},
}
NODE: Object = {"status": {"allocatable": {"cpu": "64", "memory": "512Gi"}}}
CONFIG = {
    ("configmaps", "cm"): {"kind": "ConfigMap", "data": {"A": "1", "bad=key": "x"}, "binaryData": {"B": "AAE="}},
    ("secrets", "s"): {"kind": "Secret", "data": {"token": base64.b64encode(b"hush").decode()}},
    ("persistentvolumeclaims", "home"): {"kind": "PersistentVolumeClaim"},
}


def lookup(resource: str, name: str) -> Object | None:
    return CONFIG.get((resource, name))


def token(pod: Object, source: Object) -> str:
    return f"{pod['metadata']['name']} for {source['audience']}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$(A)$(A)", "11"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(MISSING)", "$(MISSING)"),
        ("$A and $", "$A and $"),
        ("$(A", "$(A"),
        ("$()", "$()"),
        ("echo $$HOME $(A)", "echo $HOME 1"),
    ],
)
def test_variables_are_expanded_as_kubernetes_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1"}) == expected


def test_variables_come_from_everywhere_in_order() -> None:
    container = {
        "name": "c",
        "resources": {"limits": {"memory": "1500Mi"}},
        "envFrom": [
            {"configMapRef": {"name": "cm"}, "prefix": "CM_"},
            {"secretRef": {"name": "s"}},
            {"secretRef": {"name": "missing", "optional": True}},
        ],
        "env": [
            {"name": "X", "value": "$(CM_A)-$(token)-$(LATER)"},
            {"name": "LATER", "value": "y"},
            {"name": "CM_A", "value": "over"},
            {"name": "KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "A"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
            {"name": "NONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "no", "optional": True}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "MEM", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Gi"}}},
            {"name": "EMPTY"},
        ],
    }
    assert resolve_env(container, POD, NODE, lookup) == {
        "CM_A": "over",
        "token": "hush",
        "X": "1-hush-$(LATER)",
        "LATER": "y",
        "KEY": "1",
        "SECRET": "hush",
        "IP": HERE,
        "MEM": "2",
        "EMPTY": "",
    }


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"secretKeyRef": {"name": "gone", "key": "k"}}, 'secret "gone" not found'),
        ({"configMapKeyRef": {"name": "cm", "key": "k"}}, "couldn't find key k in ConfigMap demo/cm"),
        ({"fieldRef": {"fieldPath": "spec.volumes"}}, "unsupported fieldPath: spec.volumes"),
    ],
)
def test_what_is_missing_is_named_as_the_kubelet_does(source: Object, said: str) -> None:
    container = {"name": "c", "env": [{"name": "X", "valueFrom": source}]}
    with pytest.raises(ConfigError, match=said):
        resolve_env(container, POD, NODE, lookup)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("metadata.name", "alice"),
        ("metadata.labels['app']", "hub"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'a="say \\"hi\\""\napp="hub"'),
        ("metadata.annotations['note']", "one\ntwo"),
        ("spec.nodeName", "t4-0"),
        ("status.hostIP", "127.0.0.1"),
    ],
)
def test_the_downward_api_tells_the_pods_fields(path: str, expected: str) -> None:
    assert field_value(POD, path) == expected


def test_without_a_limit_the_downward_api_tells_what_the_node_can_give() -> None:
    container: Object = {"name": "c", "resources": {"requests": {"cpu": "250m"}}}
    assert resource_value({"resource": "limits.cpu"}, container, POD, NODE) == "64"
    assert resource_value({"resource": "requests.cpu"}, container, POD, NODE) == "1"
    assert resource_value({"resource": "requests.cpu", "divisor": "1m"}, container, POD, NODE) == "250"
    assert resource_value({"resource": "requests.memory"}, container, POD, NODE) == "0"


REWRITER = Rewriter(
    {"/home/jovyan": Path("/data/home"), "/home/jovyan/work": Path("/data/work"), "/certs/": Path("/c")}, HERE
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/home/jovyan", "/data/home"),
        ("/home/jovyan/", "/data/home/"),
        ("/home/jovyan/work/x.txt", "/data/work/x.txt"),
        ("/home/jovyan/works", "/data/home/works"),
        ("/home/jovyanne", "/home/jovyanne"),
        ("--notebook-dir=/home/jovyan", "--notebook-dir=/data/home"),
        ("/usr/bin:/home/jovyan/bin:/bin", "/usr/bin:/data/home/bin:/bin"),
        ("cd /home/jovyan && ls '/certs/ssl.key'>/home/jovyan/out", "cd /data/home && ls '/c/ssl.key'>/data/home/out"),
        ("http://hub/home/jovyan", "http://hub/home/jovyan"),
        ("/mnt/home/jovyan", "/mnt/home/jovyan"),
        ("sqlite:////home/jovyan/hub.sqlite", "sqlite:////data/home/hub.sqlite"),
        ("file:///certs/ca.crt", "file:///c/ca.crt"),
        ("http://0.0.0.0:8888/", f"http://{HERE}:8888/"),
        ("--ip=0.0.0.0", f"--ip={HERE}"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("tcp://[::]:8080", f"tcp://{HERE}:8080"),
    ],
)
def test_mounted_paths_and_wildcard_addresses_are_rewritten(value: str, expected: str) -> None:
    assert REWRITER.text(value) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://0.0.0.0:8888/user/a/", f"http://{HERE}:8888/user/a/"),
        ("http://:8888/user/a/", f"http://{HERE}:8888/user/a/"),
        ("http://*:8888/", f"http://{HERE}:8888/"),
        ("http://[::]:8888/", f"http://{HERE}:8888/"),
        ("https:///user/a/", f"https://{HERE}/user/a/"),
        ("http://127.0.0.1:8888/", "http://127.0.0.1:8888/"),
    ],
)
def test_the_service_url_gets_the_pods_address(url: str, expected: str) -> None:
    assert REWRITER.environment({"JUPYTERHUB_SERVICE_URL": url}) == {"JUPYTERHUB_SERVICE_URL": expected}


def test_listen_options_get_the_pods_address() -> None:
    asked = ["jupyter", "--ip=*", "--ServerApp.ip=", "--host", "::", "--zip=*", "--ip", "*", "--glob", "*"]
    got = ["jupyter", f"--ip={HERE}", f"--ServerApp.ip={HERE}", "--host", HERE, "--zip=*", "--ip", HERE, "--glob", "*"]
    assert REWRITER.arguments(asked) == got


def test_an_image_is_found_by_name_then_by_pattern() -> None:
    images = Images({"quay.io/*": ["jupyter"], "*-cuda": ["cuda"], "quay.io/x-cuda": ["exact"]})
    assert images.find("quay.io/x-cuda") == ["exact"]
    assert images.find("quay.io/y-cuda") == ["jupyter"]
    assert images.find("docker.io/y-cuda") == ["cuda"]
    assert images.find("docker.io/y") is None


def volumes(*volumes: Object) -> Object:
    return POD | {"spec": POD["spec"] | {"volumes": list(volumes)}}


def test_volumes_become_folders_with_their_files(tmp_path: Path) -> None:
    pod = volumes(
        {"name": "home", "persistentVolumeClaim": {"claimName": "home"}},
        {"name": "cm", "configMap": {"name": "cm", "items": [{"key": "A", "path": "deep/a", "mode": 0o600}]}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "d", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "all", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "cm"}}]}},
        {"name": "id", "projected": {"sources": [{"serviceAccountToken": {"path": "id", "audience": "vault"}}]}},
        {"name": "no", "configMap": {"name": "gone", "optional": True}},
        {"name": "empty", "emptyDir": {}},
        {"name": "host", "hostPath": {"path": str(tmp_path)}},
    )
    folders = prepare_volumes(pod, tmp_path / "pod", tmp_path, NODE, lookup, token)
    assert folders["home"] == tmp_path / "volumes" / "demo" / "home"
    assert (folders["cm"] / "deep" / "a").read_text() == "1"
    assert (folders["cm"] / "deep" / "a").stat().st_mode & 0o777 == 0o600
    assert (folders["s"] / "token").read_bytes() == b"hush"
    assert (folders["s"] / "token").stat().st_mode & 0o777 == 0o400
    assert (folders["d"] / "name").read_text() == "alice"
    assert (folders["all"] / "B").read_bytes() == b"\0\1"
    assert sorted(path.name for path in folders["all"].iterdir()) == ["A", "B", "bad=key", "token"]
    assert (folders["id"] / "id").read_text() == "alice for vault"
    assert (folders["id"] / "id").stat().st_mode & 0o777 == 0o600
    assert list(folders["no"].iterdir()) == []
    assert folders["empty"].is_dir()
    assert folders["host"] == tmp_path
    prepare_volumes(pod, tmp_path / "pod", tmp_path, NODE, lookup, token)


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        ({"configMap": {"name": "gone"}}, 'configmap "gone" not found'),
        (
            {"secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}},
            "references non-existent secret key: k",
        ),
        ({"configMap": {"name": "cm", "items": [{"key": "A", "path": "../../out"}]}}, "is not inside the volume"),
        ({"nfs": {"server": "s", "path": "/"}}, "volumes of type nfs are not served by the embedded engine"),
        ({"hostPath": {"path": "/does/not/exist"}}, "hostPath type check failed"),
        ({"persistentVolumeClaim": {"claimName": "gone"}}, 'persistentvolumeclaim "gone" not found'),
    ],
)
def test_a_volume_that_cannot_be_set_up_is_told_why(volume: Object, said: str, tmp_path: Path) -> None:
    with pytest.raises(VolumeError) as caught:
        prepare_volumes(volumes({"name": "v"} | volume), tmp_path / "pod", tmp_path, NODE, lookup, token)
    assert str(caught.value).startswith('MountVolume.SetUp failed for volume "v" : ')
    assert said in str(caught.value)


def test_a_sub_path_stays_inside_its_volume(tmp_path: Path) -> None:
    volume, outside = tmp_path / "volume", tmp_path / "outside"
    volume.mkdir()
    outside.mkdir()
    (volume / "link").symlink_to(outside)
    folders = {"v": volume}

    def points(**mount: str) -> dict[str, Path]:
        container = {"name": "c", "volumeMounts": [{"name": "v", "mountPath": "/home/x", **mount}]}
        return mount_points(container, folders, {"USER": "ann"})

    assert points() == {"/home/x": volume}
    assert points(subPath="a/b") == {"/home/x": volume / "a" / "b"}
    assert points(subPathExpr="home/$(USER)") == {"/home/x": volume / "home" / "ann"}
    assert (volume / "home" / "ann").is_dir()
    for escape in ("../outside", "/etc", "link", "link/deeper"):
        with pytest.raises(ConfigError, match='failed to prepare subPath for volumeMount "v" of container "c"'):
            points(subPath=escape)
    assert list(outside.iterdir()) == []
